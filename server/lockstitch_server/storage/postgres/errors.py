"""Errors of Postgres as failures that callers may know."""

import asyncpg

from lockstitch_server.core.errors import Failure, Reason

AWAY = "the database cannot be reached now"


def failure_of(error: BaseException) -> Failure:
    """The failure behind an error of a database that is away, full or read-only."""
    if isinstance(error, asyncpg.DiskFullError):
        return Failure(Reason.STORE_FULL, "the disk of the server's database is full; nothing was saved")
    if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
        return read_only()
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return Failure(Reason.STORE_READ_ONLY, "the role of the server lacks rights in its database; nothing was done")
    return Failure(Reason.STORE_UNAVAILABLE, AWAY)


def read_only() -> Failure:
    """The error of a database that takes no writes."""
    return Failure(Reason.STORE_READ_ONLY, "the server's database is read-only; nothing was saved")
