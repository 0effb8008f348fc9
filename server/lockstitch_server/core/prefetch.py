"""Opens the sessions of a batch and asks for what its operations will need in few questions.

Only speed depends on this: what is not asked for here, a view asks for when it is needed.
"""

from collections.abc import Iterator, Mapping, Sequence

from lockstitch_server.core.errors import Failure
from lockstitch_server.core.operations import DraftDelta, Operation, Save
from lockstitch_server.core.reading import Reader
from lockstitch_server.core.records import NS_PER_MICROSECOND, CheckpointRow, Seek, SessionRow
from lockstitch_server.core.view import SessionView, appendable, fresh_session


async def open_views(operations: Sequence[Operation], reader: Reader, now: int) -> dict[bytes, SessionView]:
    """The sessions of a batch, locked, with what is likely to be needed."""
    now -= now % NS_PER_MICROSECOND
    firsts = {operation.key: operation for operation in reversed(operations)}
    rows = await reader.sessions(sorted(firsts))
    views = {key: _open(firsts[key], rows.get(key), reader, now) for key in sorted(firsts)}
    stored = [operation for operation in operations if not views[operation.key].empty]
    seeks = list(dict.fromkeys(seek for operation in stored for seek in _seeks(operation)))
    found = await reader.checkpoints(seeks) if seeks else {}
    for seek in seeks:
        views[seek.key].remember(seek, found.get(seek))
    await _fetch_tails(found, views, reader)
    return views


def _open(operation: Operation, row: SessionRow | None, reader: Reader, now: int) -> SessionView:
    if row is None:
        row = SessionRow(operation.key, operation.tenant, operation.session_id, now, now)
        return SessionView(reader, row, is_new=True, wipe=False)
    if row.expired(now):
        return SessionView(reader, fresh_session(row, now), is_new=False, wipe=True)
    return SessionView(reader, row, is_new=False, wipe=False)


def _seeks(operation: Operation) -> Iterator[Seek]:
    key, namespace = operation.key, operation.namespace
    yield Seek(key, namespace, "upto", operation.checkpoint_id)
    if not isinstance(operation, Save):
        return
    if isinstance(operation.state, DraftDelta):
        yield Seek(key, namespace, "at", operation.state.base_id)
    elif operation.parent_id:
        yield Seek(key, namespace, "at", operation.parent_id)
    if operation.expected is not None:
        yield Seek(key, namespace, "below", None)


async def _fetch_tails(found: Mapping[Seek, CheckpointRow], views: Mapping[bytes, SessionView], reader: Reader) -> None:
    logs = sorted({(row.key, log) for row in found.values() for log in _logs(row)})
    tails = await reader.tails(logs) if logs else {}
    for (key, log), tail in tails.items():
        views[key].remember_tail(log, tail)


def _logs(row: CheckpointRow) -> list[int]:
    try:
        return [part.log for part in appendable(row.decoded().manifest)]
    except Failure:
        return []
