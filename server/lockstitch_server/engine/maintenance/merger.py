"""Merges full rows of logs into larger ones, beside saves.

Loads then read fewer rows, the rows fill their pages, and they compress better. Saves note which logs have got full
rows. A step reads some of these rows and packs them outside of any transaction. Then one transaction locks the
sessions and puts each merged row in place of its rows, if these are as they were read. Saves, loads and the session
cache notice nothing: the bytes, the end and the last row of a log stay the same, and so does the session's revision.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import NamedTuple

import structlog

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.format.merging import LogRow, groups_to_merge, merged_row
from lockstitch_server.core.format.parts import Segment
from lockstitch_server.core.format.reading import LogName
from lockstitch_server.core.format.rows import NewRow, SessionChange
from lockstitch_server.core.ids import session_key
from lockstitch_server.engine.damage import DamageLog
from lockstitch_server.engine.maintenance.making_way import make_way
from lockstitch_server.storage.merging import data_of_rows, long_logs, replace_rows, rows_of_log
from lockstitch_server.storage.session_repository import SessionRepository
from lockstitch_server.storage.store import Store

MAX_LOGS = 10_000
"""Logs that are remembered, and logs that wait. A sweep finds those that were forgotten."""
STEP_LOGS = 64
STEP_BYTES = 1024 * 1024
"""Logs that a step looks at, and bytes that it merges, except for one larger group."""
PAGE = 1000
"""Rows of a log that a step looks at."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class MergeSettings:
    """When rows are merged, and into which."""

    interval: float
    """Seconds between two steps."""
    row_bytes: int
    """The most bytes of a merged row."""
    level: int
    """The level of zstd for merged rows."""


@dataclass(slots=True)
class MergeStats:
    """What this process has merged since it began."""

    rows: int = 0
    """Rows that were replaced by merged ones."""
    bytes: int = 0
    """Bytes of logs in these rows."""
    failures: int = 0
    """Steps that were interrupted."""


class Job(NamedTuple):
    """A log to look at, from one of its rows on."""

    tenant: str
    session_id: str
    log: int
    start: int = 0

    @property
    def name(self) -> LogName:
        return session_key(self.tenant, self.session_id), self.log


class Group(NamedTuple):
    """Neighboring rows to merge."""

    job: Job
    rows: Sequence[LogRow]
    segments: Sequence[Segment]


class Merged(NamedTuple):
    """A group, and the row that takes its place."""

    group: Group
    row: NewRow


@dataclass(slots=True)
class _Noted:
    """What is remembered of a log."""

    start: int
    """The row that last made the log wait, or the first one that was noted."""
    merged_to: int = 0
    """All rows before this one are merged."""


