"""Looks through a whole store: whether all that was saved is there, as it was saved, and nothing else."""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import NamedTuple

from lockstitch_server.core.errors import Failure
from lockstitch_server.core.ids import session_key
from lockstitch_server.core.logs import joined, wrong_lengths
from lockstitch_server.core.pending import writes_of
from lockstitch_server.core.records import CheckpointRow, LogRef, WriteRow
from lockstitch_server.core.session import Session
from lockstitch_server.engine.exporter import all_sessions
from lockstitch_server.storage.keeper import Keeper, SweptSession
from lockstitch_server.storage.store import Store

NOTHING = "nothing can be done: restore the session from a backup, or delete it"
SWEPT = "would be deleted, as it is when the session is next pruned"
ORPHAN = "log_orphaned"
COUNTED = "would be counted anew; the next save does not mind"


class Fault(NamedTuple):
    """Something that is not as it should be."""

    tenant: str
    session_id: str
    kind: str
    """A word for programs, such as "log_damaged"."""
    what: str
    mend: str
    """What would be done about it."""

    @property
    def harmless(self) -> bool:
        """Whether it is only room that could be given back: what replaced checkpoints leave behind."""
        return self.kind == ORPHAN


async def verify(store: Store) -> AsyncIterator[tuple[SweptSession | None, list[Fault]]]:
    """What is wrong with each session that is not over; at the end, what belongs to none."""
    async for found in all_sessions(store):
        if not found.over:
            yield found, await store.look(partial(_verify, found=found))
    yield None, [_stray(key) for key in await store.look(_strays)]


async def _strays(keeper: Keeper) -> list[bytes]:
    return await keeper.strays()


def _stray(key: bytes) -> Fault:
    return Fault("", "", "stray", f"there are rows under the key {key.hex()}, and no such session", "would be deleted")


async def _verify(keeper: Keeper, found: SweptSession) -> list[Fault]:
    if found.key != session_key(found.tenant, found.session_id):
        return [Fault(found.tenant, found.session_id, "key_wrong", "its key is not that of its name", NOTHING)]
    session = await keeper.get(found.tenant, found.session_id)
    if not session.alive:
        return []
    return [fault async for fault in _Session(keeper, session).faults()]


class _Session:
    """One session, on one snapshot."""

    def __init__(self, keeper: Keeper, session: Session) -> None:
        self._keeper = keeper
        self._session = session

    async def faults(self) -> AsyncIterator[Fault]:
        checkpoints = await self._keeper.all_checkpoints(self._session)
        digests: dict[int, list[tuple[int, bytes]]] = defaultdict(list)
        for checkpoint in checkpoints:
            for fault in self._checkpoint(checkpoint, digests):
                yield fault
        sizes = await self._keeper.logs(self._session)
        for log in sorted(digests.keys() | sizes.keys()):
            async for fault in self._log(log, sizes.get(log, 0), digests.get(log, [])):
                yield fault
        write_bytes = 0
        for write in await self._keeper.all_writes(self._session):
            write_bytes += len(write.data)
            for fault in self._write(write):
                yield fault
        stored = sum(len(each.record) for each in checkpoints) + sum(sizes.values()) + write_bytes
        for fault in self._counters(len(checkpoints), stored, write_bytes):
            yield fault

    def _checkpoint(self, row: CheckpointRow, digests: dict[int, list[tuple[int, bytes]]]) -> Iterator[Fault]:
        """What is wrong with a checkpoint's own row. Notes what it needs of logs."""
        try:
            manifest = row.decoded().manifest
        except Failure:
            yield self._fault("checkpoint_damaged", f"checkpoint {_name(row)} is damaged", NOTHING)
            return
        if row.revision > self._session.row.revision:
            yield self._fault("revision_wrong", f"checkpoint {_name(row)} is of a revision to come", COUNTED)
        for part in manifest.parts:
            if part.log:
                digests[part.log].append((part.length, part.digest))

    def _write(self, row: WriteRow) -> Iterator[Fault]:
        try:
            writes_of(row)
        except Failure:
            where = f"{row.namespace!r}/{row.checkpoint_id!r}"
            yield self._fault("write_damaged", f"the pending write {row.task_id!r} of {where} is damaged", NOTHING)

    async def _log(self, log: int, size: int, needed: list[tuple[int, bytes]]) -> AsyncIterator[Fault]:
        if not needed:
            yield self._fault(ORPHAN, f"no checkpoint names log {log}, of {size} bytes", SWEPT)
            return
        longest = max(length for length, _ in needed)
        if not size:
            yield self._fault("log_missing", f"log {log}, of {longest} bytes, is missing", NOTHING)
            return
        ref = LogRef(self._session.row.key, log, max(size, longest))
        data, problem = joined((await self._keeper.catalog.segments([ref])).get(ref, ()))
        if problem:
            yield self._fault("log_damaged", f"log {log}: {problem}", NOTHING)
        elif len(data) < longest:
            yield self._fault("log_short", f"log {log} has {len(data)} of {longest} bytes", NOTHING)
        else:
            for length in wrong_lengths(data, ((length, digest) for length, digest in needed if digest)):
                yield self._fault("digest_wrong", f"the first {length} bytes of log {log} are others", NOTHING)

    def _counters(self, checkpoints: int, stored: int, written: int) -> Iterator[Fault]:
        row = self._session.row
        counts = (
            ("checkpoint_count", row.checkpoint_count, checkpoints),
            ("stored_bytes", row.stored_bytes, stored),
            ("write_bytes", row.write_bytes, written),
        )
        for name, said, found in counts:
            if said != found:
                yield self._fault("counter_wrong", f"{name} says {said}, where there are {found}", COUNTED)

    def _fault(self, kind: str, what: str, mend: str) -> Fault:
        return Fault(self._session.row.tenant, self._session.row.session_id, kind, what, mend)


def _name(row: CheckpointRow) -> str:
    return f"{row.checkpoint_id!r} of namespace {row.namespace!r}"
