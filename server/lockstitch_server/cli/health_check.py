"""Asks servers for their health, one or all that a name stands for."""

import socket

from grpc_health.v1 import health_pb2

from lockstitch import Client, DeadlineExceeded, LockstitchError, NoConnection
from lockstitch._deadline import Deadline
from lockstitch._rpcs import HEALTH_CHECK
from lockstitch._target import UNIX_SCHEMES
from lockstitch._transport import run
from lockstitch_server.cli.calls import connected
from lockstitch_server.cli.connection import Connection
from lockstitch_server.cli.output import UNUSABLE, fail

SERVING = "SERVING"


def of_one(connection: Connection, service: str) -> str:
    """The status of a server, such as SERVING. Ends the command if there is no response."""
    with connected(connection) as client:
        return _status(client, connection, service)


def of_all(connection: Connection, service: str) -> dict[str, str]:
    """Address -> status, or why there is none, for each address of the target."""
    connection.arguments()  # unusable options end the command
    found = _addresses(connection.target)
    return {address: _status_at(connection._replace(target=address), host, service) for address, host in found.items()}


def _status_at(connection: Connection, host: str, service: str) -> str:
    if connection.is_encrypted and not connection.server_name:
        connection = connection._replace(server_name=host)  # certificates have names, not addresses
    try:
        with Client(**connection.arguments(), retry=False) as client:
            return _status(client, connection, service)
    except NoConnection as error:
        return f"no connection ({error.cause.rpartition(': ')[2]})"
    except DeadlineExceeded:
        return "no response in time"
    except LockstitchError as error:
        return str(error)


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
            fail(f"{host}: {error.strerror}", UNUSABLE)
        for *_, address in infos:
            ip = str(address[0])
            found[f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"] = host
    return found
