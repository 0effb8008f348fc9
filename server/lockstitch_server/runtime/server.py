"""Puts the server together, runs it and takes it down again. The one module that knows all the others."""

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from operator import attrgetter

import grpc
import structlog
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from lockstitch_server.audit import AuditLog
from lockstitch_server.auth import Identification
from lockstitch_server.config import Settings
from lockstitch_server.core.sessions.leases import NS_PER_SECOND
from lockstitch_server.core.sessions.session import Retention
from lockstitch_server.engine.batching_queue import BatchingQueue, Bounds
from lockstitch_server.engine.damage import DamageLog
from lockstitch_server.engine.maintenance.copier import Copier
from lockstitch_server.engine.maintenance.health_probe import Looks, ProbeSettings, probing
from lockstitch_server.engine.maintenance.merger import Merger, MergeSettings, merging
from lockstitch_server.engine.maintenance.pruner import Pruner
from lockstitch_server.engine.maintenance.sessions import Sessions
from lockstitch_server.engine.maintenance.sweeper import Sweeper, SweepSettings, sweeping
from lockstitch_server.engine.maintenance.totals import counting
from lockstitch_server.engine.reads.answer_memory import AnswerMemory
from lockstitch_server.engine.reads.lister import Lister
from lockstitch_server.engine.reads.loader import Loader
from lockstitch_server.engine.reads.watcher import Watcher
from lockstitch_server.rpc.admission_gate import AdmissionGate
from lockstitch_server.rpc.dispatcher import CHECKPOINT_SERVICE, SESSION_SERVICE, Dispatcher
from lockstitch_server.rpc.interceptors import Interceptor
from lockstitch_server.rpc.interceptors.admission import Admission
from lockstitch_server.rpc.interceptors.audit import Audit, RequiredAudit
from lockstitch_server.rpc.interceptors.authentication import Authentication
from lockstitch_server.rpc.interceptors.order import in_order
from lockstitch_server.rpc.interceptors.tenant_limits import TenantLimits, limits_tenants
from lockstitch_server.rpc.metadata_facts import MetadataFacts
from lockstitch_server.rpc.save_stream import FlowLimits
from lockstitch_server.rpc.services.checkpoints import Handlers
from lockstitch_server.rpc.services.sessions import SessionHandlers
from lockstitch_server.rpc.transport.grpc_aio import service_handlers
from lockstitch_server.rpc.transport.health import SERVICE_NAME as HEALTH
from lockstitch_server.rpc.transport.health import Health
from lockstitch_server.rpc.transport.http.application import HttpApplication
from lockstitch_server.rpc.transport.receiving import Preparation, Receiver, receivable_bytes
from lockstitch_server.rpc.transport.reflection import SERVICE_NAME as REFLECTION
from lockstitch_server.rpc.transport.reflection import reflection_handlers
from lockstitch_server.rpc.transport.request_memory import RequestMemory
from lockstitch_server.runtime.gc import tune_collector
from lockstitch_server.runtime.grpc_server import grpc_server
from lockstitch_server.runtime.http_application import ServiceHandlers, create_http_application
from lockstitch_server.runtime.http_server import check_http, serving_http
from lockstitch_server.runtime.identification import audit_log, create_identification
from lockstitch_server.runtime.instruments import (
    create_call_telemetry,
    create_save_worker,
    queue_stats,
    totals_teller,
    watch_audit,
    watch_damage,
    watch_merges,
    watch_queues,
    watch_requests,
    watch_sessions,
)
from lockstitch_server.runtime.listener import Certificates, asks_who_calls, check_exposure
from lockstitch_server.runtime.metrics_report import metrics_report
from lockstitch_server.runtime.reserved_address import reserved_addresses
from lockstitch_server.runtime.startup import observed, open_store
from lockstitch_server.saving.save_requests import RawRequest
from lockstitch_server.storage import Store
from lockstitch_server.telemetry.identity import Identity
from lockstitch_server.telemetry.telemetry import NO_TELEMETRY, Telemetry, create_telemetry

