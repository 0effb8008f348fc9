"""Serves the metrics of all workers on one page for Prometheus.

A single process serves its own page. With several workers, each sends its samples to the supervisor, which serves them.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import structlog

from lockstitch_server.config import Settings
from lockstitch_server.runtime.startup import StartupError
from lockstitch_server.telemetry.identity import Identity
from lockstitch_server.telemetry.stats import Source, sample_of
from lockstitch_server.telemetry.telemetry import Telemetry

if TYPE_CHECKING:
    from lockstitch_server.telemetry.prometheus_server import PrometheusServer

SAMPLES_SECONDS = 1.0
"""How old the samples of a worker on the page may be."""
SAMPLES = "samples "
"""Starts a line in which a worker sends its samples."""

log = structlog.get_logger(__name__)

Say = Callable[[str], None]


@asynccontextmanager
async def metrics_report(telemetry: Telemetry, settings: Settings, say: Say) -> AsyncIterator[None]:
    """Report the metrics of this process. At the end, send the last metrics and spans.

    say: sends a line to the supervisor, where there is one. Raises StartupError.
    """
    page, sending = None, None
    if settings.metrics_listen and telemetry.identity.worker:
        sending = asyncio.create_task(_send_samples(telemetry, say))
    elif settings.metrics_listen:
        page = open_page(settings.metrics_listen, lambda: [source_of(telemetry)])
    try:
        yield
    finally:
        if sending is not None:
            sending.cancel()
        if page is not None:
            await asyncio.to_thread(page.close)
        await asyncio.to_thread(telemetry.close)


def open_page(listen: str, sources: Callable[[], Iterable[Source]]) -> "PrometheusServer":
    """Serve the page. Raises StartupError."""
    try:
        from lockstitch_server.telemetry.prometheus_server import PrometheusServer

        page = PrometheusServer(listen, sources)
    except ImportError as error:
        raise StartupError("metrics_listen needs prometheus-client: pip install 'lockstitch[otel]'") from error
    except OSError as error:
        raise StartupError(f"cannot serve metrics on {listen}: {error.strerror or error}") from error
    log.info("serving_metrics", listen=page.address)
    return page


def metrics_page(telemetry: Telemetry, settings: Settings) -> Callable[[], tuple[str, bytes]] | None:
    """The metrics of this process, for `/metrics` of the HTTP door; None: it has none. Raises StartupError."""
    if not settings.http.metrics:
        return None
    try:
        from lockstitch_server.telemetry.prometheus_server import metrics_text
    except ImportError as error:
        raise StartupError("http.metrics needs prometheus-client: pip install 'lockstitch[otel]'") from error
    return partial(metrics_text, lambda: [source_of(telemetry)])


def from_line(line: str) -> Source:
    """The samples that a worker has sent in a line."""
    identity, samples = json.loads(line.removeprefix(SAMPLES))
    return Source(Identity(*identity), [sample_of(sample) for sample in samples])


async def _send_samples(telemetry: Telemetry, say: Say) -> None:
    while True:
        say(SAMPLES + json.dumps(source_of(telemetry), separators=(",", ":")))
        await asyncio.sleep(SAMPLES_SECONDS)


def source_of(telemetry: Telemetry) -> Source:
    """The samples of this process."""
    assert telemetry.stats is not None
    return Source(telemetry.identity, telemetry.stats.snapshot())
