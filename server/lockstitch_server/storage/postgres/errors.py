"""Errors of Postgres, as what they mean here, and as failures that callers may know."""

import asyncpg

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.storage.executor import LostRace

CONFLICTS = (LostRace, asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
"""What goes away by trying again."""
AWAY = (
    OSError,  # TimeoutError and ConnectionError too
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.TooManyConnectionsError,
)
"""What a connection says whose server has gone, is going, or takes no writes: another one, now or soon, may do."""
NODE_AWAY = asyncpg.ConnectionFailureError
"""What Citus says if it cannot reach a node that has a part of the tables."""
OUTAGES = (
    *AWAY,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)
"""What means that the database is away, going away, full, no primary, or not for this role."""

CANNOT_REACH = "the database cannot be reached now"
IN_DOUBT = (
    "the connection to the database was lost during a commit, and the database does not tell yet whether the commit "
    "succeeded: retry the same call"
)


class InDoubt(Exception):
    """A transaction may have been committed, and the database could not be asked."""


def failure_of(error: BaseException) -> Failure:
    """The failure behind an error of a database that is away, full or read-only, or that left a commit in doubt."""
    if isinstance(error, InDoubt):
        return Failure(Reason.STORE_UNAVAILABLE, IN_DOUBT)
    if isinstance(error, asyncpg.DiskFullError):
        return Failure(Reason.STORE_FULL, "the disk of the server's database is full; nothing was saved")
    if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
        return read_only()
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return Failure(Reason.STORE_READ_ONLY, "the role of the server lacks rights in its database; nothing was done")
    return Failure(Reason.STORE_UNAVAILABLE, CANNOT_REACH)


def read_only() -> Failure:
    """The error of a database that takes no writes."""
    return Failure(Reason.STORE_READ_ONLY, "the server's database is read-only; nothing was saved")
