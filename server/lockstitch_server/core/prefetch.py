"""Opens the sessions of a batch, and asks for what its operations will need in few questions.

Only speed depends on what is asked for here: a view asks for what is missing when it is needed.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from lockstitch_server.core.heads import Heads
from lockstitch_server.core.operations import DraftDelta, Operation, Save
from lockstitch_server.core.reading import Reader
from lockstitch_server.core.records import NS_PER_MICROSECOND, CheckpointRow, Head, Seek, SessionRow
from lockstitch_server.core.view import SessionView, appendable_in, fresh_session

Views = Mapping[bytes, SessionView]


class NotKnown(Exception):
    """A plan needs more than the heads tell."""


class _NoReader:
    """Stands for a store that is not asked."""

    async def _ask(self, names: object) -> Mapping[object, object]:
        raise NotKnown

    sessions = checkpoints = tails = segments = write_sizes = writes = greatest_written = _ask


_NO_READER = cast(Reader, _NoReader())


def views_from_heads(operations: Sequence[Operation], heads: Heads, now: int) -> Views | None:
    """The sessions of a batch as they were last seen; None where one of them is not known, or has expired.

    Views raise NotKnown where they are asked for more than that.
    """
    views: dict[bytes, SessionView] = {}
    for operation in operations:
        key = operation.key
        head = heads.get(key)
        if head is None or head.row.expired(now) or not _goes_on(operation, head):
            return None
        if key not in views:
            views[key] = SessionView(_NO_READER, head.row.copy(), head=head)
    return views


def _goes_on(operation: Operation, head: Head) -> bool:
    """Whether a save makes a new latest checkpoint. One whose id is taken looks at what the store really holds."""
    if not isinstance(operation, Save):
        return True
    latest = head.latest.get(operation.namespace)
    if latest is None:
        return operation.namespace in head.latest
    return latest.checkpoint_id < operation.checkpoint_id


async def views_from_store(operations: Sequence[Operation], reader: Reader, heads: Heads) -> Views:
    """The sessions of a batch, locked, with what is likely to be needed. Who has expired, the database's clock says."""
    of_session: dict[bytes, list[Operation]] = {}
    for operation in operations:
        of_session.setdefault(operation.key, []).append(operation)
    keys = sorted(of_session)
    rows = await reader.sessions(keys)
    now = reader.now - reader.now % NS_PER_MICROSECOND
    views = {key: _open(of_session[key], rows.get(key), reader, heads, now) for key in keys}
    stored = [operation for operation in operations if not views[operation.key].empty]
    wanted = dict.fromkeys(seek for operation in stored for seek in _seeks(operation))
    seeks = [seek for seek in wanted if not views[seek.key].knows(seek)]
    found = await reader.checkpoints(seeks) if seeks else {}
    for seek in seeks:
        views[seek.key].remember(seek, found.get(seek))
    await _fetch_tails(found, views, reader)
    await _fetch_greatest_written(stored, views, reader)
    return views


def _open(
    operations: Sequence[Operation], row: SessionRow | None, reader: Reader, heads: Heads, now: int
) -> SessionView:
    first = operations[0]
    if row is None:
        row = SessionRow(first.key, first.tenant, first.session_id, now, now)
        return SessionView(reader, row, is_new=True)
    if row.check().expired(now):
        return SessionView(reader, fresh_session(row, now), wipe=True)
    head = heads.get(row.key)
    if head is None or (head.row.revision, head.row.expire_at) != (row.revision, row.expire_at):
        return SessionView(reader, row)
    return SessionView(reader, row, head=head if all(_goes_on(operation, head) for operation in operations) else None)


def _seeks(operation: Operation) -> Iterator[Seek]:
    key, namespace = operation.key, operation.namespace
    # With the latest known, most other questions answer themselves, here and in the batches to come.
    yield Seek(key, namespace, "below", None)
    yield Seek(key, namespace, "upto", operation.checkpoint_id)
    if not isinstance(operation, Save):
        return
    if isinstance(operation.state, DraftDelta):
        yield Seek(key, namespace, "at", operation.state.base_id)
    elif operation.parent_id:
        yield Seek(key, namespace, "at", operation.parent_id)


async def _fetch_tails(found: Mapping[Seek, CheckpointRow], views: Views, reader: Reader) -> None:
    logs = sorted({(row.key, part.log) for row in found.values() for part in appendable_in(row)})
    tails = await reader.tails(logs) if logs else {}
    for (key, log), tail in tails.items():
        views[key].remember_tail(log, tail)


async def _fetch_greatest_written(operations: Sequence[Operation], views: Views, reader: Reader) -> None:
    named = dict.fromkeys((operation.key, operation.namespace) for operation in operations)
    wanted = [(key, namespace) for key, namespace in named if not views[key].knows_writes_of(namespace)]
    found = await reader.greatest_written(wanted) if wanted else {}
    for key, namespace in wanted:
        views[key].remember_written(namespace, found.get((key, namespace), ""))
