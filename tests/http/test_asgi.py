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
from starlette.applications import Starlette
from starlette.routing import Mount

import lockstitch
from lockstitch.v1.checkpoint_pb2 import Checkpoint
from lockstitch_server.asgi import LockstitchApp, Settings, create_app
from tests.http.requests import CHECKPOINTS, ask, envelope, post
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