log = structlog.get_logger(__name__)

STOP_SECONDS = 0.5
"""For the last answers to leave, after the calls have ended or run out of time."""


@dataclass(frozen=True, slots=True)
class Engine:
    """All that answers calls."""

    saves: BatchingQueue[RawRequest, bytes]
    loader: Loader
    watcher: Watcher
    sweeper: Sweeper | None
    merger: Merger | None
    dispatcher: Dispatcher

    async def close(self) -> None:
        """Finish what was taken."""
        await self.watcher.close()
        await self.saves.close()
        await self.loader.close()


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises StartupError."""

    def tell(address: str) -> None:
        log.info("serving", listen=address, store=settings.store.partition(":")[0])

    async def serve_here() -> None:
        await serve_until(stop_on_signals(), settings, tell)

    run(serve_here())


def run(main: Coroutine[None, None, None]) -> None:
    """Run a server's coroutine, on the fastest event loop there is."""
    if sys.platform == "win32":
        asyncio.run(main)
        return
    import uvloop

    uvloop.run(main)


def create_engine(store: Store, settings: Settings, telemetry: Telemetry = NO_TELEMETRY) -> Engine:
    """The engine over an open store."""
    queue, limits = settings.queue, settings.limits
    bounds = Bounds(
        queue.max_operations,
        queue.max_bytes,
        queue.batch_operations,
        queue.batch_bytes,
        settings.tenants.max_waiting_saves,
        settings.tenants.max_waiting_bytes,
    )
    loads = Bounds(queue.max_loads, queue.max_loads, queue.load_batch, queue.load_batch)
    damage, memory = DamageLog(), AnswerMemory(queue.max_answer_bytes, queue.connection_answer_bytes)
    merger = _merger(store, settings, lambda: saves.queued[0] > 0, damage)
    saves: BatchingQueue[RawRequest, bytes] = BatchingQueue(
        create_save_worker(store, settings, telemetry, merger).process_batch,
        _size,
        bounds,
        count_of=_count,
        group_of=attrgetter("tenant"),
        gathers=True,
        observer=queue_stats(telemetry, "saves"),
    )
    loader = Loader(store, loads, queue_stats(telemetry, "loads"))
    watch_queues(telemetry, saves=lambda: saves.queued, loads=lambda: (loader.queued[0], 0))
    flow_limits = FlowLimits(queue.stream_operations, queue.stream_bytes)
    lister, facts = Lister(store, limits.max_page_bytes, damage), MetadataFacts()
    handlers = Handlers(saves, loader, lister, limits, flow_limits, memory, facts)
    watcher = Watcher(store, settings.sessions.watch_seconds)
    sessions, pruner = Sessions(store, limits.max_labels), Pruner(store, _retention(settings))
    session_handlers = SessionHandlers(sessions, pruner, Copier(store), watcher, settings.sessions, limits, facts)
    services = {CHECKPOINT_SERVICE.full_name: handlers, SESSION_SERVICE.full_name: session_handlers}
    policy, sweeper = settings.retention, None
    if policy.sweep_seconds:
        sweep = SweepSettings(policy.sweep_seconds, policy.sweep_sessions, policy.sweep_pause_seconds)
        sweeper = Sweeper(store, sessions, pruner, sweep, lambda: saves.queued[0] > 0, damage, merger)
    watch_damage(telemetry, damage)
    return Engine(saves, loader, watcher, sweeper, merger, Dispatcher(services, limits))


def _merger(store: Store, settings: Settings, is_busy: Callable[[], bool], damage: DamageLog) -> Merger | None:
    merge = settings.merge
    if not merge.interval_seconds:
        return None
    return Merger(store, MergeSettings(merge.interval_seconds, merge.row_bytes, merge.level), is_busy, damage)


