"""Requests that somebody has spoiled: bytes, fields and metadata."""

import random
from collections.abc import Callable

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from lockstitch.v1 import checkpoint_service_pb2 as pb
from tests.robustness.workload import delta_save, full_save, pending_writes, writes_save
from tests.support.api import METHODS

Mutate = Callable[[bytes, random.Random], bytes]

SEEDS: dict[str, list[Message]] = {
    "Save": [full_save("mutated", 1), full_save("mutated", 2), delta_save("mutated", 3)],
    "SaveWrites": [writes_save("mutated", 1, pending_writes("task", 3))],
    "LoadLatest": [pb.LoadLatestRequest(session_id="mutated")],
    "Load": [pb.LoadRequest(session_id="mutated", step=1), pb.LoadRequest(session_id="mutated", checkpoint_id="1")],
    "LoadLatestStream": [pb.LoadLatestStreamRequest(requests=[pb.LoadLatestRequest(session_id="mutated")] * 3)],
    "ListSessions": [pb.ListSessionsRequest(page_size=3, session_id_prefix="m", labels={"a": "b"})],
    "ListCheckpoints": [pb.ListCheckpointsRequest(session_id="mutated", page_size=2, metadata={"source": '"x"'})],
    "WalkAncestors": [pb.WalkAncestorsRequest(session_id="mutated", limit=3)],
    "SaveStream": [pb.SaveStreamRequest(request_id=1, save=full_save("mutated", 4))],
}
"""Good requests by method; what is not here starts from an empty one."""


def request(method: str, rng: random.Random) -> bytes:
    """A request of a method, spoiled in some way; as it was now and then."""
    good = rng.choice(SEEDS.get(method) or [GetMessageClass(METHODS[method].input_type)()])
    data = good.SerializeToString()
    for _ in range(rng.randrange(4)):
        data = rng.choice(MUTATIONS)(data, rng)
    return data


def metadata(rng: random.Random) -> list[tuple[str, str | bytes]]:
    """Entries that nobody asked for, and some that mean something."""
    known = ("x-request-id", "traceparent", "tracestate", "baggage", "authorization", "lockstitch-tenant")
    entries: list[tuple[str, str | bytes]] = []
    for _ in range(rng.randrange(4)):
        if rng.random() < 0.3:
            entries.append((f"k{rng.randrange(99)}-bin", rng.randbytes(rng.randrange(200))))
        else:
            text = "".join(chr(rng.randrange(0x20, 0x7F)) for _ in range(rng.randrange(200)))
            entries.append((rng.choice(known) if rng.random() < 0.7 else f"k{rng.randrange(99)}", text))
    return entries


def _flip(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randrange(1, 5)):
        if changed:
            changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _drop(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data) + 1)
    return data[:start] + data[start + rng.randrange(1, 20) :]


def _insert(data: bytes, rng: random.Random) -> bytes:
    where = rng.randrange(len(data) + 1)
    return data[:where] + rng.randbytes(rng.randrange(1, 40)) + data[where:]


def _repeat(data: bytes, rng: random.Random) -> bytes:
    """The same fields again: lists grow, single ones come twice."""
    return data * rng.randrange(2, 5)


def _large_number(data: bytes, rng: random.Random) -> bytes:
    return data + bytes([rng.randrange(1, 16) << 3]) + b"\xff" * 9 + b"\x01"


def _other(data: bytes, rng: random.Random) -> bytes:
    """The request of another method."""
    return rng.choice(rng.choice(list(SEEDS.values()))).SerializeToString()


def _text(data: bytes, rng: random.Random) -> bytes:
    """Bad text in place of good: not UTF-8, control characters, very long."""
    new = rng.choice([b"\xff\xfe", b"\x00\x01", "\u202e".encode(), b"{" * 50, b"1e999999"])
    return data.replace(b"mutated", (new * 7)[:7])


def _nested(data: bytes, rng: random.Random) -> bytes:
    """A message within itself, many times."""
    tag = bytes([rng.randrange(1, 16) << 3 | 2])
    for _ in range(rng.randrange(1, 120)):
        if len(data) > 100_000:
            break
        data = tag + _varint(len(data)) + data
    return data


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


MUTATIONS: list[Mutate] = [_flip, _cut, _drop, _insert, _repeat, _large_number, _other, _text, _nested]
