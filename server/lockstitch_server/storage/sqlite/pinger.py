"""Looks whether a SQLite file can be read."""

import sqlite3
from contextlib import closing
from pathlib import Path

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.storage.migrations import VERSION_TABLE

BUSY_SECONDS = 1.0


def ping(path: str) -> None:
    """Read a little, on a connection of its own. Fails with STORE_UNAVAILABLE."""
    try:
        address = f"{Path(path).absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS)) as connection:
            connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()  # noqa: S608 - a constant
    except sqlite3.Error as error:
        raise Failure(Reason.STORE_UNAVAILABLE, "the database file cannot be read now") from error
