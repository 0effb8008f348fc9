"""Keeps SQLite's write-ahead log short without holding up those who write.

SQLite copies the log back into the database within the commit that finds it long, and everyone whose save is in that
commit waits. Here another connection does it beside the commits, except for what they add meanwhile.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

EVERY = 1000
"""Changed sessions between two copies: some 20 MB of log."""
MOST_PAGES = 32_768
"""Where SQLite takes matters into its own hands."""


class Connection(Protocol):
    """A connection with a thread of its own."""

    def run(self, function: Callable[[sqlite3.Connection], Any]) -> Awaitable[Any]: ...


class WalKeeper:
    """Counts what is written, and copies now and then."""

    def __init__(self, copier: Connection, writer: Connection) -> None:
        self._copier = copier
        self._writer = writer
        self._changes = 0
        self._copying: asyncio.Task[None] | None = None

    def wrote(self, changes: int) -> None:
        """Take note of changed sessions."""
        self._changes += changes
        if self._changes >= EVERY and self._copying is None:
            self._changes = 0
            self._copying = asyncio.create_task(self._copy())
            self._copying.add_done_callback(self._copied)

    async def close(self) -> None:
        """Wait for a copy that is being made."""
        if self._copying is not None:
            await asyncio.wait([self._copying])

    async def _copy(self) -> None:
        await self._copier.run(copy)
        # The little that came meanwhile, between two commits: SQLite begins the log again only if all of it is copied.
        await self._writer.run(copy)

    def _copied(self, task: "asyncio.Task[None]") -> None:
        self._copying = None
        if not task.cancelled():
            task.exception()  # that of a database in trouble, of which its saves tell


def copy(connection: sqlite3.Connection) -> None:
    """Copy as much of the log as can be without waiting for anyone."""
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
