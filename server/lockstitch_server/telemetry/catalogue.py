"""All metrics, as data. docs/observability.md lists them, and a test compares both with what a server produces.

Names follow OpenTelemetry's conventions where there is one; the server's own begin with `lockstitch.`. Every attribute
has few values, such as methods, status codes and names of queues. No value comes from a request.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "updown", "gauge", "histogram"]

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
ITEMS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    kind: `counter` only grows; `updown` is a sum that also shrinks; `gauge` is a value that makes no sum.
    bounds: of a histogram's buckets, ascending.
    """

    name: str
    kind: Kind
    unit: str
    description: str
    attributes: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


_ALL = (
    Metric(
        "rpc.server.call.duration",
        "histogram",
        "s",
        "Duration of calls, by method and status code. A SaveStream may last for days.",
        ("rpc.method", "rpc.response.status_code"),
        SECONDS,
    ),
    Metric("lockstitch.calls.active", "updown", "{call}", "Calls in progress."),
    Metric(
        "lockstitch.requests.held",
        "updown",
        "By",
        "Bytes of requests that have arrived in part on `http_listen`, or wait to be unpacked or parsed.",
    ),
    Metric("lockstitch.saves", "counter", "{save}", "Saves, by outcome.", ("lockstitch.save.outcome",)),
    Metric("lockstitch.saves.received", "counter", "By", "Bytes of the requests that save."),
    Metric(
        "lockstitch.saves.stored",
        "counter",
        "By",
        "Bytes that saves have stored, without the database's own overhead.",
    ),
    Metric("lockstitch.queue.items", "updown", "{item}", "Requests waiting in a queue.", ("lockstitch.queue",)),
    Metric("lockstitch.queue.size", "updown", "By", "Bytes of the requests waiting in a queue.", ("lockstitch.queue",)),
    Metric(
        "lockstitch.queue.wait",
        "histogram",
        "s",
        "Time that the oldest request of a batch waited in its queue.",
        ("lockstitch.queue",),
        SECONDS,
    ),
    Metric("lockstitch.batch.size", "histogram", "{item}", "Requests in a batch.", ("lockstitch.queue",), ITEMS),
    Metric(
        "lockstitch.batch.duration",
        "histogram",
        "s",
        "Time to process a batch: for saves, until all of it is durable.",
        ("lockstitch.queue",),
        SECONDS,
    ),
    Metric(
        "db.client.operation.duration",
        "histogram",
        "s",
        "Duration of uses of the database: commit (a batch planned from the session cache), write (a transaction that "
        "reads and writes), read.",
        ("db.system.name", "db.operation.name"),
        SECONDS,
    ),
    Metric(
        "db.client.connection.count",
        "updown",
        "{connection}",
        "Connections to Postgres.",
        ("db.client.connection.pool.name", "db.client.connection.state"),
    ),
    Metric(
        "db.client.connection.max",
        "updown",
        "{connection}",
        "Maximum connections to Postgres.",
        ("db.client.connection.pool.name",),
    ),
    Metric("lockstitch.sessions", "gauge", "{session}", "Sessions in the database."),
    Metric("lockstitch.checkpoints", "gauge", "{checkpoint}", "Checkpoints in the database."),
    Metric("lockstitch.stored", "gauge", "By", "Bytes of all sessions, without the database's own overhead."),
    Metric("lockstitch.leases", "gauge", "{lease}", "Leases that have not expired."),
    Metric(
        "lockstitch.audit.lost",
        "counter",
        "{record}",
        "Records dropped from the audit log: the queue to the file was full, or the file could not be written.",
    ),
    Metric("lockstitch.watchers", "updown", "{call}", "Open WatchSession calls."),
    Metric("lockstitch.sweeps", "counter", "{sweep}", "Passes over all sessions, by how they ended.", ("error.type",)),
    Metric(
        "lockstitch.damaged",
        "counter",
        "{session}",
        "Sessions with damaged rows that sweeps and lists have found. A process counts each once.",
    ),
    Metric("lockstitch.swept.sessions", "counter", "{session}", "Sessions that sweeps have read."),
    Metric("lockstitch.swept.checkpoints", "counter", "{checkpoint}", "Checkpoints that sweeps have deleted."),
    Metric("lockstitch.swept.size", "counter", "By", "Bytes of the checkpoints that sweeps have deleted."),
    Metric(
        "lockstitch.swept.rows",
        "counter",
        "{session}",
        "Expired or deleted sessions whose content (`cleared`) or last row (`forgotten`) sweeps have deleted.",
        ("lockstitch.sweep.step",),
    ),
    Metric("lockstitch.merged.rows", "counter", "{row}", "Rows of logs that larger rows have replaced."),
    Metric("lockstitch.merged.size", "counter", "By", "Bytes of logs in the rows that were replaced, uncompressed."),
    Metric("lockstitch.merge.failures", "counter", "{failure}", "Steps of merging rows that failed."),
    Metric(
        "otel.sdk.processor.span.processed",
        "counter",
        "{span}",
        "Spans handed to an exporter (empty `error.type`), or dropped (`queue_full`).",
        ("error.type",),
    ),
    Metric(
        "otel.sdk.exporter.span.exported",
        "counter",
        "{span}",
        "Spans that a collector took (empty `error.type`), or that are lost (`rejected`).",
        ("error.type",),
    ),
    Metric("process.cpu.time", "counter", "s", "Processor time of the process.", ("cpu.mode",)),
    Metric("process.memory.usage", "updown", "By", "Resident memory of the process."),
    Metric("process.unix.file_descriptor.count", "updown", "{file_descriptor}", "Open files of the process."),
    Metric("process.uptime", "gauge", "s", "Time since the process started."),
)

METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _ALL}
