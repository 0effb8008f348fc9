"""What must be right before anything is served."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from lockstitch_server.config import Settings
from lockstitch_server.storage import Store, StoreError
from lockstitch_server.storage.factory import create_store, warnings_about
from lockstitch_server.storage.instrumented import ObservedStore
from lockstitch_server.storage.libpq.address import is_postgres, read_address
from lockstitch_server.telemetry.observers import DatabaseObserver, watch_connections
from lockstitch_server.telemetry.telemetry import Telemetry

log = structlog.get_logger(__name__)


class StartupError(Exception):
    """The server cannot start. The message is one line for operators."""


def observed(store: Store, url: str, telemetry: Telemetry) -> Store:
    """A store with metrics and spans; the same store without telemetry."""
    if telemetry.tracing is None and telemetry.stats is None:
        return store
    if telemetry.stats is not None:
        watch_connections(telemetry.stats, lambda: store.connections)
    # Its own spelling: what tells of a database reads URLs as the web has them, which libpq's need not be.
    spelled = str(read_address(url)) if is_postgres(url) else url
    return ObservedStore(store, DatabaseObserver(spelled, telemetry.stats, is_traced=telemetry.tracing is not None))


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[Store]:
    """The store that the settings name. Raises StartupError."""
    try:
        for warning in warnings_about(settings.store):
            log.warning("postgres_parameter_ignored", detail=warning)
        store = create_store(
            settings.store,
            pool_size=settings.pool_size,
            migrate=settings.migrate,
            statement_cache=settings.postgres.statement_cache,
            failover_seconds=settings.postgres.failover_seconds,
            write_connections=settings.postgres.write_connections,
        )
        await store.open()
    except StoreError as error:
        raise StartupError(str(error)) from error
    try:
        yield store
    finally:
        await store.close()
