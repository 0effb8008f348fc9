"""SQLite: a file of one's own, or memory."""

from lockstitch_server.storage.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
