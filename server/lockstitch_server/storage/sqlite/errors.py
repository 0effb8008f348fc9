"""Errors of SQLite as failures that callers may know."""

import sqlite3
from pathlib import Path

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.format.parts import damaged
from lockstitch_server.storage.store import StoreError

READ_ONLY = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH})
DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def code_of(error: BaseException) -> int:
    """The primary result code of SQLite behind an error; 0 for others."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def failure_of(error: sqlite3.Error) -> Failure | None:
    """The failure behind an error; None: it is a fault of this program."""
    code = code_of(error)
    if code == sqlite3.SQLITE_FULL:
        return full()
    if code in READ_ONLY:
        return read_only()
    if code in DAMAGED:
        return damaged()
    if isinstance(error, sqlite3.OperationalError):
        return Failure(Reason.STORE_UNAVAILABLE, "the database cannot be read or written now")
    return None


def full() -> Failure:
    """The error of a disk without room."""
    return Failure(Reason.STORE_FULL, "the disk of the server's database is full; nothing was saved")


def read_only() -> Failure:
    """The error of a file that the server may not write."""
    return Failure(Reason.STORE_READ_ONLY, "the server may not write to its database file; nothing was saved")


def cannot_open(path: str, error: sqlite3.Error) -> StoreError:
    """The error of a store that cannot be opened. SQLite itself does not say why a file cannot be."""
    reason, directory = str(error), Path(path).absolute().parent
    if code_of(error) == sqlite3.SQLITE_CANTOPEN:
        if Path(path).is_dir():
            reason = "it is a directory; name a file"
        elif not directory.is_dir():
            reason = f"there is no directory {directory}; create it"
        else:
            reason = f"{error}; this user must be allowed to read and write it, and to create files in {directory}"
    return StoreError(f"cannot open the SQLite database {path}: {reason}")


def cannot_write(path: str, error: sqlite3.Error) -> StoreError:
    """The error of a store that cannot be opened to write."""
    return StoreError(f"cannot write to the SQLite database {Path(path).absolute()}: {error}")
