"""Postgres, and what speaks its protocol."""

from lockstitch_server.storage.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
