"""Getting checkpoints from the server: descriptions first, and of states only what a page shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp

from lockstitch import AsyncClient, DataLoss, ListedCheckpoint, LockstitchError, NotFound, View
from lockstitch.v1.checkpoint_pb2 import Checkpoint, VersionedState
from lockstitch_ui.views.graph import Key
from lockstitch_ui.views.state import MAX_STATE_BYTES, to_load
from lockstitch_ui.views.timeline import STEP_ID_DIGITS, key_of

ROWS = 100
"""Checkpoints of a timeline."""
PARENT_ROWS = 20
"""Checkpoints after the last row, which tell what changed in the last rows."""
NEWER_ROWS = 25
"""Checkpoints above the selected one, where it is not among the newest."""
MAX_ID_BYTES = 128

_AFTER = " "
"""The lowest character of an id: what is below `id + " "` is `id`, and what is below `id`."""


class Window(NamedTuple):
    """Checkpoints, newest first. is_newest: whether the first one is the newest. damaged: of those that are missing."""

    listed: Sequence[ListedCheckpoint]
    has_older: bool
    is_newest: bool
    damaged: Sequence[LockstitchError] = ()


@dataclass(frozen=True, slots=True)
class States:
    """The state of a checkpoint, and that of its parent: what was loaded of them. loaded: names; None: all."""

    state: VersionedState
    parent: VersionedState | None
    loaded: Sequence[str] | None


async def window(client: AsyncClient, session_id: str, selected: Key | None, top: str = "") -> Window:
    """The checkpoints about the selected one. top: the id of the first one; "": that is found out."""
    if top:
        return await _window(client, session_id, top)
    newest = await _window(client, session_id, "")
    if selected is None or any(key_of(each.checkpoint) == selected for each in newest.listed[:ROWS]):
        return newest
    around = await _window(client, session_id, await _above(client, session_id, selected))
    if any(key_of(each.checkpoint) == selected for each in around.listed[:ROWS]):
        return around
    return await _window(client, session_id, selected[1])


async def _window(client: AsyncClient, session_id: str, top: str) -> Window:
    pages = client.list_checkpoints(
        session_id,
        before_checkpoint_id=_bound(top) if top else "",
        view=View.HEADER,
        include_writes=True,
        include_channel_sizes=True,
        page_size=ROWS + PARENT_ROWS,
    ).pages()
    page = await anext(pages)
    await pages.aclose()
    return Window(page.items, bool(page.next_page_token), not top, [each.error for each in page.damaged])


async def _above(client: AsyncClient, session_id: str, selected: Key) -> str:
    """The id of a checkpoint a little newer than the selected one, by its step: ids are listed downwards only."""
    namespace, checkpoint_id = selected
    found = await find(client, session_id, selected)
    step = found.checkpoint.step
    pages = client.list_checkpoints(
        session_id,
        namespace=namespace,
        min_step=step,
        max_step=step + NEWER_ROWS,
        view=View.HEADER,
        page_size=2 * NEWER_ROWS,
    ).pages()
    page = await anext(pages)
    await pages.aclose()
    newer = [each.checkpoint.checkpoint_id for each in page.items if each.checkpoint.checkpoint_id > checkpoint_id]
    return newer[-NEWER_ROWS:][0] if newer else checkpoint_id


async def find(client: AsyncClient, session_id: str, key: Key) -> ListedCheckpoint:
    """A checkpoint without its state. Raises NotFound."""
    namespace, checkpoint_id = key
    if len(checkpoint_id.encode()) < MAX_ID_BYTES:
        found = await before(client, session_id, (namespace, _bound(checkpoint_id)))
        if found is not None and found.checkpoint.checkpoint_id == checkpoint_id:
            return found
    # It has the longest id that there is, or does not exist.
    loaded = await client.load(session_id, checkpoint_id=checkpoint_id, namespace=namespace, view=View.HEADER)
    return ListedCheckpoint(
        loaded.checkpoint, loaded.pending_writes, loaded.checkpoint_revision, Timestamp(), 0, loaded.trace_id
    )


async def before(client: AsyncClient, session_id: str, key: Key) -> ListedCheckpoint | None:
    """The checkpoint before an id, in its namespace; None: there is none."""
    pages = client.list_checkpoints(
        session_id,
        namespace=key[0],
        before_checkpoint_id=key[1],
        view=View.HEADER,
        include_writes=True,
        include_channel_sizes=True,
        page_size=1,
    ).pages()
    async for page in pages:
        if page.damaged:
            raise page.damaged[0].error
        if page.items:
            await pages.aclose()
            return page.items[0]
    return None


async def parent(client: AsyncClient, session_id: str, listed: ListedCheckpoint) -> ListedCheckpoint | None:
    """The checkpoint that another one grew out of, in its namespace; None: it has none, or that is gone or damaged."""
    checkpoint = listed.checkpoint
    try:
        if checkpoint.parent_id:
            return await find(client, session_id, (checkpoint.namespace, checkpoint.parent_id))
        if checkpoint.step and len(checkpoint.checkpoint_id) == STEP_ID_DIGITS:
            return await before(client, session_id, key_of(checkpoint))
    except (NotFound, DataLoss):
        return None
    return None


async def newest(client: AsyncClient, session_id: str, namespace: str, max_step: int | None) -> ListedCheckpoint | None:
    """The newest checkpoint up to a step; None: there is none."""
    pages = client.list_checkpoints(
        session_id, namespace=namespace, max_step=max_step, view=View.HEADER, page_size=1
    ).pages()
    async for page in pages:
        if page.items:
            await pages.aclose()
            return page.items[0]
    return None


async def load_state(
    client: AsyncClient, session_id: str, listed: ListedCheckpoint, channels: Sequence[str] | None
) -> VersionedState:
    """Some channels of a checkpoint. channels: None means all; none of them are not asked for."""
    if channels is not None and not channels:
        return VersionedState()
    checkpoint = listed.checkpoint
    loaded = await client.load(
        session_id,
        checkpoint_id=checkpoint.checkpoint_id,
        namespace=checkpoint.namespace,
        channels=channels or (),
    )
    return loaded.checkpoint.state


def chosen(listed: ListedCheckpoint, asked: str = "", limit: int = MAX_STATE_BYTES) -> Sequence[str] | None:
    """The channels of a checkpoint that a page shows; None: all. asked: one that it shows whatever its size."""
    found = to_load(listed, asked, limit)
    if found is None and not asked and listed.state_bytes > limit:
        return []
    return found


def with_state(listed: ListedCheckpoint, state: VersionedState) -> Checkpoint:
    """The checkpoint with a state."""
    checkpoint = Checkpoint()
    checkpoint.CopyFrom(listed.checkpoint)
    checkpoint.state.CopyFrom(state)
    return checkpoint


def _bound(checkpoint_id: str) -> str:
    return checkpoint_id + _AFTER if len(checkpoint_id.encode()) < MAX_ID_BYTES else checkpoint_id
