"""Looks whether a SQLite file can be read, and is still the one that was opened."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.storage.migrations import VERSION_TABLE

BUSY_SECONDS = 1.0


def identity(path: str) -> tuple[int, int]:
    """What tells a file from one that has taken its name. Raises OSError."""
    found = os.stat(path)
    return found.st_dev, found.st_ino


def ping(path: str, opened: tuple[int, int]) -> None:
    """Read a little, on a connection of its own. Fails with STORE_UNAVAILABLE.

    A file that was removed, or replaced, takes saves that nobody would find again.
    """
    try:
        if identity(path) != opened:
            raise Failure(Reason.STORE_UNAVAILABLE, "the database file is not the one that was opened")
        address = f"{Path(path).absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS)) as connection:
            connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()  # noqa: S608 - a constant
    except (OSError, sqlite3.Error) as error:
        raise Failure(Reason.STORE_UNAVAILABLE, "the database file cannot be read now") from error
