"""What was sent to a server and what it acknowledged, to be held against what it keeps."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from lockstitch.v1.checkpoint_pb2 import Checkpoint, PendingWrite
from lockstitch.v1.checkpoint_service_pb2 import (
    ListCheckpointsRequest,
    LoadLatestRequest,
    SaveRequest,
    SaveWritesRequest,
)
from tests.robustness.workload import checkpoint
from tests.support.api import Api

CheckpointId = str
Stored = tuple[bytes | None, frozenset[bytes]]
"""A checkpoint's fingerprint and its pending writes."""
NOTHING: Stored = (None, frozenset())


def fingerprint(content: Checkpoint) -> bytes:
    """Equal for checkpoints that are alike bit for bit."""
    return hashlib.sha256(content.SerializeToString(deterministic=True)).digest()


@dataclass
class Sent:
    """A request, and whether it was acknowledged."""

    content: bytes | None
    """The fingerprint of the checkpoint; None for a request that brings pending writes only."""
    writes: frozenset[bytes]
    acknowledged: bool = False


@dataclass
class Ledger:
    """All that was sent. Each session has one writer at a time, who waits for an answer before he goes on."""

    sent: dict[str, dict[CheckpointId, list[Sent]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    _unchecked: set[str] = field(default_factory=set)

    def note_save(self, request: SaveRequest, variant: int = 0) -> Sent:
        """Note a save, full or delta, that is about to be sent."""
        brought = request.checkpoint
        content = fingerprint(checkpoint(brought.session_id, brought.step, variant))
        return self._note(brought.session_id, brought.checkpoint_id, Sent(content, _serialized(request.writes)))

    def note_writes(self, request: SaveWritesRequest) -> Sent:
        """Note pending writes that are about to be sent."""
        return self._note(request.session_id, request.checkpoint_id, Sent(None, _serialized(request.writes)))

    @property
    def acknowledged(self) -> int:
        return sum(one.acknowledged for ids in self.sent.values() for entries in ids.values() for one in entries)

    def acknowledged_steps(self, session: str) -> list[int]:
        """The steps of a session that are certainly there."""
        return [
            int(name)
            for name, entries in self.sent[session].items()
            if any(one.acknowledged and one.content is not None for one in entries)
        ]

    async def check(self, api: Api) -> None:
        """Check the sessions that something was sent for since the last check."""
        await self._check(api, self._unchecked)
        self._unchecked.clear()

    async def check_all(self, api: Api) -> None:
        """Every acknowledged checkpoint is there and whole; the others are absent or whole. Nothing else is there."""
        await self._check(api, self.sent)

    async def _check(self, api: Api, sessions: Iterable[str]) -> None:
        for session in sorted(sessions):
            stored = await _stored(api, session)
            sent = self.sent[session]
            assert stored.keys() <= sent.keys(), f"{session}: there is what nobody has sent"
            for name, entries in sent.items():
                _check(f"{session}/{name}", entries, stored.get(name, NOTHING))
            latest = await api.load_latest(LoadLatestRequest(session_id=session))
            assert latest.checkpoint.checkpoint_id == max(stored, default="")
            if stored:
                assert fingerprint(latest.checkpoint) == stored[latest.checkpoint.checkpoint_id][0]

    def knows(self, content: Checkpoint) -> bool:
        """Whether a checkpoint was sent just so."""
        return any(fingerprint(content) == one.content for one in self.sent[content.session_id][content.checkpoint_id])

    def _note(self, session: str, name: CheckpointId, sent: Sent) -> Sent:
        self.sent[session][name].append(sent)
        self._unchecked.add(session)
        return sent


async def _stored(api: Api, session: str) -> Mapping[CheckpointId, Stored]:
    found: dict[CheckpointId, Stored] = {}
    request = ListCheckpointsRequest(session_id=session, include_writes=True)
    while True:
        page = await api.list_checkpoints(request)
        for content, details in zip(page.checkpoints, page.details, strict=True):
            found[content.checkpoint_id] = fingerprint(content), _serialized(details.pending_writes)
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


def _check(name: str, entries: Sequence[Sent], stored: Stored) -> None:
    content, writes = stored
    allowed = _allowed([one for one in entries if one.content is not None])
    assert content in allowed, f"{name}: an acknowledged save is gone" if content is None else f"{name}: torn"
    assert writes <= frozenset().union(*(one.writes for one in entries)), f"{name}: writes that nobody has sent"
    for one in entries:
        missing = one.writes - writes
        assert not missing or (missing == one.writes and not one.acknowledged), f"{name}: pending writes are missing"


def _allowed(saves: Sequence[Sent]) -> Sequence[bytes | None]:
    """What may be there: what the last acknowledged save brought, or one after it."""
    last = max((number for number, one in enumerate(saves) if one.acknowledged), default=None)
    return [None, *(one.content for one in saves)] if last is None else [one.content for one in saves[last:]]


def _serialized(writes: Iterable[PendingWrite]) -> frozenset[bytes]:
    return frozenset(write.SerializeToString() for write in writes)
