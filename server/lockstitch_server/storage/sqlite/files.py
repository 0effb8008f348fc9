"""Whether the files of a SQLite store are still those that were opened.

A file that is removed or replaced stays open, and SQLite goes on writing to it: nobody would find these saves again.
"""

import os
import sqlite3
from typing import NamedTuple

import structlog

from lockstitch_server.core.errors import Failure, Reason

SUFFIXES = ("-wal", "-shm")
"""Of the write-ahead log, and of the memory in which processes agree on the log."""
GONE = (
    "the server's database file was removed or replaced while the server was running; "
    "put the file back, or restart the server"
)

log = structlog.get_logger(__name__)


class Identity(NamedTuple):
    """Tells a file from another of the same name. A file that is open keeps its inode number to itself."""

    device: int
    inode: int


def identity(path: str) -> Identity | None:
    """The file of this name; None: there is none, or it cannot be reached."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return Identity(found.st_dev, found.st_ino)


class OpenFiles:
    """The files of a store as they were opened. SQLite itself removes the log only with the last connection."""

    def __init__(self, path: str) -> None:
        self._path = path
        # If the path is a symbolic link, SQLite keeps the others beside the file that the link names.
        beside = os.path.realpath(path)
        self._opened = {name: identity(name) for name in (path, *(beside + suffix for suffix in SUFFIXES))}
        self.are_gone = False
        """Whether the last check has failed."""

    def check(self, connection: sqlite3.Connection) -> None:
        """Fails with STORE_UNAVAILABLE where a file is not the one that was opened. Costs some microseconds.

        The first failure copies the log into the open database. The database is then complete wherever it was moved
        to, and its log, which is empty then, is not applied to a file that takes its place.
        """
        changed = self.changed()
        if not changed:
            self.are_gone = False
            return
        if not self.are_gone:
            self.are_gone = True
            log.error("sqlite_file_gone", path=self._path, files=changed, log_copied=self._copy_log(connection))
        raise Failure(Reason.STORE_UNAVAILABLE, GONE)

    def changed(self) -> list[str]:
        """Names under which there is another file than the one that was opened, or none."""
        return [name for name, opened in self._opened.items() if identity(name) != opened]

    def _copy_log(self, connection: sqlite3.Connection) -> bool:
        """Copy the log, unless others may use the database with a log of their own."""
        if any(self._is_of_others(name) for name in self._opened if name != self._path):
            return False
        try:
            (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error:
            return False
        return not busy

    def _is_of_others(self, name: str) -> bool:
        """Whether somebody may have stored something in this file.

        A connection that is opened without a log makes an empty one; so may the server's own look at the database.
        """
        try:
            found = os.stat(name)
        except OSError:
            return False
        if Identity(found.st_dev, found.st_ino) == self._opened[name]:
            return False
        return not name.endswith("-wal") or found.st_size > 0
