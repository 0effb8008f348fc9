"""Messages of a SaveStream as bytes: how many saves one holds, and answers put together."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from lockstitch_server.core import wire
from lockstitch_server.core.wire import LENGTH_DELIMITED, MOST_IN_A_BYTE, VARINT

BATCH = 4
"""The number of `batch` in SaveStreamRequest and in SaveStreamResponse."""
FIXED = {1: 8, 5: 4}
"""Wire types of numbers, with their sizes."""
BATCH_TAG = BATCH << 3 | LENGTH_DELIMITED
TAKES_BATCHES = wire.unsigned(5, 1)
"""SaveStreamResponse.takes_batches, which may stand before any answer."""


class Bundle(NamedTuple):
    """A SaveStreamRequest that nobody has looked into yet."""

    data: bytes
    saves: int
    """How many saves it holds, where it holds a batch."""
    is_batch: bool


def bundles(data: bytes, most: int) -> Iterator[Bundle]:
    """A message; in pieces, in their order, where it holds more than so many saves."""
    starts = _starts(data)
    if not starts:
        yield Bundle(data, 1, is_batch=False)
    elif len(starts) <= most:
        yield Bundle(data, len(starts), is_batch=True)
    else:
        for first in range(0, len(starts), most):
            begin, end = starts[first] if first else 0, (*starts, len(data))[min(first + most, len(starts))]
            yield Bundle(data[begin:end], min(most, len(starts) - first), is_batch=True)


def join(answers: Sequence[tuple[Bundle, bytes]]) -> bytes:
    """SaveStreamResponses as one, which holds their results as a batch, unless there is one only."""
    if len(answers) == 1:
        return answers[0][1]
    return b"".join([data if bundle.is_batch else wire.delimited(BATCH, data) for bundle, data in answers])


def saves_in(data: bytes) -> int:
    """How many saves a message holds."""
    return len(_starts(data)) or 1


def _starts(data: bytes) -> list[int]:
    """Where the items of a message's batch begin; none where it has none, or is no message."""
    starts, place, end = list[int](), 0, len(data)
    try:
        while place < end:
            start, tag = place, data[place]
            tag, place = (tag, place + 1) if tag <= MOST_IN_A_BYTE else _varint(data, place)
            kind = tag & 7
            if kind in FIXED:
                place += FIXED[kind]
                continue
            number = data[place]
            number, place = (number, place + 1) if number <= MOST_IN_A_BYTE else _varint(data, place)
            if kind == LENGTH_DELIMITED:
                place += number
                if tag == BATCH_TAG:
                    starts.append(start)
            elif kind != VARINT:  # a group: no message of this contract has one
                return []
    except IndexError:
        return []
    return starts if place == end else []


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """The number at a place, and the place after it."""
    number, shift = 0, 0
    while (byte := data[place]) > MOST_IN_A_BYTE:
        number |= (byte & MOST_IN_A_BYTE) << shift
        shift += 7
        place += 1
    return number | byte << shift, place + 1
