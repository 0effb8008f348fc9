# ruff: noqa: S608 - the SQL is put together of constants; what callers say is bound as parameters
"""SQL of lists, whose conditions depend on the request; the same on every backend, except for `Dialect`."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lockstitch_server.core.format.checkpoint import NS_PER_SECOND
from lockstitch_server.core.format.reading import CheckpointQuery, ListedCheckpoint, SessionQuery
from lockstitch_server.core.format.rows import CheckpointRow, SessionRow, SessionSummary
from lockstitch_server.core.ids import tenant_hash
from lockstitch_server.core.sessions.leases import Holder
from lockstitch_server.storage.buckets import bucket_of
from lockstitch_server.storage.columns import settings_checksum
from lockstitch_server.storage.tables import CHECKPOINT, SESSION, SETTINGS, Row, expand

MAX_ID_END = "\U0010ffff" * 64
"""Behind a prefix, it stands after every id that begins so."""


IS_DOUBTFUL = (
    "(s.checkpoint_count <= 0 AND s.stored_bytes <> s.write_bytes) "
    "OR s.expire_at < CAST(s.updated_at AS NUMERIC) + coalesce(s.ttl, 0) AND s.stored_bytes <> 0"
)
"""Whether the row of a session that is not shown may be damaged: it counts bytes of checkpoints and no checkpoints, or
expires before its time. Its checksum decides."""


class Dialect(NamedTuple):
    """In what databases differ here."""

    schema: str
    """Put before a table's name."""
    placeholder: Callable[[int], str]
    """The n-th parameter, from 1."""
    terms_join: str
    """The checkpoints of a term `t.term`, for searches that begin with one; empty: the database finds its own way."""
    has_term: str
    """Whether a checkpoint has the term in `{}`."""
    clock: str
    """The database's time in ns."""
    has_labels: str
    """Whether a session has the labels in the JSON object `{}`."""
    is_distributed: bool = False
    """Whether tables have buckets: see `buckets`."""

    @property
    def same_bucket(self) -> str:
        """Put before `c.key = s.key`: rows of a session have the same bucket."""
        return "c.bucket = s.bucket AND " if self.is_distributed else ""

    @property
    def now(self) -> str:
        """The database's time in a condition, which is evaluated once where the database can do so."""
        return self.clock if self.is_distributed else f"(SELECT {self.clock})"


@dataclass
class Statement:
    """SQL put together with its parameters."""

    dialect: Dialect
    parameters: list[Any] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)

    def bind(self, value: Any) -> str:
        """A placeholder for a value."""
        self.parameters.append(value)
        return self.dialect.placeholder(len(self.parameters))

    def where(self, template: str, *values: Any) -> None:
        """Add a condition, with a value for each `{}`."""
        self.conditions.append(template.format(*map(self.bind, values)))

    def where_set(self, template: str, value: Any) -> None:
        """Add a condition unless its value is None or empty text."""
        if value not in (None, ""):
            self.where(template, value)

    @property
    def condition(self) -> str:
        return " AND ".join(self.conditions)


def sessions(query: SessionQuery, dialect: Dialect) -> tuple[str, list[Any]]:
    """Rows for `session_summary`. Sessions that are not shown come where their rows may be damaged."""
    sql = Statement(dialect)
    sql.where(f"s.tenant = {{}} AND ({_is_shown(dialect)} OR {IS_DOUBTFUL})", query.tenant)
    if query.prefix:
        sql.where("s.session_id >= {} AND s.session_id <= {}", query.prefix, query.prefix + MAX_ID_END)
    if query.labels:
        sql.where(dialect.has_labels, json.dumps(dict(query.labels)))
    if query.updated_since is not None:
        sql.where("s.updated_second >= {} AND s.updated_at >= {}", *_moment(query.updated_since))
    if query.updated_before is not None:
        sql.where("s.updated_second <= {} AND s.updated_at < {}", *_moment(query.updated_before))
    order = _session_order(query, sql)
    latest = (
        f"(SELECT {{}} FROM {dialect.schema}checkpoints c WHERE {dialect.same_bucket}c.key = s.key "
        "AND c.namespace = '' ORDER BY c.checkpoint_id DESC LIMIT 1)"
    )
    holder = f"CASE WHEN s.lease_expire_at > {dialect.clock} THEN s.lease_holder ELSE '' END"
    columns = (
        f"{_is_shown(dialect)} AS is_shown, {{s.session}}, {holder} AS live_holder, "
        f"{latest.format('c.checkpoint_id')} AS latest_id, {latest.format('c.step')} AS latest_step, s.crc, "
        "s.settings_crc, {s.settings}"
    )
    return (
        f"SELECT {expand(columns, {})} "
        f"FROM {dialect.schema}sessions s WHERE {sql.condition} ORDER BY {order} LIMIT {sql.bind(query.limit)}"
    ), sql.parameters


