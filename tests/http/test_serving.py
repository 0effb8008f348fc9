"""How the HTTP door is opened and closed: sockets, TLS, workers, and what a server does not start with."""

import asyncio
import json
import socket
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from pydantic import ValidationError

from lockstitch.v1 import checkpoint_service_pb2 as pb
from lockstitch_server.config import Http
from tests.cli.commands import Command
from tests.http.requests import CHECKPOINTS, JSON, ask, post
from tests.security.test_tls import SERVING, WORKER, Place, eventually, health
from tests.support.ports import free_port
from tests.support.server import LockstitchServer

LOAD = f"{CHECKPOINTS}LoadLatest"
SAVE = f"{CHECKPOINTS}Save"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_both_doors_lead_into_one_house() -> None:
    address = f"127.0.0.1:{free_port()}"
    with LockstitchServer("memory://", ["--http-listen", address], door="grpc") as server:
        post(address, SAVE, {"checkpoint": {"sessionId": "s", "step": "7"}})
        with grpc.insecure_channel(server.target) as channel:
            load: Any = channel.unary_unary(LOAD)
            answer = pb.LoadLatestResponse.FromString(load(pb.LoadLatestRequest(session_id="s").SerializeToString()))
    assert answer.checkpoint.step == 7


def test_a_unix_socket(tmp_path: Path) -> None:
    """One that a server has left behind is replaced; at the end it is gone."""
    path = tmp_path / "http.sock"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    with LockstitchServer("memory://", ["--http-listen", f"unix:{path}"], door="grpc"):
        assert post(f"unix:{path}", LOAD, {"sessionId": "s"}).status == 200
    assert not path.exists()


def test_tls_and_certificates_that_name_their_caller(place: Place) -> None:
    """The names reach authentication, as on the other door; nobody connects without a certificate."""
    worker = place.client(x509.UniformResourceIdentifier(WORKER))
    stranger = place.client(x509.UniformResourceIdentifier(f"{WORKER}2"))
    arguments = [*place.mtls(), "--set", f"auth.certificates={place.names}"]
    with LockstitchServer("memory://", arguments, place.channel_credentials(worker), door="http") as server:
        body = json.dumps({"sessionId": "s"}).encode()
        known, unknown = (
            ask(server.target, "POST", LOAD, body, {"content-type": JSON}, context(place, pair))
            for pair in (worker, stranger)
        )
        assert known.status == 200
        assert (unknown.status, unknown.json["code"]) == (401, "unauthenticated")
        # TLS 1.3: the client has finished before the server refuses it.
        with pytest.raises(OSError):  # noqa: PT011
            ask(server.target, "GET", "/healthz", context=context(place, None))
        # A header of a caller's own says nothing about certificates.
        claimed = {"content-type": JSON, "x-forwarded-client-cert": f"URI={WORKER}"}
        assert ask(server.target, "POST", LOAD, body, claimed, context(place, stranger)).status == 401


def context(place: Place, client: Any) -> ssl.SSLContext:
    made = ssl.create_default_context(cadata=place.authority.certificate.decode())
    made.check_hostname = False
    if client is not None:
        made.load_cert_chain(*client.write(place.directory, "client"))
    return made


