"""What a request is about, out of its bytes, without parsing it: for logs and traces of calls that are noted at all."""

from typing import NamedTuple

from google.protobuf.descriptor import Descriptor

from lockstitch.v1 import checkpoint_service_pb2 as pb
from lockstitch.v1.checkpoint_pb2 import Checkpoint

VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5
MOST_FIELDS = 64
"""How many fields are looked at: what is wanted is written first."""
MOST_NUMBERS = (1 << 29) - 1
MORE = 0x80
"""A byte of a number that is at least this is not its last."""
STEP = Checkpoint.STEP_FIELD_NUMBER
"""The last of a checkpoint that is wanted."""

CHECKPOINT, DELTA = pb.SaveRequest.CHECKPOINT_FIELD_NUMBER, pb.SaveRequest.DELTA_FIELD_NUMBER

Value = int | slice
"""A number, or where bytes are."""


class Subject(NamedTuple):
    """What a request is about; empty where it does not say."""

    session_id: str = ""
    namespace: str = ""
    step: int | None = None
    is_delta: bool | None = None


NOTHING = Subject()


def subject(data: bytes, request: Descriptor) -> Subject:
    """What a request is about; NOTHING where it is malformed or about no session."""
    try:
        return _of_save(data) if request.name == "SaveRequest" else _of_other(data, request)
    except (IndexError, UnicodeDecodeError):
        return NOTHING


def fields(data: bytes, at: int, end: int, last: int = MOST_NUMBERS) -> dict[int, Value]:
    """The first fields of a message by their numbers, up to the one that goes beyond `last`: they come in order.

    at, end: where the message is. Raises IndexError where it is malformed.
    """
    found: dict[int, Value] = {}
    for _ in range(MOST_FIELDS):
        if at >= end:
            break
        tag, at = data[at], at + 1
        if tag >= MORE:
            tag, at = _varint(data, at - 1)
        number, kind = tag >> 3, tag & 7
        if number > last:
            break
        if kind == DELIMITED:
            size, at = data[at], at + 1
            if size >= MORE:
                size, at = _varint(data, at - 1)
            if at + size > end:
                raise IndexError
            found[number] = slice(at, at + size)
            at += size
        elif kind == VARINT:
            found[number], at = _varint(data, at)
        elif kind in (FIXED64, FIXED32):
            at += 8 if kind == FIXED64 else 4
        else:
            raise IndexError
    return found


def _of_save(data: bytes) -> Subject:
    found = fields(data, 0, len(data))
    checkpoint = found.get(CHECKPOINT)
    inner = fields(data, checkpoint.start, checkpoint.stop, STEP) if isinstance(checkpoint, slice) else {}
    step = inner.get(STEP, 0)
    is_delta = DELTA in found
    return Subject(
        _text(data, inner.get(1)), _text(data, inner.get(2)), step if isinstance(step, int) else None, is_delta
    )


def _of_other(data: bytes, request: Descriptor) -> Subject:
    session_id, namespace = (request.fields_by_name.get(name) for name in ("session_id", "namespace"))
    if session_id is None:
        return NOTHING
    found = fields(data, 0, len(data))
    return Subject(
        _text(data, found.get(session_id.number)), _text(data, found.get(namespace.number)) if namespace else ""
    )


def _text(data: bytes, value: Value | None) -> str:
    return data[value].decode() if isinstance(value, slice) else ""


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number and where it ends."""
    value = data[at]
    if value < 0x80:
        return value, at + 1
    value &= 0x7F
    shift = 7
    while True:
        at += 1
        byte = data[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at + 1
        shift += 7
        if shift > 63:
            raise IndexError