def _retention(settings: Settings) -> Retention:
    policy = settings.retention
    return Retention(policy.keep_last, round(policy.max_age_seconds * NS_PER_SECOND))


def _size(request: RawRequest) -> int:
    return len(request.data)


def _count(request: RawRequest) -> int:
    return request.operations


@dataclass(frozen=True, slots=True)
class Runtime:
    """A server without an address. handlers: what answers, by service."""

    settings: Settings
    engine: Engine
    telemetry: Telemetry
    health: Health
    gate: AdmissionGate
    store: Store
    bare_store: Store
    handlers: ServiceHandlers
    request_memory: RequestMemory

    def http_application(self, *, watches_clients: bool) -> HttpApplication:
        """The same handlers as an ASGI application. Raises StartupError."""
        contract = [service.full_name for service in self.engine.dispatcher.services]
        return create_http_application(
            self.handlers,
            contract,
            self.health,
            self.settings,
            self.telemetry,
            self.request_memory,
            watches_clients=watches_clients,
        )

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Do what is done beside calls: probe the database, count, sweep, merge rows."""
        look, probe = _looks(self.store, self.settings).look, _probe_settings(self.settings)
        tell = totals_teller(self.telemetry)
        async with (
            probing(look, self.health.set_ready, probe),
            counting(self.bare_store, tell, self.settings.metrics_totals_seconds),
            sweeping(self.engine.sweeper),
            merging(self.engine.merger),
        ):
            yield

    async def drain(self) -> None:
        """Refuse new calls; wait until those that are under way have ended, at most `drain_seconds`."""
        await self.gate.close(self.settings.drain_seconds)
        self.health.end()


@asynccontextmanager
async def open_runtime(
    settings: Settings, *, worker: int = 0, say: Callable[[str], None] = lambda _: None, embedded: bool = False
) -> AsyncIterator[Runtime]:
    """Open the store and put together all that answers calls. Raises StartupError.

    worker, say: as in `serve_until`. embedded: as in `create_identification`.
    """
    identification = create_identification(settings, embedded=embedded)
    telemetry = create_telemetry(settings, Identity(worker))
    async with (
        audit_log(settings) as audit,
        metrics_report(telemetry, settings, say),
        open_store(settings) as bare,
    ):
        store = observed(bare, settings.store, telemetry)
        engine = create_engine(store, settings, telemetry)
        watch_sessions(telemetry, engine.watcher, engine.sweeper)
        watch_merges(telemetry, engine.merger)
        watch_audit(telemetry, audit)
        health = Health((service.full_name for service in engine.dispatcher.services), settings.health.max_watches)
        gate = AdmissionGate(settings.limits.max_calls)
        interceptors = create_interceptors(gate, settings, identification, audit, telemetry)
        receivable = receivable_bytes(settings.limits.max_message_bytes)
        memory = RequestMemory(max(settings.queue.max_request_bytes, 2 * receivable))
        watch_requests(telemetry, memory)
        preparation = Preparation(settings.limits, receivable, memory)
        receiver = Receiver(Authentication(identification).identify, preparation, settings)
        handlers = _handlers(engine.dispatcher, interceptors, receiver, health, settings)
        try:
            yield Runtime(settings, engine, telemetry, health, gate, store, bare, handlers, memory)
        finally:
            with suppress(TimeoutError):  # nobody waits for it any more, and the database may hang
                await asyncio.wait_for(engine.close(), STOP_SECONDS)


def _handlers(
    dispatcher: Dispatcher,
    interceptors: Sequence[Interceptor],
    receiver: Receiver,
    health: Health,
    settings: Settings,
) -> ServiceHandlers:
    """All services: those of the contract, health, and reflection where everybody may call."""
    services = list(dispatcher.services)
    found: dict[str, tuple[ServiceDescriptor, grpc.GenericRpcHandler]] = {
        service.full_name: (service, handler)
        for service, handler in zip(services, service_handlers(dispatcher, interceptors, receiver), strict=True)
    }
    found[HEALTH] = (health_pb2.DESCRIPTOR.services_by_name["Health"], health.handlers())
    if settings.reflection and not asks_who_calls(settings):
        descriptor = reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"]
        found[REFLECTION] = (descriptor, reflection_handlers(tuple(found)))
    return found


async def serve_until(
    stop: asyncio.Event,
    settings: Settings,
    on_serving: Callable[[str], None],
    *,
    worker: int = 0,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve until `stop` is set. `on_serving` gets the address.

    worker: the number of this process where several serve the same address, else 0.
    say: tells the supervisor of workers a line. Raises StartupError.
    """
    check_exposure(settings)
    if worker or not hasattr(socket, "SO_REUSEPORT"):
        await _serve_until(stop, settings, on_serving, worker=worker, say=say)
        return
    # All that can be wrong with the addresses is found before the store is opened, which may create it.
    Certificates.of(settings.tls)
    check_http(settings)
    with reserved_addresses(settings) as held:
        await _serve_until(stop, held, on_serving, worker=worker, say=say)