def session_summary(columns: Row) -> SessionSummary:
    """A row of `sessions`."""
    row = SessionRow(*[columns[name] for name in SESSION])
    row.lease_holder = Holder.of(columns["live_holder"]).name
    settings = [columns[name] for name in SETTINGS]
    row.damaged = row.checksum() != columns["crc"] or settings_checksum(row.key, settings) != columns["settings_crc"]
    labels = {} if row.damaged else json.loads(columns["labels"])
    is_shown = bool(columns["is_shown"]) or row.damaged
    return SessionSummary(row, columns["latest_id"] or "", columns["latest_step"] or 0, labels, is_shown)


def checkpoints(query: CheckpointQuery, dialect: Dialect) -> tuple[str, list[Any]]:
    """Rows for `listed_checkpoint`."""
    sql = Statement(dialect)
    source = _checkpoint_source(query, sql)
    if query.key is not None:
        order = "c.checkpoint_id DESC, c.namespace DESC"
        if query.after is not None:
            sql.where("(c.checkpoint_id, c.namespace) < ({}, {})", query.after.checkpoint_id, query.after.namespace)
    else:
        order = "c.revision DESC, c.key DESC, c.namespace DESC, c.checkpoint_id DESC"
        if query.after is not None:
            sql.where("c.revision <= {}", query.after.revision)
            sql.where("(c.revision, c.key, c.namespace, c.checkpoint_id) < ({}, {}, {}, {})", *query.after)
    return (
        f"SELECT {expand('{c.checkpoint}', {})}, s.session_id {source} WHERE {sql.condition} "
        f"ORDER BY {order} LIMIT {sql.bind(query.limit)}"
    ), sql.parameters


def listed_checkpoint(columns: Row) -> ListedCheckpoint:
    """A row of `checkpoints`."""
    return ListedCheckpoint(columns["session_id"], CheckpointRow(*[columns[name] for name in CHECKPOINT]))


def checkpoint_count(query: CheckpointQuery, dialect: Dialect) -> tuple[str, list[Any]]:
    """One row with how many match."""
    sql = Statement(dialect)
    source = _checkpoint_source(query, sql)
    return f"SELECT count(*) {source} WHERE {sql.condition}", sql.parameters


def _session_order(query: SessionQuery, sql: Statement) -> str:
    after = query.after
    if query.by_id:
        if after is not None:
            sql.where("s.session_id > {}", after.session_id)
        return "s.session_id"
    if after is not None:
        sql.where("s.updated_second <= {}", after.updated_at // NS_PER_SECOND)
        sql.where("(s.updated_at, s.session_id) < ({}, {})", after.updated_at, after.session_id)
    return "s.updated_second DESC, s.updated_at DESC, s.session_id DESC"


def _checkpoint_source(query: CheckpointQuery, sql: Statement) -> str:
    dialect = sql.dialect
    table = f"{dialect.schema}checkpoints c"
    terms = list(query.terms)
    if terms and dialect.terms_join and (query.key is None or query.rare):
        table = dialect.terms_join
        sql.where("t.term = {}", terms.pop(0))
    for term in terms:
        sql.where(dialect.has_term, term)
    if query.key is not None:
        sql.where("c.key = {}", query.key)
        if dialect.is_distributed:
            sql.where("c.bucket = {} AND s.bucket = {}", bucket_of(query.key), bucket_of(query.key))
    else:
        sql.where("c.tenant_hash = {}", tenant_hash(query.tenant))
    sql.where(f"s.tenant = {{}} AND {_is_alive(dialect)}", query.tenant)
    if query.namespace is not None:
        sql.where("c.namespace = {}", query.namespace)
    sql.where_set("c.step >= {}", query.min_step)
    sql.where_set("c.step <= {}", query.max_step)
    sql.where_set("c.checkpoint_id < {}", query.before_id)
    return f"FROM {table} JOIN {dialect.schema}sessions s ON {dialect.same_bucket}s.key = c.key"


def _is_shown(dialect: Dialect) -> str:
    """Whether a session has checkpoints and has not expired."""
    return f"s.checkpoint_count > 0 AND {_is_alive(dialect)}"


def _is_alive(dialect: Dialect) -> str:
    """Whether a session has not expired."""
    return f"(s.expire_at IS NULL OR s.expire_at > {dialect.now})"


def _moment(ns: int) -> tuple[int, int]:
    return ns // NS_PER_SECOND, ns
