"""Opens SQLite stores that are only read: they are never created, migrated or changed."""

import sqlite3
from functools import partial
from pathlib import Path

from lockstitch_server.storage.migrations import check_owner, check_sqlite
from lockstitch_server.storage.store import StoreError

DAMAGED_TEXT_TOO = partial(str, encoding="utf-8", errors="replace")
"""Reads text that damage has made other bytes than UTF-8: the row's checksum tells, and other rows can be read."""
NO_ROOM_FOR_SHARED_MEMORY = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)
"""Primary result codes where SQLite cannot create the -shm file of a database in WAL mode."""


def connect_read_only(path: str, timeout: float) -> sqlite3.Connection:
    """A connection to a store of this schema or a newer one. Raises StoreError.

    timeout: seconds to wait for a process that holds the file.
    """
    file = Path(path).absolute()
    if not file.is_file():
        raise StoreError(f"there is no SQLite database {file}")
    try:
        return _connect(file, "mode=ro", timeout)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in NO_ROOM_FOR_SHARED_MEMORY:
            raise StoreError(f"cannot read the SQLite database {file}: {error}") from error
    except sqlite3.Error as error:
        raise StoreError(f"cannot read the SQLite database {file}: {error}") from error
    return _connect_without_log(file, timeout)


def _connect_without_log(file: Path, timeout: float) -> sqlite3.Connection:
    """Open a file whose directory cannot be written: all of its content must be in the file itself."""
    real = file.resolve()  # a symbolic link has its log beside the file that it names
    log = real.with_name(f"{real.name}-wal")
    if log.is_file() and log.stat().st_size:
        raise StoreError(
            f"cannot read the SQLite database {file}: its write-ahead log {log.name} needs a directory that can be "
            "written; copy both files to one"
        )
    try:
        return _connect(file, "mode=ro&immutable=1", timeout)
    except sqlite3.Error as error:
        raise StoreError(f"cannot read the SQLite database {file}: {error}") from error


def _connect(file: Path, query: str, timeout: float) -> sqlite3.Connection:
    address = f"{file.as_uri()}?{query}"
    connection = sqlite3.connect(address, uri=True, timeout=timeout, isolation_level=None, check_same_thread=False)
    connection.text_factory = DAMAGED_TEXT_TOO
    try:
        check_owner(connection, str(file))
        check_sqlite(connection, str(file))
    except BaseException:
        connection.close()
        raise
    return connection
