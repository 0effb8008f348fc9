"""Where a server may listen, and gRPC's options for its connections."""

import asyncio
import socket
from pathlib import Path

import grpc
import psutil
import pytest

from lockstitch.v1.checkpoint_service_pb2 import LoadLatestRequest
from lockstitch.v1.checkpoint_service_pb2_grpc import CheckpointServiceStub
from lockstitch_server.config import Auth, Limits, Settings, Tls
from lockstitch_server.runtime import http_sockets
from lockstitch_server.runtime.grpc_server import ACCEPTORS, grpc_server
from lockstitch_server.runtime.listener import check_exposure, connection_options, is_local
from lockstitch_server.runtime.startup import StartupError
from tests.support.server import LockstitchServer

LOCAL = ["127.0.0.1:50051", "localhost:0", "[::1]:1", "127.8.8.8:1", "unix:/run/lockstitch.sock"]
EXPOSED = ["0.0.0.0:50051", "[::]:1", "10.0.0.1:1", "lockstitch.example:1", "[2001:db8::1]:1"]
CALLS = Limits().max_connection_calls
TLS = Tls(certificate="c", private_key="k")


@pytest.mark.parametrize("listen", LOCAL)
def test_only_this_machine_reaches_it(listen: str) -> None:
    assert is_local(listen)
    check_exposure(Settings(listen=listen))


@pytest.mark.parametrize("listen", EXPOSED)
def test_others_reach_it(listen: str) -> None:
    assert not is_local(listen)
    plain = Settings(listen=listen)
    only_keys, only_tls = Settings(listen=listen, auth=Auth(keys="k")), Settings(listen=listen, tls=TLS)
    for settings in (plain, only_keys, only_tls):
        with pytest.raises(StartupError, match="insecure"):
            check_exposure(settings)
    check_exposure(Settings(listen=listen, insecure=True))
    check_exposure(Settings(listen=listen, tls=TLS, auth=Auth(keys="k")))
    check_exposure(Settings(listen=listen, tls=TLS.model_copy(update={"client_ca": "a"})))


def test_connections_are_kept_alive_as_the_settings_say() -> None:
    options = dict(connection_options(Settings(keepalive_seconds=5, keepalive_timeout_seconds=2, min_ping_seconds=0.5)))
    assert options["grpc.keepalive_time_ms"] == 5000
    assert options["grpc.keepalive_timeout_ms"] == 2000
    assert options["grpc.keepalive_permit_without_calls"] == 1
    assert options["grpc.http2.min_recv_ping_interval_without_data_ms"] == 500
    assert "grpc.max_connection_age_ms" not in options
    aged = dict(connection_options(Settings(max_connection_age_seconds=60, max_connection_age_grace_seconds=10)))
    assert (aged["grpc.max_connection_age_ms"], aged["grpc.max_connection_age_grace_ms"]) == (60_000, 10_000)


async def test_a_port_has_several_servers_that_accept() -> None:
    with grpc_server([], Settings(listen="127.0.0.1:0"), shared=False) as server:
        port = int(server.address.rpartition(":")[2])
        assert listening("tcp").count(port) >= ACCEPTORS
        await server.start()
        await server.stop(0)


@pytest.mark.slow
async def test_a_connection_may_begin_all_its_calls_at_once() -> None:
    """gRPC cancels calls beyond the number of those that may wait to begin, and gives no reason."""
    with LockstitchServer("memory://") as server:
        async with grpc.aio.insecure_channel(server.target) as channel:
            stub = CheckpointServiceStub(channel)
            for _ in range(2):  # the first time, clients open a connection and wait for it
                calls = [stub.LoadLatest(LoadLatestRequest(session_id="s")) for _ in range(CALLS)]
                assert len(await asyncio.gather(*calls)) == CALLS


async def test_a_unix_socket_has_one(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with grpc_server([], Settings(listen=f"unix:{path}"), shared=False) as server:
        assert server.address == f"unix:{path}"
        assert listening("unix").count(str(path)) == 1
        await server.start()
        await server.stop(0)


def test_another_server_was_quicker_at_the_door_of_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have bound the port, which SO_REUSEADDR allows, and the other one listens first."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        settings = Settings(http_listen=listen)
        monkeypatch.setattr(http_sockets, "_set_options", lambda *_: other.listen())
        with pytest.raises(StartupError, match="in use"), http_sockets.http_sockets(settings, shared=False):
            pass


def listening(kind: str) -> list[int | str]:
    """The ports, or the paths, at which this process listens."""
    sockets = psutil.Process().net_connections(kind)
    if kind == "unix":
        return [str(each.laddr) for each in sockets]
    return [each.laddr.port for each in sockets if each.status == psutil.CONN_LISTEN]
