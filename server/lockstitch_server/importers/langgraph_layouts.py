"""The tables of every release of LangGraph's savers, and what to ask each of them.

| release | what it was the first to have |
|---|---|
| langgraph-checkpoint-sqlite 1.0.4 | `checkpoints`, `writes` |
| langgraph-checkpoint-sqlite 3.1.2 | `writes.task_path` |
| langgraph-checkpoint-postgres 1.0.6 | `checkpoints`, `checkpoint_blobs`, `checkpoint_writes` |
| langgraph-checkpoint-postgres 2.0.9 | the shallow saver: one checkpoint a namespace, without ids and versions |
| langgraph-checkpoint-postgres 2.0.12 | `checkpoint_writes.task_path` |
"""
# ruff: noqa: S608 - the SQL is made of constants

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lockstitch_server.importers.databases import Database, columns_of, tables_of
from lockstitch_server.importers.langgraph import TASKS

MOST_NAMED = 20
"""Tables and columns that a message names."""


class LayoutUnknown(Exception):
    """The tables are not those of one of LangGraph's savers. The text says what was found."""


@dataclass(frozen=True)
class Layout:
    """The columns of the tables that savers have, and the names of all tables."""

    columns: Mapping[str, Sequence[str]]
    tables: Sequence[str]

    def require(self, table: str, *columns: str) -> None:
        """Raises LayoutUnknown for a table that is not there or lacks one of these columns."""
        found = self.columns[table]
        if not found:
            raise LayoutUnknown(f"there is no table {table}, but {_named(self.tables) or 'no table at all'}")
        if missing := [column for column in columns if column not in found]:
            raise LayoutUnknown(f"its table {table} has no column {_named(missing)}, but {_named(found)}")

    def has(self, table: str, column: str) -> bool:
        """Whether there is such a column."""
        return column in self.columns[table]


class SqliteStatements(NamedTuple):
    """checkpoints: of the thread ?1. writes: of the thread ?1, the namespace ?2, the checkpoint ?3."""

    checkpoints: str
    writes: str


class PostgresStatements(NamedTuple):
    """checkpoints: of the thread ?1. The others: of the thread ?1, the namespace ?2, the checkpoint ?3."""

    checkpoints: str
    writes: str
    blobs: str
    sends: str


async def read_layout(database: Database) -> Layout:
    """The tables that are there."""
    names = ("checkpoints", "writes", "checkpoint_writes", "checkpoint_blobs")
    return Layout({name: await columns_of(database, name) for name in names}, await tables_of(database))


def sqlite_statements(layout: Layout) -> SqliteStatements:
    """Raises LayoutUnknown."""
    ids = ("thread_id", "checkpoint_ns", "checkpoint_id")
    layout.require("checkpoints", *ids, "parent_checkpoint_id", "type", "checkpoint", "metadata")
    layout.require("writes", *ids, "task_id", "idx", "channel", "type", "value")
    task_path = "task_path" if layout.has("writes", "task_path") else "''"
    return SqliteStatements(
        "SELECT checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata "
        "FROM checkpoints WHERE thread_id = ?1 ORDER BY checkpoint_ns, checkpoint_id",
        f"SELECT task_id, {task_path}, idx, channel, type, value "
        "FROM writes WHERE thread_id = ?1 AND checkpoint_ns = ?2 AND checkpoint_id = ?3",
    )


def postgres_statements(layout: Layout) -> PostgresStatements:
    """Raises LayoutUnknown."""
    layout.require("checkpoints", "thread_id", "checkpoint_ns", "checkpoint", "metadata")
    layout.require("checkpoint_blobs", "thread_id", "checkpoint_ns", "channel", "type", "blob")
    ids = ("thread_id", "checkpoint_ns", "checkpoint_id")
    layout.require("checkpoint_writes", *ids, "task_id", "idx", "channel", "type", "blob")
    # The shallow saver keeps the last checkpoint of a namespace, and so the last version of each channel.
    is_shallow = not layout.has("checkpoints", "checkpoint_id")
    own_id = "(c.checkpoint ->> 'id')" if is_shallow else "c.checkpoint_id"
    parent = "NULL::text" if is_shallow else "c.parent_checkpoint_id"
    version = "" if is_shallow else " AND b.version = v.value"
    sent_before = "w.checkpoint_id <> ?3" if is_shallow else "w.checkpoint_id = c.parent_checkpoint_id"
    task_path = "w.task_path" if layout.has("checkpoint_writes", "task_path") else "''::text"
    here = f"c.thread_id = ?1 AND c.checkpoint_ns = ?2 AND {own_id} = ?3"
    return PostgresStatements(
        f"""
        SELECT c.checkpoint_ns, {own_id}, {parent}, c.checkpoint::text, c.metadata::text,
               coalesce((c.checkpoint ->> 'v')::numeric < 4, false)
        FROM checkpoints c WHERE c.thread_id = ?1 ORDER BY c.checkpoint_ns COLLATE "C", {own_id} COLLATE "C"
        """,
        f"""
        SELECT w.task_id, {task_path}, w.idx, w.channel, w.type, w.blob
        FROM checkpoint_writes w WHERE w.thread_id = ?1 AND w.checkpoint_ns = ?2 AND w.checkpoint_id = ?3
        """,
        f"""
        SELECT b.channel, b.type, b.blob
        FROM checkpoints c
        CROSS JOIN LATERAL jsonb_each_text(c.checkpoint -> 'channel_versions') v
        JOIN checkpoint_blobs b
            ON b.thread_id = c.thread_id AND b.checkpoint_ns = c.checkpoint_ns AND b.channel = v.key{version}
        WHERE {here}
        """,
        f"""
        SELECT w.type, w.blob
        FROM checkpoints c
        JOIN checkpoint_writes w
            ON w.thread_id = c.thread_id AND w.checkpoint_ns = c.checkpoint_ns AND {sent_before}
        WHERE {here} AND w.channel = '{TASKS}' ORDER BY {task_path}, w.task_id, w.idx
        """,
    )


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:MOST_NAMED]) + (", ..." if len(names) > MOST_NAMED else "")
