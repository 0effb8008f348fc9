"""Asks servers for their health and version, one server or all that a name stands for."""

import socket
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from grpc_health.v1 import health_pb2

from lockstitch import Client, DeadlineExceeded, LockstitchError, NoConnection
from lockstitch._deadline import Deadline
from lockstitch._rpcs import HEALTH_CHECK
from lockstitch._target import UNIX_SCHEMES
from lockstitch._transport import run
from lockstitch_server import __version__
from lockstitch_server.cli.calls import connected
from lockstitch_server.cli.connection import Connection
from lockstitch_server.cli.diagnosis import explain
from lockstitch_server.cli.output import FAILED, fail

SERVING, NOT_SERVING = "SERVING", "NOT_SERVING"
READINESS = "lockstitch.v1.CheckpointService"
"""The service whose health is the server's readiness."""
READINESS_SECONDS = 2.0
AT_ONCE = 32
"""Servers that are asked at once."""


class Health(NamedTuple):
    """How a server is. status: such as SERVING, or why there is none. version: empty if it was not asked for."""

    status: str
    version: str = ""

    def __str__(self) -> str:
        return f"{self.status}  {self.version}".rstrip()


def of_one(connection: Connection, service: str, *, verbose: bool) -> Health:
    """The health of a server. Ends the command if there is no response."""
    keyless = _keyless(connection)
    with connected(keyless) as client:
        status = _status(client, keyless, service)
    return Health(status, _versions(connection) if verbose else "")


def of_all(connection: Connection, service: str, *, verbose: bool) -> dict[str, Health]:
    """Address -> health, for each address of the target. Asks up to AT_ONCE servers at once: some may hang."""
    _keyless(connection).arguments()  # unusable options end the command
    addresses = _addresses(connection.target)

    def ask(address: str) -> Health:
        here = connection._replace(target=address)
        if here.is_encrypted and not here.server_name:
            here = here._replace(server_name=addresses[address])  # certificates have names, not addresses
        return _health_at(here, service, verbose=verbose)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(addresses, pool.map(ask, addresses), strict=True))


def readiness(connection: Connection) -> str:
    """The status of the server's readiness, or why there is none. Does not end the command."""
    return _health_at(connection._replace(timeout=READINESS_SECONDS), READINESS, verbose=False).status


def _keyless(connection: Connection) -> Connection:
    """Health checks need no key, so none is sent."""
    return connection._replace(key=None, tenant=None)


def _versions(connection: Connection) -> str:
    """The versions of a server and of this command. Servers name theirs to callers that they know."""
    with Client(**connection.arguments(), retry=False) as client:
        version = client._transport.server_version(connection.timeout)
    return f"(server {version or 'version unknown: it needs a key'}, this command {__version__})"


def _health_at(connection: Connection, service: str, *, verbose: bool) -> Health:
    keyless = _keyless(connection)
    try:
        with Client(**keyless.arguments(), retry=False) as client:
            status = _status(client, keyless, service)
        return Health(status, _versions(connection) if verbose and status == SERVING else "")
    except NoConnection as error:
        return Health(f"no connection ({explain(connection, error) or error.cause.rpartition(': ')[2]})")
    except DeadlineExceeded:
        return Health("no response in time")
    except LockstitchError as error:
        return Health(str(error))


def _status(client: Client, connection: Connection, service: str) -> str:
    request = health_pb2.HealthCheckRequest(service=service).SerializeToString()
    response = run(client._api._caller.call(HEALTH_CHECK, request, Deadline(connection.timeout)))
    status = health_pb2.HealthCheckResponse.FromString(response).status
    name: str = health_pb2.HealthCheckResponse.ServingStatus.Name(status)
    return name


def _addresses(target: str) -> dict[str, str]:
    """ip:port -> the host in the target that it belongs to. A name that does not exist ends the command."""
    if target.startswith(UNIX_SCHEMES):
        return {target: ""}
    found: dict[str, str] = {}
    for each in target.rpartition("/")[2].removeprefix("dns:").removeprefix("ipv4:").removeprefix("ipv6:").split(","):
        host, _, port = each.rpartition(":")
        try:
            infos = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
        except OSError as error:
            fail(f"{host}: {error.strerror}", FAILED)
        for *_, address in infos:
            ip = str(address[0])
            found[f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"] = host
    return found
