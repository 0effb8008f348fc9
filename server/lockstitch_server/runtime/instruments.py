"""Connects the parts of a server to its telemetry."""

from collections.abc import Callable

from lockstitch_server.audit import AuditLog
from lockstitch_server.config import Settings
from lockstitch_server.core.format.reading import Totals
from lockstitch_server.core.planning.session_cache import SessionCache
from lockstitch_server.engine.committer import Committer
from lockstitch_server.engine.damage import DamageLog
from lockstitch_server.engine.maintenance.merger import Merger, MergeStats
from lockstitch_server.engine.maintenance.sweeper import Sweeper, SweepStats
from lockstitch_server.engine.reads.watcher import Watcher
from lockstitch_server.rpc.interceptors.telemetry import CallTelemetry
from lockstitch_server.rpc.observers import CallLog, CallStats
from lockstitch_server.rpc.transport.request_memory import RequestMemory
from lockstitch_server.saving.save_observer import UNOBSERVED, ObserveBatch, SaveCounts, unobserved
from lockstitch_server.saving.save_worker import SaveWorker
from lockstitch_server.storage import Store
from lockstitch_server.telemetry.observers import QueueStats
from lockstitch_server.telemetry.session_ids import SessionIds
from lockstitch_server.telemetry.stats import Stats
from lockstitch_server.telemetry.telemetry import Telemetry

Waiting = Callable[[], tuple[int, int]]


def create_call_telemetry(settings: Settings, telemetry: Telemetry) -> CallTelemetry | None:
    """The interceptor that traces, counts and logs calls; None where none of these is asked for."""
    session_ids = SessionIds(settings.session_id_logging)
    stats = CallStats(telemetry.stats) if telemetry.stats is not None else None
    every = settings.log_level == "debug"
    log = CallLog(session_ids, every=every, slow_seconds=settings.slow_call_seconds)
    noted = every or settings.slow_call_seconds > 0
    if telemetry.tracing is None:
        return CallTelemetry(None, stats, log if noted else None) if stats is not None or noted else None
    from lockstitch_server.rpc.call_spans import CallSpans

    return CallTelemetry(CallSpans(telemetry.tracing, session_ids), stats, log if noted else None)


def create_save_worker(
    store: Store, settings: Settings, telemetry: Telemetry, merger: Merger | None = None
) -> SaveWorker:
    """Processes batches of saves, observed."""
    limits = settings.limits
    cache = SessionCache(settings.session_cache_bytes)
    on_commit = merger.note if merger is not None else lambda _: None
    committer = Committer(store, cache, limits.max_message_bytes, limits.max_parts, on_commit)
    return SaveWorker(committer, limits, _batch_observer(settings, telemetry))


def _batch_observer(settings: Settings, telemetry: Telemetry) -> ObserveBatch:
    """The observer of batches of saves, for metrics and traces."""
    counts = SaveCounts(telemetry.stats) if telemetry.stats is not None else UNOBSERVED
    if telemetry.tracing is None:
        return unobserved if counts is UNOBSERVED else lambda batch: counts
    from lockstitch_server.rpc.call_spans import CallSpans
    from lockstitch_server.saving.save_spans import TracedBatch

    spans = CallSpans(telemetry.tracing, SessionIds(settings.session_id_logging))
    return lambda batch: TracedBatch(spans, batch, counts)


def queue_stats(telemetry: Telemetry, queue: str) -> QueueStats | None:
    """The metrics of a queue's batches; None where there are no metrics."""
    return QueueStats(telemetry.stats, queue) if telemetry.stats is not None else None


def watch_queues(telemetry: Telemetry, **queues: Waiting) -> None:
    """Report how much waits in queues."""
    if telemetry.stats is not None:
        for name, waiting in queues.items():
            QueueStats(telemetry.stats, name).watch(waiting)


def watch_requests(telemetry: Telemetry, memory: RequestMemory) -> None:
    """Report how many bytes of requests are held before they are carried out."""
    if telemetry.stats is not None:
        telemetry.stats.watch(lambda stats: stats.set("lockstitch.requests.held", memory.held))


def watch_sessions(telemetry: Telemetry, watcher: Watcher, sweeper: Sweeper | None) -> None:
    """Report what sweeps do, and how many calls watch sessions."""
    if telemetry.stats is None:
        return
    sweeps = sweeper.stats if sweeper is not None else SweepStats()

    def look(stats: Stats) -> None:
        stats.set("lockstitch.watchers", watcher.callers)
        stats.set("lockstitch.sweeps", sweeps.sweeps, "")
        stats.set("lockstitch.sweeps", sweeps.failures, "broken_off")
        stats.set("lockstitch.swept.sessions", sweeps.sessions)
        stats.set("lockstitch.swept.checkpoints", sweeps.checkpoints)
        stats.set("lockstitch.swept.size", sweeps.bytes)
        stats.set("lockstitch.swept.rows", sweeps.cleared, "cleared")
        stats.set("lockstitch.swept.rows", sweeps.forgotten, "forgotten")

    telemetry.stats.watch(look)


def watch_merges(telemetry: Telemetry, merger: Merger | None) -> None:
    """Report what merges of rows have done."""
    if telemetry.stats is None:
        return
    merges = merger.stats if merger is not None else MergeStats()

    def look(stats: Stats) -> None:
        stats.set("lockstitch.merged.rows", merges.rows)
        stats.set("lockstitch.merged.size", merges.bytes)
        stats.set("lockstitch.merge.failures", merges.failures)

    telemetry.stats.watch(look)


def watch_audit(telemetry: Telemetry, audit: AuditLog | None) -> None:
    """Report how many records the audit log has dropped."""
    if telemetry.stats is not None:
        telemetry.stats.watch(lambda stats: stats.set("lockstitch.audit.lost", audit.lost if audit is not None else 0))


def watch_damage(telemetry: Telemetry, damage: DamageLog) -> None:
    """Report how many damaged sessions were met."""
    if telemetry.stats is not None:
        telemetry.stats.watch(lambda stats: stats.set("lockstitch.damaged", damage.sessions))


def totals_teller(telemetry: Telemetry) -> Callable[[Totals], None] | None:
    """Reports how much the store holds. Of several workers, only the first one does."""
    stats = telemetry.stats
    if stats is None or telemetry.identity.worker > 1:
        return None

    def tell(totals: Totals) -> None:
        stats.set("lockstitch.sessions", totals.sessions)
        stats.set("lockstitch.checkpoints", totals.checkpoints)
        stats.set("lockstitch.stored", totals.stored_bytes)
        stats.set("lockstitch.leases", totals.leases)

    return tell