async def _serve_until(
    stop: asyncio.Event,
    settings: Settings,
    on_serving: Callable[[str], None],
    *,
    worker: int,
    say: Callable[[str], None],
) -> None:
    async with open_runtime(settings, worker=worker, say=say) as runtime:
        shared = hasattr(socket, "SO_REUSEPORT")  # with this process, or the supervisor of workers: they hold the port
        handlers = [handler for _, handler in runtime.handlers.values()]
        application = runtime.http_application(watches_clients=False)
        with grpc_server(handlers, settings, shared=shared) as server:
            async with serving_http(application, settings, shared=shared) as http:
                await server.start()
                tune_collector()
                on_serving(server.address)
                async with runtime.at_work():
                    await stop.wait()
                    runtime.health.leave()
                    seconds = {name: getattr(settings, name) for name in ("drain_delay_seconds", "drain_seconds")}
                    log.info("stopping", **seconds)
                await asyncio.sleep(settings.drain_delay_seconds)
                if http is not None:
                    http.drain()
                await runtime.drain()
                await asyncio.gather(server.stop(STOP_SECONDS), http.stop(STOP_SECONDS) if http else _nothing())
    log.info("stopped")


async def _nothing() -> None:
    return


def stop_on_signals() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT; the second ends the process at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        stop.set()
        loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    return stop


def create_interceptors(
    gate: AdmissionGate,
    settings: Settings,
    identification: Identification | None = None,
    audit: AuditLog | None = None,
    telemetry: Telemetry = NO_TELEMETRY,
) -> tuple[Interceptor, ...]:
    """What every call goes through, the outermost first. Around them, the adapter masks what callers may not know."""
    return in_order(
        {
            "telemetry": create_call_telemetry(settings, telemetry),
            "admission": Admission(gate, _stream_seconds(settings)),
            "audit": Audit(audit) if audit is not None else None,
            "authentication": Authentication(identification),
            "tenant_limits": TenantLimits(settings.tenants) if limits_tenants(settings.tenants) else None,
            "required_audit": RequiredAudit(audit) if audit is not None and audit.required else None,
        }
    )


def _looks(store: Store, settings: Settings) -> Looks:
    health = settings.health
    return Looks(store.ping, lambda: store.try_write(health.free_bytes), health.write_seconds)


def _probe_settings(settings: Settings) -> ProbeSettings:
    health = settings.health
    return ProbeSettings(health.probe_seconds, health.timeout_seconds, health.failures)


def _stream_seconds(settings: Settings) -> float:
    """How long a stream may last so that it ends in peace, even if its connection grows too old when it begins."""
    return settings.max_connection_age_grace_seconds / 2 if settings.max_connection_age_seconds else 0.0
