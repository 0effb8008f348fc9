"""How sessions of a list stand: their status, and the progress of their latest checkpoints. No messages are loaded."""

import time
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from lockstitch import Client, ListedCheckpoint, Loaded
    from lockstitch.inspect import Progress, Status
    from lockstitch.v1.checkpoint_pb2 import Checkpoint
    from lockstitch.v1.checkpoint_service_pb2 import SessionSummary

Item = TypeVar("Item")

TOGETHER = 200
"""Sessions whose checkpoints are loaded by one call."""


class Kind(StrEnum):
    """The same as `lockstitch.inspect.StatusKind`, which takes long to import."""

    RUNNING = "running"
    WAITING = "waiting"
    FAILED = "failed"
    FINISHED = "finished"
    IDLE = "idle"


class Standing(NamedTuple):
    """A session of a list. status: None where the latest checkpoint could not be loaded; error: why."""

    summary: "SessionSummary"
    status: "Status | None"
    progress: "Progress | None" = None
    error: str = ""

    def has_status(self, kinds: Sequence[Kind]) -> bool:
        """Whether the session's status is one of these."""
        return self.status is not None and str(self.status.kind) in kinds


def standings(client: "Client", summaries: Iterable["SessionSummary"], together: int) -> Iterator[Standing]:
    """Each session with its standing. together: how many of them are loaded at a time."""
    found = iter(summaries)
    while chunk := list(islice(found, min(together, TOGETHER))):
        yield from _standings(client, chunk)


def _standings(client: "Client", summaries: "Sequence[SessionSummary]") -> Iterator[Standing]:
    from lockstitch import LockstitchError
    from lockstitch.inspect import STATUS_CHANNELS, progress, status

    whole = [each.session_id for each in summaries if not each.HasField("error")]
    latest = {each.session_id: each for each in client.load_latest_many(whole, channels=STATUS_CHANNELS)}
    now = time.time()
    for summary in summaries:
        if summary.session_id not in latest:
            yield Standing(summary, None, error=summary.error.message)
            continue
        try:
            found = latest[summary.session_id].result()
        except LockstitchError as error:
            yield Standing(summary, None, error=str(error))
            continue
        made = found.checkpoint and progress(found.checkpoint, found.pending_writes, channels=STATUS_CHANNELS)
        yield Standing(summary, status(summary, made, now), made)


class Step(NamedTuple):
    """A checkpoint of a list, and where its run stood."""

    listed: "ListedCheckpoint"
    progress: "Progress"

    @property
    def checkpoint(self) -> "Checkpoint":
        """The checkpoint."""
        return self.listed.checkpoint


def steps(client: "Client", found: "Iterable[ListedCheckpoint]", together: int) -> Iterator[Step]:
    """Each checkpoint with its progress. Parents that are not in the list are loaded where `ran` needs them."""
    from lockstitch.inspect import STATUS_CHANNELS, progress

    listed = iter(found)
    ahead: list[ListedCheckpoint] = []
    while ahead := [*ahead, *islice(listed, min(together, TOGETHER))]:
        # The parent of one stands behind it, as a rule next to it: the last of a page waits for the next page.
        following = list(islice(listed, 1))
        candidates = [each.checkpoint for each in (*ahead, *following)]
        for each in ahead:
            parent = parent_in(client, each.checkpoint, candidates)
            yield Step(each, progress(each.checkpoint, each.pending_writes, parent, channels=STATUS_CHANNELS))
        ahead = following


def parent_in(client: "Client", checkpoint: "Checkpoint", candidates: "Iterable[Checkpoint]") -> "Checkpoint | None":
    """The parent, where `progress` needs it: one of these, else it is loaded. None: not needed, or deleted."""
    from lockstitch import NotFound, View
    from lockstitch.inspect import ran_needs_parent

    if not ran_needs_parent(checkpoint):
        return None
    wanted = (checkpoint.session_id, checkpoint.namespace, checkpoint.parent_id)
    for each in candidates:
        if (each.session_id, each.namespace, each.checkpoint_id) == wanted:
            return each
    session_id, namespace, parent_id = wanted
    try:
        return client.load(session_id, namespace=namespace, checkpoint_id=parent_id, view=View.HEADER).checkpoint
    except NotFound:
        return None


def standing_of(client: "Client", loaded: "Loaded", is_latest: bool) -> "tuple[Progress, Status | None]":
    """The progress of a checkpoint, and the status of its session where it is the session's latest."""
    from lockstitch.inspect import progress, status

    checkpoint = loaded.checkpoint
    made = progress(checkpoint, loaded.pending_writes, parent_in(client, checkpoint, ()))
    if not is_latest:
        return made, None
    details = client.get_session(checkpoint.session_id)
    expires = details.lease.expire_at if details.lease is not None else None
    return made, status(details.summary, made, time.time(), expires)


class FirstOf(Generic[Item]):
    """The first items of many, up to a number of them; 0: all. are_more: whether there are more, at the end."""

    def __init__(self, most: int, items: Iterable[Item]) -> None:
        self._most = most
        self._items = items
        self.are_more = False

    def __iter__(self) -> Iterator[Item]:
        for number, item in enumerate(self._items):
            if self._most and number == self._most:
                self.are_more = True
                return
            yield item
