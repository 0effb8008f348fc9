"""Finds where rows belong whose key, or number of a log, is damaged, and puts them back there.

The checksum of a row is over its names too, so it fits only under the names that the row was stored with.
"""

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from lockstitch_server.core.format import checksum
from lockstitch_server.core.format.compression import PackingError, unpack_row
from lockstitch_server.core.format.named_logs import lacking_logs, named_logs
from lockstitch_server.core.format.parts import named_crc
from lockstitch_server.core.format.pending_writes import write_checksum
from lockstitch_server.core.format.rows import CheckpointRow, SessionRow, WriteRow
from lockstitch_server.core.sessions.session import Session
from lockstitch_server.storage.session_repository import ALL, SessionRepository

PAGE = 100
"""Rows of logs that are read at once."""


class Lacking(NamedTuple):
    """Keys of sessions that lack rows, by table."""

    checkpoints: Collection[bytes]
    segments: Collection[bytes]
    writes: Collection[bytes]


class LogRow(NamedTuple):
    """A row of a log as it is stored."""

    key: bytes
    log: int
    start: int
    size: int
    data: bytes
    crc: int


async def put_strays_back(repository: SessionRepository, key: bytes, lacking: Lacking) -> str:
    """Put the rows under a key that no session has back under those of the sessions that they belong to."""
    back = await _put_checkpoints_back(repository, key, lacking.checkpoints)
    back += await _put_writes_back(repository, key, lacking.writes)
    back += await _put_segments_back(repository, key, lacking.segments)
    return f"belong to other sessions: {back} are put back" if back else "fit no session that lacks rows"


async def _put_checkpoints_back(repository: SessionRepository, key: bytes, sessions: Collection[bytes]) -> int:
    back = 0
    for row in await repository.all_checkpoints(_nameless(key)) if sessions else ():
        target = _first(sessions, partial(_fits_checkpoint, row))
        name = {"namespace": row.namespace, "checkpoint_id": row.checkpoint_id}
        back += await _rename(repository, "rename_checkpoint", key, target, name)
    return back


async def _put_writes_back(repository: SessionRepository, key: bytes, sessions: Collection[bytes]) -> int:
    back = 0
    for row in await repository.all_writes(_nameless(key)) if sessions else ():
        target = _first(sessions, partial(_fits_write, row))
        name = {column: getattr(row, column) for column in ("namespace", "checkpoint_id", "task_id", "task_index")}
        back += await _rename(repository, "rename_write", key, target, name)
    return back


async def _put_segments_back(repository: SessionRepository, key: bytes, sessions: Collection[bytes]) -> int:
    back = 0
    if sessions:
        async for row in _log_rows(repository, key):
            target = _first(sessions, partial(_fits_log, row, row.log))
            name = {"log": row.log, "start": row.start, "target_log": row.log}
            back += await _rename(repository, "rename_segment", key, target, name)
    return back


async def put_log_rows_back(repository: SessionRepository, tenant: str, session_id: str) -> str:
    """Put rows of logs that no checkpoint names back into the logs that lack them."""
    session = await repository.lock(tenant, session_id)
    key = session.row.key
    named = named_logs(row for row in await repository.all_checkpoints(session) if row.intact)
    lacking = lacking_logs(named, await repository.logs(session))
    back = 0
    async for row in _log_rows(repository, key):
        if row.log in named or not lacking:
            continue
        log = next((log for log in lacking if _fits_log(row, log, key)), None)
        if log is not None:
            name = {"log": row.log, "start": row.start, "target_log": log}
            back += await _rename(repository, "rename_segment", key, key, name)
    if back:
        session.touch()  # servers may have planned saves without these rows
        await repository.put(session)
    return f"has {back} rows of logs back that had other numbers"


async def _rename(
    repository: SessionRepository, statement: str, key: bytes, target: bytes | None, name: Mapping[str, Any]
) -> int:
    """Put a row under another key. Gives 1 if its place there was free."""
    if target is None:
        return 0
    if target != key:
        await repository.lock_row(target)
    return len(await repository.executor.fetch(statement, {"key": key, "target": target, **name}))


async def _log_rows(repository: SessionRepository, key: bytes) -> AsyncIterator[LogRow]:
    """All rows of logs under a key."""
    log = start = -ALL
    while True:
        values = {"key": key, "log": log, "start": start, "limit": PAGE}
        rows = [LogRow(*row) for row in await repository.executor.fetch("page_of_segments", values)]
        for row in rows:
            yield row
        if len(rows) < PAGE:
            return
        log, start = rows[-1].log, rows[-1].start


def _nameless(key: bytes) -> Session:
    """Stands for a session that is not there, to read the rows under its key."""
    return Session(SessionRow(key, "", "", 0, 0), 0)


def _first(keys: Iterable[bytes], fits: Callable[[bytes], bool]) -> bytes | None:
    return next((key for key in keys if fits(key)), None)


def _fits_checkpoint(row: CheckpointRow, key: bytes) -> bool:
    return replace(row, key=key).checksum() == row.crc


def _fits_write(row: WriteRow, key: bytes) -> bool:
    return write_checksum(row._replace(key=key)) == row.crc


def _fits_log(row: LogRow, log: int, key: bytes) -> bool:
    try:
        data = row.data if len(row.data) == row.size else unpack_row(row.data, row.size)
    except PackingError:
        return False
    return checksum.crc(data) == named_crc(row.crc, key, log, row.start, row.size)
