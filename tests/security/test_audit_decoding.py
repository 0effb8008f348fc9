"""What was carried out is what is recorded, however a request's bytes are put together."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lockstitch.v1 import checkpoint_service_pb2 as pb
from lockstitch.v1.checkpoint_pb2 import Checkpoint
from tests.security.callers import bearer, make_key
from tests.support import wire_bytes
from tests.support.api import ApiError, GrpcApi, grpc_api
from tests.support.server import LockstitchServer
from tests.support.shares import Shares
from tests.support.wire_bytes import varint

GROUP = b"\xa3\x06\xa4\x06"
"""An empty group with a number that the contract does not know."""


@dataclass
class World:
    """A server that answers only when the record is written."""

    loop: asyncio.Runner
    api: GrpcApi
    file: Path
    read: int = 0
    """How many lines of the file have been looked at."""

    def lines(self) -> list[Any]:
        """The new ones."""
        text = self.file.read_text().splitlines()
        new, self.read = text[self.read :], len(text)
        return [json.loads(line) for line in new]

    def stream(self, *messages: bytes) -> list[Any]:
        """Send messages on a stream; what is recorded of them."""

        async def requests() -> AsyncIterator[bytes]:
            for message in messages:
                yield message

        async def call() -> None:
            async for _ in self.api.save_stream(requests()):
                pass

        self.loop.run(call())
        return self.lines()

    def unary(self, method: str, data: bytes) -> list[Any]:
        async def call() -> None:
            try:
                await self.api.send_bytes(method, data)
            except ApiError as error:
                assert error.code is grpc.StatusCode.INVALID_ARGUMENT  # noqa: PT017 - others are no refusals

        self.loop.run(call())
        return self.lines()

    def stored(self) -> set[str]:
        """The sessions that there are."""

        async def call() -> set[str]:
            page = await self.api.list_sessions(pb.ListSessionsRequest(page_size=1000))
            assert not page.next_page_token
            return {session.session_id for session in page.sessions}

        found = self.loop.run(call())
        self.lines()
        return found


@pytest.fixture
def world(tmp_path: Path, store: str) -> Iterator[World]:
    keys, file = tmp_path / "keys.json", tmp_path / "audit.jsonl"
    key = make_key(keys, "alice", ["acme"])
    arguments = ["--set", f"auth.keys={keys}", "--set", f"audit.file={file}", "--set", "audit.required=true"]
    url = "memory://" if store == "memory" else f"sqlite:///{tmp_path}/lockstitch.db"
    with LockstitchServer(url, arguments) as server, asyncio.Runner() as loop:
        opened = grpc_api(server.target, bearer(key))
        yield World(loop, loop.run(opened.__aenter__()), file)
        loop.run(opened.__aexit__(None, None, None))


def field(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def save(session: str, step: int = 1) -> bytes:
    return pb.SaveRequest(checkpoint=Checkpoint(session_id=session, step=step)).SerializeToString()


def item(session: str, number: int = 9) -> bytes:
    return b"\x08" + varint(number) + field(2, save(session))


def named(*sessions: str) -> bytes:
    """A SaveRequest whose checkpoint names several sessions: the last one counts."""
    return field(1, b"".join(field(1, session.encode()) for session in sessions) + b"\x28\x01")


OK, INVALID = "OK", "INVALID_ARGUMENT"
A = [("a", OK)]
AB = [("a", OK), ("b", OK)]

SHAPES: Mapping[str, tuple[bytes, Sequence[tuple[str, str]]]] = {
    "a save": (item("a"), A),
    "a group in front": (GROUP + item("a"), A),
    "nested groups": (b"\xa3\x06\xab\x06\xac\x06\xa4\x06" + item("a"), A),
    "a group in a save": (field(2, GROUP + save("a")), A),
    "a group in a checkpoint": (field(2, field(1, GROUP + field(1, b"a"))), A),
    "a group in an item of a batch": (field(4, GROUP + item("a")), A),
    "a save beside a batch": (item("a", 8) + field(4, item("b")), AB),
    "a save beside a batch, with the same number": (item("a") + field(4, item("b")), AB),
    "a save behind a batch": (field(4, item("b")) + item("a"), AB),
    "a save around a batch": (field(2, named("decoy")) + field(4, item("b")) + field(2, named("a")), AB),
    "a number twice": (b"\x08\x05" + item("a"), A),
    "the same numbers": (b"".join(field(4, item(name, 1)) for name in "aba"), [*AB, *A]),
    "an overlong number": (b"\x08" + b"\xff" * 9 + b"\x7f" + field(2, save("a")), A),
    "a number of another type": (b"\x0a\x00\x08\x06" + field(2, save("a")), A),
    "an overlong tag": (field(2, b"\x8a\x80\x80\x80\x00" + varint(len(named("a")) - 2) + named("a")[2:]), A),
    "a session twice": (field(2, named("decoy-", "a")), A),
    "a checkpoint in two pieces": (field(2, named("decoy") + named("a")), A),
    "a save in two pieces": (field(2, named("decoy")) + b"\x08\x06" + field(2, named("a")), A),
    "an item that is no save": (
        b"".join(field(4, data) for data in (item("a"), b"\x08\x03\x12\x03\x0a\x01\xff", item("b"))),
        [("a", OK), ("", INVALID), ("b", OK)],
    ),
    "a batch within a batch": (field(4, item("a") + field(4, item("decoy"))), [("a", INVALID)]),
    "an id that is not UTF-8": (field(2, named("a") + field(1, field(1, b"\xff"))), [("", INVALID)]),
    "no message": (b"\xff\xff", [("", INVALID)]),
}
"""Messages of a SaveStream, and which sessions and codes are recorded for them."""


def told(lines: Sequence[Any]) -> list[tuple[str, str]]:
    assert {(line["principal"], line["tenant"]) for line in lines} <= {("alice", "acme")}
    return [("".join(line["sessions"]), line["code"]) for line in lines]


@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_each_save_of_a_stream_is_recorded_under_its_session(world: World, store: str) -> None:
    for name, (data, wanted) in SHAPES.items():
        lines = world.stream(data)
        assert told(lines) == wanted, name
        assert {line["method"] for line in lines} == {"SaveStream"}
    assert world.stored() == {"a", "b"}


@pytest.mark.parametrize("store", ["memory"])
def test_a_call_is_recorded_under_its_session(world: World, store: str) -> None:
    decoys = [f"decoy-{number}" for number in range(250)]
    for data in (
        save("a"),
        GROUP + save("a"),
        field(1, GROUP + field(1, b"a")),
        named(*decoys, "a"),
        named(*decoys) + named("a"),
        b"\x8a\x80\x80\x80\x00" + named("a")[1:],
    ):
        assert told(world.unary("Save", data)) == A
    for data in (b"\xa3\x06" + save("a"), save("a") + b"\xa4\x06", field(1, field(1, b"\xff"))):
        assert told(world.unary("Save", data)) == [("", INVALID)]
    assert told(world.unary("GetSession", GROUP + field(1, b"decoy") + field(1, b"a"))) == A
    assert told(world.unary("DeleteSessions", field(1, b"a") + GROUP + field(1, b"b"))) == [("ab", OK)]
    assert world.stored() == set()


@pytest.mark.parametrize("store", ["memory"])
def test_whatever_is_sent_is_recorded_as_protobuf_sees_it(world: World, store: str) -> None:
    numbers, shares, changed = itertools.count(), Shares(), set[str]()

    @settings(
        max_examples=60,
        derandomize=True,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(st.data())
    def send(data: st.DataObject) -> None:
        prefix = f"s{next(numbers)}-"  # nobody else's
        ids = st.sampled_from([f"{prefix}a", f"{prefix}b", f"{prefix}é"])
        message = data.draw(wire_bytes.broken(wire_bytes.stream_requests(ids, most=3)))
        lines = world.stream(message)
        try:
            wanted = [save.save.checkpoint.session_id for save in saves_in(message)]
        except DecodeError:
            shares.note("refused")
            assert {line["code"] for line in lines} <= {OK, INVALID}
        else:
            shares.note("decoded")
            assert ["".join(line["sessions"]) for line in lines] == wanted
        changed.update(session for line in lines if line["code"] == OK for session in line["sessions"])

    send()
    shares.assert_at_least(0.5, "decoded")
    assert world.stored() == changed


def saves_in(data: bytes) -> list[pb.SaveStreamRequest]:
    """The saves of a message, as protobuf sees them."""
    message = pb.SaveStreamRequest.FromString(data)
    own = [message] if message.HasField("save") or not message.batch else []
    return [*own, *message.batch]
