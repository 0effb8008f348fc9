"""Checkpoints as they are fetched: without the state where that of the last one is still in memory."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lockstitch._api import Api
from lockstitch._errors import NotFound
from lockstitch._types import Latest, Loaded, View
from lockstitch.adapters.langgraph._codec import Place
from lockstitch.adapters.langgraph._valued import Known, Valued
from lockstitch.v1.checkpoint_pb2 import Checkpoint, CustomChannel, PendingWrite, TypedBlob


class Fetched(NamedTuple):
    """A checkpoint. channels: those of its state, which the checkpoint need not have."""

    checkpoint: Checkpoint
    channels: Mapping[str, CustomChannel]
    writes: Sequence[PendingWrite]


async def fetch(api: Api, valued: Valued, place: Place) -> Fetched | None:
    """The checkpoint that a place names, the latest where it names none; None: there is no such checkpoint."""
    known = _known(valued, place)
    if known is not None and known.channels is not None:
        found = await _load(api, place, View.HEADER)
        if found is None or found.checkpoint is None:
            return None
        if (found.checkpoint.checkpoint_id, found.checkpoint_revision) == (known.checkpoint_id, known.revision):
            return Fetched(found.checkpoint, known.channels, found.pending_writes)
    found = await _load(api, place, View.FULL)
    if found is None or found.checkpoint is None:
        return None
    valued.put(found.checkpoint, found.checkpoint_revision)
    return Fetched(found.checkpoint, found.checkpoint.state.custom, found.pending_writes)


async def load_header(api: Api, place: Place) -> TypedBlob:
    """The header of the checkpoint that a place names; an empty one where there is no such checkpoint."""
    found = await _load(api, place, View.HEADER)
    return found.checkpoint.header if found is not None and found.checkpoint is not None else TypedBlob()


def _known(valued: Valued, place: Place) -> Known | None:
    """What the checkpoint is likely to be."""
    return valued.get(*place.named) if place.checkpoint_id else valued.last(place.thread_id, place.ns)


async def _load(api: Api, place: Place, view: View) -> Loaded | Latest | None:
    if not place.checkpoint_id:
        return await api.load_latest(place.thread_id, place.ns, view=view)
    try:
        return await api.load(place.thread_id, checkpoint_id=place.checkpoint_id, namespace=place.ns, view=view)
    except NotFound:
        return None
