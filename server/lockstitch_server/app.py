"""Puts the server together, runs it and takes it down again. The one module that knows all the others."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection

from lockstitch_server.config import Settings
from lockstitch_server.engine.batcher import Bounds
from lockstitch_server.engine.committer import Committer
from lockstitch_server.engine.lister import Lister
from lockstitch_server.engine.loader import Loader
from lockstitch_server.rpc.adapter import service_handler
from lockstitch_server.rpc.checkpoints import Handlers
from lockstitch_server.rpc.dispatch import SERVICE, Dispatcher
from lockstitch_server.rpc.gate import Gate
from lockstitch_server.storage import Store, StoreError, create_store

log = structlog.get_logger(__name__)

LARGEST = 2**31 - 1
STOP_SECONDS = 0.5
"""For the last answers to leave, after the calls have ended or run out of time."""


class StartupError(Exception):
    """The server cannot start. The message is one line for operators."""


@dataclass(frozen=True, slots=True)
class Engine:
    """All that answers calls."""

    committer: Committer
    loader: Loader
    dispatcher: Dispatcher

    async def close(self) -> None:
        """Finish what was taken."""
        await self.committer.close()
        await self.loader.close()


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises StartupError."""
    if sys.platform == "win32":
        asyncio.run(_serve(settings))
        return
    import uvloop

    uvloop.run(_serve(settings))


def create_engine(store: Store, settings: Settings) -> Engine:
    """The engine over an open store."""
    queue, limits = settings.queue, settings.limits
    saves = Bounds(queue.max_operations, queue.max_bytes, queue.batch_operations, queue.batch_bytes)
    loads = Bounds(queue.max_loads, queue.max_loads, queue.load_batch, queue.load_batch)
    committer = Committer(store, saves, limits.max_message_bytes, limits.max_parts)
    loader = Loader(store, loads)
    handlers = Handlers(committer, loader, Lister(store, limits.max_page_bytes), limits)
    return Engine(committer, loader, Dispatcher(handlers, limits))


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[Store]:
    """The store that the settings name. Raises StartupError."""
    try:
        store = create_store(settings.store, pool_size=settings.pool_size, migrate=settings.migrate)
        await store.open()
    except StoreError as error:
        raise StartupError(str(error)) from error
    try:
        yield store
    finally:
        await store.close()


async def _serve(settings: Settings) -> None:
    stop = _stop_on_signals()
    async with open_store(settings) as store:
        engine = create_engine(store, settings)
        health, gate = await _create_health(), Gate()
        server = _create_server(engine, gate, health, settings)
        port = _bind(server, settings.listen)
        await server.start()
        log.info("serving", listen=_address(settings.listen, port), store=settings.store.partition(":")[0])
        await stop.wait()
        log.info("stopping", drain_seconds=settings.drain_seconds)
        await health.enter_graceful_shutdown()
        await gate.close(settings.drain_seconds)
        await server.stop(STOP_SECONDS)
        with suppress(TimeoutError):  # nobody waits for it any more, and the database may hang
            await asyncio.wait_for(engine.close(), STOP_SECONDS)
    log.info("stopped")


def _stop_on_signals() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT; the second ends the process at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        stop.set()
        loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    return stop


def _create_server(
    engine: Engine, gate: Gate, health: health_aio.HealthServicer, settings: Settings
) -> grpc.aio.Server:
    server = grpc.aio.server(options=_options(settings))
    server.add_generic_rpc_handlers((service_handler(engine.dispatcher, gate),))
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    if settings.reflection:
        names = (SERVICE.full_name, "grpc.health.v1.Health", reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server)
    return server


async def _create_health() -> health_aio.HealthServicer:
    health = health_aio.HealthServicer()
    for name in ("", SERVICE.full_name):
        await health.set(name, health_pb2.HealthCheckResponse.SERVING)
    return health


def _options(settings: Settings) -> list[tuple[str, int]]:
    limit = settings.limits.max_message_bytes
    return [
        # Somewhat larger messages are taken in to be refused with an error that names the limit.
        ("grpc.max_receive_message_length", min(2 * limit + 1024 * 1024, LARGEST)),
        ("grpc.max_send_message_length", -1),
        # Two servers on one port would share its calls without knowing of each other.
        ("grpc.so_reuseport", 0),
    ]


def _bind(server: grpc.aio.Server, listen: str) -> int:
    try:
        port = server.add_insecure_port(listen)
    except RuntimeError as error:
        raise StartupError(f"cannot listen on {listen}: the port is in use or may not be used") from error
    if port == 0:
        raise StartupError(f"cannot listen on {listen}")
    return port


def _address(listen: str, port: int) -> str:
    return listen if listen.startswith("unix:") else f"{listen.rpartition(':')[0]}:{port}"
