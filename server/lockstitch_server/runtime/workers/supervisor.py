"""Starts workers, replaces those that end, and lets all of them drain at the end."""

import asyncio
import signal
import socket
from collections.abc import Callable, Sequence

import structlog

from lockstitch_server.config import Settings
from lockstitch_server.runtime.http_server import check_http
from lockstitch_server.runtime.identification import create_identification
from lockstitch_server.runtime.listener import Certificates, check_exposure
from lockstitch_server.runtime.metrics_report import open_page
from lockstitch_server.runtime.reserved_address import reserved_addresses
from lockstitch_server.runtime.startup import StartupError, open_store
from lockstitch_server.runtime.workers.process import READY, Worker, first_of
from lockstitch_server.telemetry.stats import Source

SLACK_SECONDS = 5.0
"""How long a worker may take to end, beyond the time for its calls."""
ECHO_SECONDS = 0.5
"""A second signal within this time counts as the first: `timeout` signals a process, then its whole group."""

log = structlog.get_logger(__name__)


def serve(settings: Settings) -> None:
    """Serve with several processes until SIGTERM or SIGINT. Raises StartupError."""
    _check(settings)
    with reserved_addresses(settings) as held:
        asyncio.run(_serve(held))


def _check(settings: Settings) -> None:
    check_exposure(settings)
    create_identification(settings)
    Certificates.of(settings.tls)
    check_http(settings)
    several = f"{settings.workers} workers cannot share"
    if settings.store == "memory://":
        raise StartupError(f"{several} memory://, since each would have its own; choose another store")
    for listen in (settings.listen, settings.http_listen):
        if listen.startswith("unix:"):
            raise StartupError(f"{several} {listen}; choose host:port")
    if settings.http.metrics:
        raise StartupError(f"{several} /metrics of http_listen, which shows one process; set metrics_listen instead")
    if not hasattr(socket, "SO_REUSEPORT"):
        raise StartupError(f"{several} a port on this system; set workers to 1")


async def _serve(settings: Settings) -> None:
    # Check and migrate the store once, for all workers.
    async with open_store(settings):
        pass
    stopping: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    theirs = settings.model_copy(update={"migrate": False})
    timeout = settings.drain_delay_seconds + settings.drain_seconds + SLACK_SECONDS
    workers = [Worker(number, theirs, stopping, timeout) for number in range(1, settings.workers + 1)]
    _stop_on_signals(stopping, lambda: _kill(workers))
    page = open_page(settings.metrics_listen, lambda: _sources(workers)) if settings.metrics_listen else None
    keeping = asyncio.gather(*(worker.keep() for worker in workers))
    try:
        await _first_start(workers, stopping, settings)
        await first_of(stopping, keeping)
        log.info("stopping", drain_delay_seconds=settings.drain_delay_seconds, drain_seconds=settings.drain_seconds)
    finally:
        _stop(stopping)
        await keeping
        if page is not None:
            await asyncio.to_thread(page.close)
    log.info("stopped")


def _sources(workers: Sequence[Worker]) -> list[Source]:
    """The samples of all workers."""
    return [worker.source for worker in workers if worker.source is not None]


async def _first_start(workers: Sequence[Worker], stopping: "asyncio.Future[None]", settings: Settings) -> None:
    """Wait until all workers are ready. Raises StartupError where none can start."""
    said = asyncio.gather(*(worker.first_start for worker in workers))
    await first_of(said, stopping)
    if said.done() and READY not in said.result():
        raise StartupError(said.result()[0])
    ready = asyncio.gather(*(worker.ready.wait() for worker in workers))
    await first_of(ready, stopping)
    if ready.done():
        store = settings.store.partition(":")[0]
        http = {"http_listen": settings.http_listen} if settings.http_listen else {}
        log.info("serving", listen=settings.listen, store=store, workers=settings.workers, **http)
    ready.cancel()


def _stop_on_signals(stopping: "asyncio.Future[None]", kill: Callable[[], None]) -> None:
    """The first SIGTERM or SIGINT stops the workers; the second of its kind kills them."""
    loop = asyncio.get_running_loop()

    def on_second(number: signal.Signals, first: float) -> None:
        if loop.time() - first > ECHO_SECONDS:
            kill()
            loop.remove_signal_handler(number)
            signal.raise_signal(number)

    def on_first(number: signal.Signals) -> None:
        loop.add_signal_handler(number, on_second, number, loop.time())
        _stop(stopping)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_first, number)


def _stop(stopping: "asyncio.Future[None]") -> None:
    if not stopping.done():
        stopping.set_result(None)


def _kill(workers: Sequence[Worker]) -> None:
    for worker in workers:
        worker.kill()
