"""Wire-legal bytes of messages as no library writes them: everything that protobuf's own parser accepts.

Fields come in any order, again and again, in groups nobody knows, with numbers longer than they need be; messages come
in pieces that are merged; and fields are of another wire type than the contract's, which makes them unknown.
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from hypothesis import strategies as st

Draw: TypeAlias = Callable[[st.DrawFn], bytes]
"""Draws the content of a field."""
Fields: TypeAlias = Mapping[int, tuple[int, Draw]]
"""Fields of a message by number: their wire type, and what draws them."""

VARINT, FIXED64, DELIMITED, START, END, FIXED32 = range(6)
LONGEST_TAG, LONGEST_NUMBER = 5, 10
"""Most bytes that protobuf reads of them."""
UNKNOWN = (77, 100, 1000, 2**29 - 1)


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def overlong(draw: st.DrawFn, value: int, longest: int) -> bytes:
    """A number, now and then with zeros behind it."""
    data = varint(value)
    extra = draw(st.sampled_from([0, 0, 0, 1, longest])) if len(data) < longest else 0
    extra = min(extra, longest - len(data))
    if not extra:
        return data
    return data[:-1] + bytes([data[-1] | 0x80]) + b"\x80" * (extra - 1) + b"\0"


def tag(draw: st.DrawFn, number: int, kind: int) -> bytes:
    return overlong(draw, number << 3 | kind, LONGEST_TAG)


def delimited(draw: st.DrawFn, number: int, content: bytes) -> bytes:
    return tag(draw, number, DELIMITED) + overlong(draw, len(content), LONGEST_TAG) + content


def text(values: st.SearchStrategy[str]) -> tuple[int, Draw]:
    return DELIMITED, lambda draw: draw(values).encode()


def number(values: st.SearchStrategy[int]) -> tuple[int, Draw]:
    return VARINT, lambda draw: overlong(draw, draw(values), LONGEST_NUMBER)


def message(fields: Fields, most: int = 4) -> tuple[int, Draw]:
    return DELIMITED, lambda draw: content(draw, fields, most)


def content(draw: st.DrawFn, fields: Fields, most: int = 4) -> bytes:
    """A message: each of its fields some times, in any order, among unknown ones."""
    parts = [_field(draw, name, fields) for name in fields for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2])))]
    parts += [unknown(draw, fields) for _ in range(draw(st.integers(0, most)))]
    return b"".join(draw(st.permutations(parts)))


def unknown(draw: st.DrawFn, fields: Fields, depth: int = 3) -> bytes:
    """A field that the message has not: unknown, or known with another wire type."""
    name = draw(st.sampled_from([*UNKNOWN, *fields]))
    kinds = {VARINT, FIXED64, DELIMITED, START, FIXED32} - ({fields[name][0]} if name in fields else set())
    match draw(st.sampled_from(sorted(kinds))):
        case 0:
            return tag(draw, name, VARINT) + overlong(draw, draw(st.integers(0, 2**64 - 1)), LONGEST_NUMBER)
        case 1:
            return tag(draw, name, FIXED64) + draw(st.binary(min_size=8, max_size=8))
        case 2 if name in fields:  # packed numbers, as protobuf may read them: keep to what is none
            return b""
        case 2:
            return delimited(draw, name, draw(st.binary(max_size=9)))
        case 3:
            inner = [unknown(draw, fields, depth - 1) for _ in range(draw(st.integers(0, 2)) if depth else 0)]
            inner += [_field(draw, other, fields) for other in fields if draw(st.booleans()) and depth]
            return tag(draw, name, START) + b"".join(inner) + tag(draw, name, END)
        case _:
            return tag(draw, name, FIXED32) + draw(st.binary(min_size=4, max_size=4))


def _field(draw: st.DrawFn, name: int, fields: Fields) -> bytes:
    kind, draw_content = fields[name]
    data = draw_content(draw)
    return delimited(draw, name, data) if kind == DELIMITED else tag(draw, name, kind) + data


def whole(fields: Fields, most: int = 4) -> st.SearchStrategy[bytes]:
    """Messages with these fields."""

    @st.composite
    def build(draw: st.DrawFn) -> bytes:
        return content(draw, fields, most)

    return build()


def broken(messages: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """The same, a few of them cut off, with a byte changed, or with what no parser takes."""

    @st.composite
    def build(draw: st.DrawFn) -> bytes:
        data = draw(messages)
        place = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(["as it is"] * 6 + ["cut", "changed", "end of no group", "not UTF-8"])):
            case "cut":
                return data[:place]
            case "changed":
                return data[:place] + draw(st.binary(min_size=1, max_size=1)) + data[place + 1 :]
            case "end of no group":
                return data + b"\xa4\x06"
            case "not UTF-8":
                return data + b"\x0a\x01\xff"
        return data

    return build()


IDS = st.sampled_from(["a", "b", "decoy", "é", "x" * 200])
SESSION_ID = text(IDS)


def saves(ids: st.SearchStrategy[str] = IDS) -> Fields:
    """A SaveRequest, by the fields that readers look at."""
    checkpoint = {
        1: text(ids),
        2: text(st.sampled_from(["", "n"])),
        5: number(st.sampled_from([0, 1, 300, 2**63 - 1])),
    }
    return {1: message(checkpoint)}


def items(ids: st.SearchStrategy[str] = IDS) -> Fields:
    """A SaveStreamRequest without a batch."""
    trace = {1: text(st.just("traceparent")), 2: text(st.sampled_from(["", "00"]))}
    return {
        1: number(st.sampled_from([0, 1, 5, 2**64 - 1])),
        2: message(saves(ids)),
        3: message(trace, most=0),
    }


def stream_requests(ids: st.SearchStrategy[str] = IDS, most: int = 4) -> st.SearchStrategy[bytes]:
    """SaveStreamRequests: a save, a batch, or both."""

    @st.composite
    def build(draw: st.DrawFn) -> bytes:
        fields = items(ids)
        batch = [delimited(draw, 4, content(draw, fields, 2)) for _ in range(draw(st.integers(0, most)))]
        own = [_field(draw, name, fields) for name in fields for _ in range(draw(st.sampled_from([0, 1, 1, 2])))]
        more = [unknown(draw, {**fields, 4: (DELIMITED, lambda _: b"")}) for _ in range(draw(st.integers(0, 2)))]
        return b"".join(draw(st.permutations([*batch, *own, *more])))

    return build()
