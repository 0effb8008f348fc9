"""The application in ASGI servers of others, and mounted beside other routes."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
import uvicorn
from cryptography import x509
from starlette.applications import Starlette
from starlette.routing import Mount

import lockstitch
from lockstitch.v1.checkpoint_pb2 import Checkpoint
from lockstitch_server.asgi import LockstitchApp, Settings, create_app
from lockstitch_server.runtime.startup import StartupError
from tests.http.requests import CHECKPOINTS, ask, envelope, post
from tests.security.callers import make_key
from tests.security.test_tls import WORKER, Place
from tests.support.ports import free_port

SECONDS = 120


@asynccontextmanager
async def mounted(application: LockstitchApp) -> AsyncIterator[str]:
    """Below /lockstitch, under uvicorn. Yields the address."""

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        async with application:
            yield

    app = Starlette(routes=[Mount("/lockstitch", application)], lifespan=lifespan)
    config = uvicorn.Config(app, port=free_port(), log_config=None, lifespan="on")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(SECONDS):
        while not server.started:
            await asyncio.sleep(0.05)
    yield f"127.0.0.1:{config.port}"
    server.should_exit = True
    await serving


async def test_mounted_beside_other_routes() -> None:
    async with mounted(create_app(Settings(store="memory://"))) as target:
        saved = await asyncio.to_thread(
            post, target, f"/lockstitch{CHECKPOINTS}Save", {"checkpoint": {"sessionId": "s", "step": "3"}}
        )
        loaded = await asyncio.to_thread(post, target, f"/lockstitch{CHECKPOINTS}LoadLatest", {"sessionId": "s"})
        ready = await asyncio.to_thread(ask, target, "GET", "/lockstitch/readyz")
        # uvicorn has neither HTTP/2 nor trailers.
        native = await asyncio.to_thread(
            post, target, f"/lockstitch{CHECKPOINTS}LoadLatest", envelope(b""), "application/grpc", te="trailers"
        )
    assert (saved.status, loaded.json["checkpoint"]["step"], ready.status) == (200, "3", 200)
    assert native.headers["grpc-status"] == "13"


async def test_a_client_that_leaves_ends_its_call_under_servers_that_do_not_cancel() -> None:
    """Of two watches at once, a third is let in only when one has ended."""
    settings = Settings.model_validate({"store": "memory://", "health": {"max_watches": 1}})
    async with mounted(create_app(settings)) as target:
        for _ in range(3):
            async with asyncio.timeout(SECONDS):
                while not await _watched(target):
                    await asyncio.sleep(0.05)


async def _watched(target: str) -> bool:
    host, port = target.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = envelope(b"")
    head = (
        "POST /lockstitch/grpc.health.v1.Health/Watch HTTP/1.1\r\nhost: x\r\n"
        f"content-type: application/grpc-web\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    answer = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    return b"grpc-status: 8" not in answer


async def test_it_must_be_started() -> None:
    with pytest.raises(RuntimeError, match="lifespan"):
        await create_app(Settings(store="memory://"))({"type": "http"}, None, None)  # type: ignore[arg-type]


async def test_a_store_that_cannot_be_opened_is_told_at_startup() -> None:
    told: list[object] = []

    async def receive() -> dict[str, object]:
        return {"type": "lifespan.startup"}

    async def send(event: dict[str, object]) -> None:
        told.append(event["type"])

    application = create_app(Settings(store="sqlite:////nowhere/at/all/lockstitch.db"))
    await application({"type": "lifespan"}, receive, send)  # type: ignore[arg-type]
    assert told == ["lifespan.startup.failed"]


@contextmanager
def under_h2corn(directory: Path) -> Iterator[str]:
    """As docs/http.md starts it. Yields the address."""
    target = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "h2corn", "--grpc", "--bind", target]
    environment = os.environ | {"LOCKSTITCH_STORE": f"sqlite:///{directory}/lockstitch.db"}
    with subprocess.Popen(
        [*command, "lockstitch_server.asgi:create_app", "--factory"], cwd=directory, env=environment
    ) as process:
        try:
            deadline = time.monotonic() + SECONDS
            while not _is_ready(target):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
            yield target
        finally:
            process.terminate()
            process.wait(SECONDS)


def _is_ready(target: str) -> bool:
    with suppress(OSError):
        return ask(target, "GET", "/readyz").status == 200
    return False


@pytest.mark.slow
async def test_under_h2corn_itself_with_the_python_client(tmp_path: Path) -> None:
    with under_h2corn(tmp_path) as target:
        async with lockstitch.AsyncClient(target) as client:
            await client.save(Checkpoint(session_id="s", step=5))
            loaded = await client.load_latest("s")
            assert loaded.checkpoint is not None
            assert loaded.checkpoint.step == 5
        async with grpc.aio.insecure_channel(target) as channel:
            nothing: Any = channel.unary_unary("/nothing.Here/Nothing")
            with pytest.raises(grpc.aio.AioRpcError, match="there is no method"):
                await nothing(b"", timeout=SECONDS)


@pytest.mark.parametrize(("name", "value"), [("client_ca", "/ca.pem"), ("certificate", "/c.pem")])
async def test_settings_of_tls_are_refused(name: str, value: str) -> None:
    """Certificates of clients would otherwise be asked for by nobody."""
    settings = Settings.model_validate({"store": "memory://", "tls": {name: value}})
    with pytest.raises(StartupError, match=f"tls.{name}.*ASGI server"):
        await create_app(settings).__aenter__()


async def status_of(app: LockstitchApp, authorization: str = "", **scope: object) -> int:
    """The status of a load in JSON."""
    sent: list[Any] = []
    body = [{"type": "http.request", "body": b'{"sessionId": "s"}', "more_body": False}]

    async def receive() -> Any:
        return body.pop() if body else await asyncio.get_running_loop().create_future()

    async def send(event: Any) -> None:
        sent.append(event)

    headers = [(b"content-type", b"application/json"), (b"authorization", authorization.encode())]
    request = {"type": "http", "http_version": "1.1", "method": "POST", "path": f"{CHECKPOINTS}LoadLatest"}
    await app({**request, "headers": headers if authorization else headers[:1], **scope}, receive, send)
    status: int = sent[0]["status"]
    return status


HERE, THERE = ("127.0.0.1", 80), ("10.0.0.7", 80)


async def test_an_address_that_others_reach(tmp_path: Path) -> None:
    """It needs TLS and authentication, as `listen` does."""
    key = f"Bearer {make_key(tmp_path / 'keys.json', 'runner', ['acme'])}"
    keys = {"keys": str(tmp_path / "keys.json")}
    async with create_app(Settings(store="memory://")) as app:
        assert await status_of(app, server=HERE, scheme="http") == 200
        assert await status_of(app, server=("/run/l.sock", None), scheme="http") == 200
        assert await status_of(app, server=THERE, scheme="https") == 403
        assert await status_of(app, client=("10.0.0.8", 5), scheme="http") == 403
    async with create_app(Settings(store="memory://", insecure=True)) as app:
        assert await status_of(app, server=THERE, scheme="http") == 200
    async with create_app(Settings.model_validate({"store": "memory://", "auth": keys})) as app:
        assert await status_of(app, key, server=THERE, scheme="https") == 200
        assert await status_of(app, server=THERE, scheme="https") == 401
        assert await status_of(app, key, server=THERE, scheme="http") == 403


async def test_certificates_that_the_server_has_verified(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Their names authenticate. One that the server could not verify says nothing."""
    place = Place(tmp_path)
    chain = [place.client(x509.UniformResourceIdentifier(WORKER)).certificate.decode()]
    settings = Settings.model_validate({"store": "memory://", "auth": {"certificates": str(place.names)}})
    async with create_app(settings) as app:
        shown: dict[str, Any] = {"server": THERE, "scheme": "https"}
        verified = {"tls": {"client_cert_chain": chain, "client_cert_error": None}}
        expired = {"tls": {"client_cert_chain": chain, "client_cert_error": "certificate has expired"}}
        assert await status_of(app, **shown, extensions=verified) == 200
        assert await status_of(app, **shown, extensions=expired) == 401
        assert await status_of(app, **shown, extensions={}) == 401
    assert "client_certificates_unavailable" in "".join(capfd.readouterr())
