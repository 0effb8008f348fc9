"""How the numbers of a server's processes come together on one page for Prometheus.

A writer sends its numbers to the process that serves, a worker its own and its writer's to the supervisor. Whoever is
the outermost serves the page.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import structlog

from lockstitch_server.config import Settings
from lockstitch_server.startup import StartupError
from lockstitch_server.telemetry.hub import Hub
from lockstitch_server.telemetry.identity import Identity
from lockstitch_server.telemetry.stats import Source, sample_of
from lockstitch_server.writer.remote import Remote

if TYPE_CHECKING:
    from lockstitch_server.telemetry.page import Page

SAMPLES_SECONDS = 1.0
"""How old the numbers of a worker on the page may be."""
SAMPLES = "samples "
"""Begins a line in which a worker tells its numbers."""

log = structlog.get_logger(__name__)

Say = Callable[[str], None]


@asynccontextmanager
async def reporting(hub: Hub, settings: Settings, writer: Remote | None, say: Say) -> AsyncIterator[None]:
    """Report what the processes of one worker count; at the end, send what is left of everything.

    say: tells the supervisor a line, where there is one. Raises StartupError.
    """
    page, telling = None, None
    if settings.metrics_listen and hub.identity.worker:
        telling = asyncio.create_task(_tell(hub, writer, say))
    elif settings.metrics_listen:
        page = open_page(settings.metrics_listen, lambda: _sources(hub, writer))
    try:
        yield
    finally:
        if telling is not None:
            telling.cancel()
        if page is not None:
            await asyncio.to_thread(page.close)
        await asyncio.to_thread(hub.close)


def open_page(listen: str, sources: Callable[[], Iterable[Source]]) -> "Page":
    """Serve the page. Raises StartupError."""
    try:
        from lockstitch_server.telemetry.page import Page

        page = Page(listen, sources)
    except ImportError as error:
        raise StartupError("metrics_listen needs prometheus-client: pip install 'lockstitch[otel]'") from error
    except OSError as error:
        raise StartupError(f"cannot serve metrics on {listen}: {error.strerror or error}") from error
    log.info("serving_metrics", listen=page.address)
    return page


def from_line(line: str) -> list[Source]:
    """What a worker has told in a line."""
    told: list[Any] = json.loads(line.removeprefix(SAMPLES))
    return [Source(Identity(*identity), [sample_of(sample) for sample in samples]) for identity, samples in told]


async def _tell(hub: Hub, writer: Remote | None, say: Say) -> None:
    while True:
        say(SAMPLES + json.dumps(_sources(hub, writer), separators=(",", ":")))
        await asyncio.sleep(SAMPLES_SECONDS)


def _sources(hub: Hub, writer: Remote | None) -> list[Source]:
    assert hub.stats is not None
    own = Source(hub.identity, hub.stats.snapshot())
    if writer is None or not writer.samples:
        return [own]
    return [own, Source(Identity("writer", hub.identity.worker), writer.samples)]
