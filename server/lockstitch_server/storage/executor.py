"""Statements on whole sessions, over one connection and within its transaction. Each kind of database has its own."""

import re
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from lockstitch_server.core.format.rows import CheckpointRow, SessionChange
from lockstitch_server.storage import sql_files
from lockstitch_server.storage.reading import Catalog, Reader
from lockstitch_server.storage.tables import SEGMENT, WRITE

T = TypeVar("T")


class DatabaseFault(NamedTuple):
    """What a database's own check has found."""

    table: str
    """Empty: not known."""
    what: str
    key: bytes = b""
    """Of rows that are out of place, in a distributed database: the key that they should have."""


class LostRace(Exception):
    """Another replica created the session meanwhile: read and plan again."""


class Executor(Protocol):
    """Runs statements of `sessions.sql` in a transaction."""

    catalog: Catalog
    locking: Reader
    """Its `sessions` locks what it gives."""

    async def fetch(self, name: str, values: Mapping[str, Any]) -> Sequence[Any]:
        """Run a statement once. Its rows are `tables.Row`s, whose columns have names and an order."""
        ...

    async def run_all(self, name: str, values: Sequence[Mapping[str, Any]]) -> None:
        """Run a statement many times."""
        ...

    async def apply(self, changes: Sequence[SessionChange]) -> None:
        """Write checkpoints of sessions."""
        ...

    async def forget_terms(self, tenant: str, rows: Sequence[CheckpointRow]) -> None:
        """Take checkpoints, which are about to be deleted, out of what they are searched by."""
        ...

    async def forget_first_terms(self, tenant: str, key: bytes, count: int) -> None:
        """The same for the first checkpoints of a session, by namespace and id."""
        ...

    async def forget_stray_terms(self) -> None:
        """Delete search terms of checkpoints that are not there."""
        ...

    async def put_terms(self, tenant: str, rows: Sequence[CheckpointRow]) -> None:
        """Write again what checkpoints are searched by."""
        ...

    async def not_found_by_searches(self, tenant: str, rows: Sequence[CheckpointRow]) -> Sequence[CheckpointRow]:
        """The checkpoints that have not all the search terms that they should have."""
        ...

    async def guarded(self, work: Awaitable[T]) -> T:
        """Do a part of a unit that may fail with DATA_LOSS, so that the unit can go on all the same."""
        ...

    async def database_faults(self) -> Sequence[DatabaseFault]:
        """What the database's own check finds."""
        ...

    async def reindex(self) -> None:
        """Build all indexes again."""
        ...

    async def put_in_place(self, table: str, key: bytes) -> tuple[int, int]:
        """Put rows that are out of place back under this key: see `DatabaseFault.key`. The session is locked.

        Gives how many are back, and how many were deleted because a later row has taken their place.
        """
        ...


class Positional(NamedTuple):
    """A statement whose parameters are numbered, and their names in that order."""

    sql: str
    names: tuple[str, ...]

    def values(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """The values of the parameters."""
        return tuple(values[name] for name in self.names)


def load(*, distributed: bool = False, **words: str) -> Mapping[str, str]:
    """The statements of `sessions.sql`, with named parameters. words: those in braces."""
    copied = {"key": ":target", "crc": words["crc_of_copy"]}
    words["copied_segment"] = ", ".join(copied.get(name, name) for name in SEGMENT)
    words["copied_write"] = ", ".join(copied.get(name, name) for name in WRITE)
    return sql_files.load(__package__, "sessions.sql", distributed=distributed, **words)


def positional(sql: str) -> Positional:
    """A statement as databases want it that know no names."""
    names: list[str] = []

    def number(found: re.Match[str]) -> str:
        if found[1] not in names:
            names.append(found[1])
        return f"${names.index(found[1]) + 1}"

    return Positional(re.sub(r"(?<!:):(\w+)", number, sql), tuple(names))
