"""Saves as bytes, made for the load: each is a template of which only the new parts are put in.

A state is all new at every step: four messages of noise, and a small extra entry.
"""

from google.protobuf.timestamp_pb2 import Timestamp

from benchmarks.text import Noise
from lockstitch.v1.checkpoint_pb2 import (
    Checkpoint,
    ExtrasChannel,
    Message,
    MessagesChannel,
    NodeKind,
    VersionedState,
)
from lockstitch.v1.checkpoint_service_pb2 import SaveRequest

MESSAGES = 4
FIRST_STEP = 2**21
"""Steps from here to 2^28 take four bytes in protobuf, so that all saves of a session are of one size."""


class Saves:
    """The saves of one session, one after the other."""

    def __init__(self, session_id: str, state_bytes: int, noise: Noise) -> None:
        self.session_id = session_id
        self.step = FIRST_STEP - 1
        self.last = b""
        self._noise = noise
        self._content_bytes = state_bytes // MESSAGES
        self._pieces = _split(self.request(FIRST_STEP, [b"#" * self._content_bytes] * MESSAGES), self._content_bytes)

    def next(self) -> bytes:
        """The save of the next step, a serialized SaveRequest."""
        self.step = step = self.step + 1
        number, take, size = varint(step), self._noise.take, self._content_bytes
        head, *between, tail = self._pieces
        pieces = [head.replace(_STEP, number)]
        for piece in between:
            pieces += (take(size), piece)
        pieces += (take(size), tail.replace(_STEP, number))
        self.last = b"".join(pieces)
        return self.last

    def request(self, step: int, contents: list[bytes]) -> SaveRequest:
        """The same, as a message."""
        said = [Message(role="assistant", content=content.decode()) for content in contents]
        state = VersionedState(
            messages=MessagesChannel(version=step, items=said),
            extra=ExtrasChannel(version=step, entries={"tokens_left": "12345"}),
        )
        return SaveRequest(
            checkpoint=Checkpoint(
                session_id=self.session_id,
                step=step,
                state=state,
                frontier=[NodeKind(custom="act")],
                ran_nodes=[NodeKind(custom="plan")],
                updated_channels=["messages", "extra"],
                concurrency_limit=8,
                created_at=Timestamp(seconds=1_800_000_000, nanos=step),
            )
        )


def varint(number: int) -> bytes:
    """As protobuf writes it."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _split(request: SaveRequest, content_bytes: int) -> list[bytes]:
    """What stands around the contents."""
    return request.SerializeToString(deterministic=True).split(b"#" * content_bytes)


_STEP = varint(FIRST_STEP)
