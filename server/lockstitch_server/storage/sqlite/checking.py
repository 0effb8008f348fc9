"""SQLite's own check of a file."""

import re
import sqlite3
from collections import Counter
from collections.abc import Iterator

from lockstitch_server.storage.executor import DatabaseFault
from lockstitch_server.storage.sqlite.errors import DAMAGED, code_of

SHOWN_PER_TABLE = 20
INDEX = re.compile(r" (?:from|in) index (\S+)")
TREE = re.compile(r"\b[Tt]ree (?:page )?(\d+)")


def is_damage(error: BaseException) -> bool:
    """Whether an error of SQLite means that the file is damaged."""
    return code_of(error) in DAMAGED


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
    for table in sorted({*tables.values()}):
        try:
            found = connection.execute(f"PRAGMA integrity_check('{table}')").fetchall()
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            yield DatabaseFault(table, f"the table or an index of it cannot be read: {error}")
            continue
        for line in (line for (text,) in found for line in text.splitlines()):
            if line != "ok" and not line.startswith("***"):
                tree = INDEX.search(line) or TREE.search(line)
                yield DatabaseFault(tables.get(tree[1], table) if tree else table, line)
