"""Looks whether a SQLite file can be read and written."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.storage.migrations import VERSION_TABLE
from lockstitch_server.storage.sqlite.errors import failure_of, full, read_only

BUSY_SECONDS = 1.0
WRITE = "INSERT INTO elections (name, holder, expire_at, position) VALUES ('a look', '', 0, x'')"
"""Nobody is ever elected to this; it is rolled back."""


def ping(path: str) -> None:
    """Read a little, on a connection of its own. Fails with STORE_UNAVAILABLE, DATA_LOSS."""
    with _connected(path, "ro") as connection:
        connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()  # noqa: S608 - a constant


def try_write(path: str, free_bytes: int) -> None:
    """Write in a transaction that is rolled back, and check that the disk has `free_bytes` free.

    What is rolled back never gets to the disk, so it would not tell that there is no room. Fails with STORE_FULL,
    STORE_READ_ONLY, STORE_UNAVAILABLE.
    """
    if not os.access(path, os.W_OK):  # a connection would say that it cannot open the file
        raise read_only()
    with _connected(path, "rw") as connection:
        write_and_roll_back(connection)
        if room_for(path) < free_bytes:
            raise full()


def write_and_roll_back(connection: sqlite3.Connection) -> None:
    """Take the write lock for some microseconds. Raises sqlite3.Error."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(WRITE)
    finally:
        connection.execute("ROLLBACK")


def room_for(path: str) -> int:
    """How many bytes this process may still write to the disk of a file. Raises OSError."""
    if not hasattr(os, "statvfs"):  # Windows
        import shutil

        return shutil.disk_usage(Path(path).absolute().parent).free
    found = os.statvfs(path)
    return (found.f_bfree if os.geteuid() == 0 else found.f_bavail) * found.f_frsize


@contextmanager
def _connected(path: str, mode: str) -> Iterator[sqlite3.Connection]:
    """A connection of its own. What goes wrong with it comes out as a Failure."""
    address = f"{Path(path).absolute().as_uri()}?mode={mode}"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
            yield connection
    except (OSError, sqlite3.Error) as error:
        failure = failure_of(error) if isinstance(error, sqlite3.Error) else None
        raise failure or Failure(Reason.STORE_UNAVAILABLE, "the database file cannot be read now") from error