def test_new_certificates_are_used_without_a_restart(place: Place) -> None:
    """Those that do not fit together are passed over; a call on an old connection goes on."""
    old = place.channel_credentials()
    with LockstitchServer("memory://", place.tls(), old, door="http") as server:
        target = server.target
        with grpc.secure_channel(target, old, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            watch: Any = channel.unary_stream("/grpc.health.v1.Health/Watch")
            watching = watch(b"", timeout=120)
            assert next(watching) == SERVING
            place.authority = type(place.authority)("the next one")
            pair = place.authority.issue("server")
            place.certificate.write_bytes(pair.certificate)
            eventually(lambda: "certificate_reload_failed" in server.log.read_text())
            assert health(server.target, old) == SERVING
            place.replace(pair)
            eventually(lambda: "certificates_reloaded" in server.log.read_text())
            assert health(server.target, place.channel_credentials()) == SERVING
            assert watching.is_active()
            watching.cancel()


@pytest.mark.slow
def test_workers_share_the_address(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/lockstitch.db"
    with LockstitchServer(store, ["--workers=2"], door="http") as server:
        for number in range(20):  # each on a connection of its own, which the kernel gives to one of the two
            assert post(server.target, SAVE, {"checkpoint": {"sessionId": f"s{number}"}}).status == 200
        assert post(server.target, f"{CHECKPOINTS}ListSessions", {"pageSize": 100}).json["sessions"][19]


@pytest.mark.slow
async def test_connections_that_are_old_are_replaced() -> None:
    """The client is told (GOAWAY) and connects again; no call fails."""
    arguments = ["--set=max_connection_age_seconds=1", "--log-level=debug"]
    with LockstitchServer("memory://", arguments, door="http") as server:
        async with grpc.aio.insecure_channel(server.target) as channel:
            load: Any = channel.unary_unary(LOAD)
            asked = pb.LoadLatestRequest(session_id="s").SerializeToString()
            async with asyncio.timeout(60):
                while server.log.read_text().count("http_server_renewed") < 3:
                    await asyncio.gather(*(load(asked, timeout=30) for _ in range(20)))


@pytest.mark.slow
async def test_calls_on_old_connections_end_after_their_grace() -> None:
    """Long before `drain_seconds`."""
    ages = ["--set=max_connection_age_seconds=1", "--set=max_connection_age_grace_seconds=1"]
    with LockstitchServer("memory://", [*ages, "--drain-seconds=600"], door="http") as server:
        async with grpc.aio.insecure_channel(server.target) as channel:
            watch: Any = channel.unary_stream("/grpc.health.v1.Health/Watch")
            call = watch(b"", timeout=600)
            assert await call.read() == SERVING
            async with asyncio.timeout(60):
                assert await call.code() is not grpc.StatusCode.OK
        server.kill()  # it would wait for drain_seconds


async def test_a_client_that_leaves_ends_its_call() -> None:
    """A watch of health counts until it ends: more of them than may be open at once follow each other."""
    with LockstitchServer("memory://", ["--set=health.max_watches=2"], door="http") as server:
        for _ in range(10):
            async with asyncio.timeout(60):
                while not await watched(server.target):
                    await asyncio.sleep(0.05)


async def watched(target: str) -> bool:
    """Whether a watch was let in. It ends as its client leaves."""
    async with grpc.aio.insecure_channel(target, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        watch: Any = channel.unary_stream("/grpc.health.v1.Health/Watch")
        call = watch(b"", timeout=60)
        with suppress(grpc.aio.AioRpcError):
            return bool(await call.read())
        return await call.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED


class TestStart:
    """What a server does not start with."""

    def refused(self, directory: Path, *arguments: str, words: tuple[str, ...]) -> None:
        basic = ("--listen", "127.0.0.1:0", "--store", f"sqlite:///{directory}/lockstitch.db")
        Command("serve", *basic, *arguments).process(directory).refused(*words)

    def test_an_open_door(self, tmp_path: Path) -> None:
        self.refused(tmp_path, "--http-listen", "0.0.0.0:0", words=("0.0.0.0:0", "tls.certificate", "insecure"))

    def test_a_port_in_use(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            address = f"127.0.0.1:{other.getsockname()[1]}"
            self.refused(tmp_path, "--http-listen", address, words=(address, "in use"))

    def test_certificates_on_a_unix_socket(self, place: Place) -> None:
        listen = f"unix:{place.directory}/http.sock"
        self.refused(place.directory, "--http-listen", listen, *place.mtls(), words=(listen, "tls.client_ca"))

    def test_workers_on_a_unix_socket(self, tmp_path: Path) -> None:
        listen = f"unix:{tmp_path}/http.sock"
        self.refused(tmp_path, "--workers=2", "--http-listen", listen, words=("2 workers cannot share", listen))

    def test_metrics_of_one_worker(self, tmp_path: Path) -> None:
        metrics = "--set=http.metrics=true"
        arguments = ("--workers=2", "--http-listen", "127.0.0.1:0", metrics)
        self.refused(tmp_path, *arguments, words=("2 workers", "metrics_listen"))


@pytest.mark.parametrize("value", ["app.example.org", "https://app.example.org/page", "https://*.example.org"])
def test_origins_that_no_browser_sends(value: str) -> None:
    with pytest.raises(ValidationError, match="without a path"):
        Http(cors_origins=value)


def test_without_h2corn_it_says_what_to_install(tmp_path: Path) -> None:
    """A directory that comes first hides the package."""
    (tmp_path / "h2corn.py").write_text("raise ImportError('not installed')")
    server = LockstitchServer("memory://", door="http", environment={"PYTHONPATH": str(tmp_path)})
    with pytest.raises(RuntimeError, match=r"lockstitch\[http\]"):
        server.start()
    server.close()


def test_a_body_that_never_comes_does_not_keep_the_process() -> None:
    with LockstitchServer("memory://", ["--drain-seconds=1"], door="http") as server:
        host, _, port = server.target.rpartition(":")
        with socket.create_connection((host, int(port)), 60) as slow:
            head = f"POST {CHECKPOINTS}SaveStream HTTP/1.1\r\nhost: x\r\ncontent-type: application/grpc-web\r\n"
            slow.sendall(f"{head}content-length: 9\r\n\r\n".encode())
            post(server.target, LOAD, {"sessionId": "s"})
            server.stop()  # which fails if the process does not end