class Merger:
    """Merges the logs that `note` has found, and those of sessions that a sweep visits."""

    def __init__(
        self,
        store: Store,
        settings: MergeSettings,
        is_busy: Callable[[], bool] = lambda: False,
        damage: DamageLog | None = None,
    ) -> None:
        self._store = store
        self.settings = settings
        self._enough = settings.row_bytes // 2
        self._is_busy = is_busy
        self._damage = damage or DamageLog()
        self._noted: OrderedDict[LogName, _Noted] = OrderedDict()
        self._waiting: dict[LogName, Job] = {}
        self._wake = asyncio.Event()
        self._replaced = 0
        """Bytes of logs in replaced rows whose space the store may not have reclaimed yet."""
        self.stats = MergeStats()

    def note(self, changes: Iterable[SessionChange]) -> None:
        """Note which logs have got new rows: the rows before these are full."""
        for change in changes:
            for row in change.segments:
                self._note(change, row)

    def _note(self, change: SessionChange, row: NewRow) -> None:
        name = (change.row.key, row.log)
        noted = self._noted.get(name)
        if noted is None:
            self._noted[name] = _Noted(row.start)
            if len(self._noted) > MAX_LOGS:
                self._noted.popitem(last=False)
        elif row.start - noted.start >= self._enough:
            noted.start = row.start
            self._noted.move_to_end(name)
            self._add(Job(change.row.tenant, change.row.session_id, row.log, noted.merged_to))

    def _add(self, job: Job) -> None:
        if len(self._waiting) < MAX_LOGS:
            self._waiting.setdefault(job.name, job)
            self._wake.set()

    async def run(self) -> None:
        """Merge what is noted, until cancelled."""
        while True:
            await self._wake.wait()
            await make_way(self.settings.interval, self._is_busy)
            jobs = self._take()
            try:
                await self._step(jobs)
            except Failure as failure:
                self.stats.failures += 1
                log.warning("merge_interrupted", reason=str(failure))
            except Exception:
                self.stats.failures += 1
                log.error("merge_failed", exc_info=True)

    def _take(self) -> list[Job]:
        jobs = [self._waiting.pop(name) for name in list(self._waiting)[:STEP_LOGS]]
        if not self._waiting:
            self._wake.clear()
        return jobs

    async def merge_session(
        self, tenant: str, session_id: str, pause: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Merge all logs of a session. pause: is awaited after each step."""
        key = session_key(tenant, session_id)
        for number in await self._store.snapshot(partial(long_logs, key=key)):
            job: Job | None = Job(tenant, session_id, number)
            while job is not None:
                rest = await self._merge([job])
                job = rest[0] if rest else None
                if pause is not None:
                    await pause()

    async def _step(self, jobs: Sequence[Job]) -> None:
        for rest in await self._merge(jobs):
            self._add(rest)

    async def _merge(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """Merge some rows of logs. Gives the logs that have more of them."""
        groups, rest = await self._store.snapshot(partial(self._find, jobs))
        packed = await asyncio.to_thread(self._pack, groups)
        merged = [Merged(group, row) for group, row in zip(groups, packed, strict=True) if row is not None]
        for group, row in zip(groups, packed, strict=True):
            if row is None:
                self._damage.note(group.job.name[0], "merge", f"rows of log {group.job.log} are damaged")
        # A transaction for each session, so that no save waits long for one.
        for key, of_session in groupby(merged, key=lambda each: each.group.job.name[0]):
            try:
                done = await self._store.transaction(partial(_replace, list(of_session)))
            except Failure as failure:
                if failure.reason is not Reason.DATA_LOSS:
                    raise
                self._damage.note(key, "merge", failure.message)
                continue
            for group in done:
                self._note_merged(group)
        if self._replaced:
            await self._reclaim_space()
        return rest

    async def _reclaim_space(self) -> None:
        """What is merged stays so if this fails. The store's own upkeep reclaims the space later."""
        replaced, is_done = self._replaced, True
        try:
            is_done = await self._store.reclaim_space(replaced)
        except Exception as error:
            log.warning("space_not_reclaimed", reason=str(error))
        if is_done:
            self._replaced -= replaced

    async def _find(self, jobs: Sequence[Job], repository: SessionRepository) -> tuple[list[Group], list[Job]]:
        """Rows to merge with their bytes, and what is left for later steps."""
        found, rest, size = list[Group](), list[Job](), 0
        for job in jobs:
            rows = await rows_of_log(repository, job.name, job.start, PAGE)
            groups = groups_to_merge(rows, self.settings.row_bytes)
            left = (groups[-1][-1].end if groups else rows[-1].start) if len(rows) == PAGE else None
            for group in groups:
                size += sum(row.size for row in group)
                if found and size > STEP_BYTES:
                    left = group[0].start
                    break
                found.append(Group(job, group, await data_of_rows(repository, job.name, group)))
            if left is not None:
                rest.append(job._replace(start=left))
        return found, rest

    def _pack(self, groups: Sequence[Group]) -> list[NewRow | None]:
        """Merged rows; None in place of a group with damaged rows, which stay as they are."""
        packed = list[NewRow | None]()
        for group in groups:
            try:
                packed.append(merged_row(group.job.log, group.segments, self.settings.level))
            except Failure:
                packed.append(None)
        return packed

    def _note_merged(self, group: Group) -> None:
        size = sum(row.size for row in group.rows)
        self.stats.rows += len(group.rows)
        self.stats.bytes += size
        self._replaced += size
        if (noted := self._noted.get(group.job.name)) is not None:
            noted.merged_to = group.rows[0].start


async def _replace(merged: Sequence[Merged], repository: SessionRepository) -> list[Group]:
    """Put merged rows of one session in place. Gives those whose rows were as they had been read."""
    job = merged[0].group.job
    session = await repository.lock(job.tenant, job.session_id)
    if not session.alive:
        return []
    return [group for group, row in merged if await replace_rows(repository, group.job.name, group.rows, row)]


@asynccontextmanager
async def merging(merger: Merger | None) -> AsyncIterator[None]:
    """Merge in the background. None: do not."""
    if merger is None:
        yield
        return
    task = asyncio.create_task(merger.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
