"""Calls to a server, and what to say when they fail."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lockstitch_server.cli.connection import Connection
from lockstitch_server.cli.output import FAILED, UNUSABLE, fail

if TYPE_CHECKING:
    from lockstitch import Client

MENDED_BY = {
    "CREDENTIALS_MISSING": "; use --key KEY, or LOCKSTITCH_KEY",
    "CREDENTIALS_INVALID": "; use --key KEY, or LOCKSTITCH_KEY, with another key",
    "TENANT_FORBIDDEN": "; use --tenant NAME",
}
"""The options that mend failures, by their reasons."""


@contextmanager
def connected(connection: Connection) -> "Iterator[Client]":
    """A client, which does not wait for a server that is away. A call that fails ends the command."""
    from lockstitch import Client

    with failures_told(connection), Client(**connection.arguments(), retry=False) as client:
        try:
            yield client
        except ValueError as error:  # from protobuf: more than a field of the contract can hold
            fail(str(error), UNUSABLE)


@contextmanager
def failures_told(connection: Connection) -> Iterator[None]:
    """End the command with a line that says why, when a call fails, and which option mends it."""
    from lockstitch import DeadlineExceeded, LockstitchError, NoConnection, Unavailable
    from lockstitch_server.cli.diagnosis import explain

    target = connection.target
    try:
        yield
    except LockstitchError as error:
        if isinstance(error, Unavailable) and (why := explain(connection, error)):
            fail(f"{target}: {why}", FAILED)
        if isinstance(error, NoConnection):
            fail(f"no server can be reached at {target} ({error.cause.rpartition(': ')[2]})", FAILED)
        if isinstance(error, DeadlineExceeded):
            fail(f"{target} has not answered within {connection.timeout:g} s{_not_ready(connection)}", FAILED)
        fail(f"{target}: {error}{MENDED_BY.get(error.reason, '')}", FAILED)


def _not_ready(connection: Connection) -> str:
    """A clause about a server that cannot do its work at the moment. A call waits for the database longer than this."""
    from lockstitch_server.cli.health_check import NOT_SERVING, readiness

    if readiness(connection) != NOT_SERVING:
        return ""
    return (
        ": the server is not ready, which means that it cannot reach or write its database, or is stopping; its log "
        "says why"
    )
