"""SQLite's own check of a file."""

import re
import sqlite3
from collections import Counter
from collections.abc import Iterator

from lockstitch_server.storage.keeper import DatabaseFault

MOST_MESSAGES = 1000
SHOWN_PER_TABLE = 20
INDEX = re.compile(r" (?:from|in) index (\S+)")
TREE = re.compile(r"\b[Tt]ree (?:page )?(\d+)")


def is_damage(error: BaseException) -> bool:
    """Whether an error of SQLite means that the file is damaged."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def database_faults(connection: sqlite3.Connection) -> list[DatabaseFault]:
    """What `PRAGMA integrity_check` finds, each message with the table that it is about."""
    shown: Counter[str] = Counter()
    faults = []
    for fault in _faults(connection):
        shown[fault.table] += 1
        if shown[fault.table] <= SHOWN_PER_TABLE:
            faults.append(fault)
    for table, count in shown.items():
        if count > SHOWN_PER_TABLE:
            faults.append(DatabaseFault(table, f"and {count - SHOWN_PER_TABLE} more"))
    return faults


def _faults(connection: sqlite3.Connection) -> Iterator[DatabaseFault]:
    tables = dict[str, str]()
    for name, table, root in connection.execute("SELECT name, tbl_name, rootpage FROM sqlite_master"):
        tables[name] = tables[str(root)] = table
    for (text,) in connection.execute(f"PRAGMA integrity_check({MOST_MESSAGES})"):
        for line in text.splitlines():
            if line != "ok" and not line.startswith("***"):
                found = INDEX.search(line) or TREE.search(line)
                yield DatabaseFault(tables.get(found[1], "") if found else "", line)
