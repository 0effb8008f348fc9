"""One save on its way through a stream."""

import asyncio
import copy
from collections.abc import Sequence

from lockstitch._errors import LockstitchError
from lockstitch._tracing import current
from lockstitch._wire import embedded, varint
from lockstitch.v1.checkpoint_service_pb2 import SaveResponse

REQUEST_ID, SAVE, TRACE, BATCH = b"\x08", b"\x12", b"\x1a", b"\x22"  # tags of SaveStreamRequest


class Item:
    """A serialized SaveRequest that waits for its answer.

    number: tells the items of a stream worker apart, and grows from each to the next.
    deadline: by the clock of the event loop.
    seconds: time from the save's start to its deadline.
    sent: whether it has gone out on the stream that is open now.
    refusals: how often the server has answered it with UNAVAILABLE.
    span: of the call that it is.
    """

    __slots__ = ("answer", "deadline", "number", "refusals", "request", "seconds", "sent", "session_id", "span")

    def __init__(
        self,
        number: int,
        session_id: str,
        request: bytes,
        deadline: float,
        seconds: float,
        answer: "asyncio.Future[SaveResponse]",
    ) -> None:
        self.number = number
        self.session_id = session_id
        self.request = request
        self.deadline = deadline
        self.seconds = seconds
        self.answer = answer
        self.sent = False
        self.refusals = 0
        self.span = current()

    def message(self) -> bytes:
        """The SaveStreamRequest."""
        carrier = self.span.carrier
        trace = b"".join(embedded(TRACE, _entry(*entry)) for entry in carrier.items()) if carrier else b""
        return b"".join((REQUEST_ID, varint(self.number), SAVE, varint(len(self.request)), self.request, trace))

    def succeed(self, answer: SaveResponse) -> None:
        if not self.answer.done():
            self.answer.set_result(answer)

    def fail(self, error: LockstitchError, cause: LockstitchError | None = None) -> None:
        """Fail with a copy of the error, which may be that of many."""
        if not self.answer.done():
            own = copy.copy(error)
            own.__cause__ = cause
            self.answer.set_exception(own)


def _entry(key: str, value: str) -> bytes:
    """An entry of a map of texts."""
    return embedded(b"\x0a", key.encode()) + embedded(b"\x12", value.encode())


def message_of(items: Sequence[Item]) -> bytes:
    """The SaveStreamRequest for one or more items."""
    if len(items) == 1:
        return items[0].message()
    return b"".join([embedded(BATCH, item.message()) for item in items])
