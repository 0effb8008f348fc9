"""Callers who are let in and ask for more than their share: counts and sizes are limited, and memory is bounded."""

import asyncio
import gc
import random
import tracemalloc
from collections.abc import AsyncIterator, Iterator

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from lockstitch.v1 import checkpoint_service_pb2 as pb
from lockstitch.v1 import session_service_pb2 as sessions_pb
from lockstitch.v1.checkpoint_pb2 import Checkpoint, NodeKind, StateDelta
from lockstitch_server.core.format import search_terms
from lockstitch_server.validation.contract import CONTRACT
from lockstitch_server.validation.rules import Count
from tests.security.attackers import CLOSED_WINDOW, MIB, Growth, call, connection
from tests.support.api import METHODS, Api, ApiError, grpc_api
from tests.support.server import DOORS, LockstitchServer

UNCOUNTED = {
    "MessagesChannel.items",
    "MessagesDelta.append",
    "ErrorsChannel.items",
    "ErrorsDelta.append",
    "BlobList.items",
}
"""The content of states, which is bounded by `max_message_bytes` and `max_fields`."""
COUNTED_TOGETHER = {"ExtrasChannel.entries", "VersionedState.custom", "ExtrasDelta.set", "StateDelta.custom"}
"""By `max_parts`."""


@pytest.fixture(scope="module", params=DOORS)
def server(request: pytest.FixtureRequest) -> Iterator[LockstitchServer]:
    with LockstitchServer(door=request.param) as running:
        yield running


@pytest.fixture
async def api(server: LockstitchServer) -> AsyncIterator[Api]:
    async with grpc_api(server.target) as opened:
        yield opened


def test_everything_that_repeats_is_counted() -> None:
    found = {name for method in METHODS.values() for name in _uncounted(method.input_type, set())}
    assert found == UNCOUNTED | COUNTED_TOGETHER


def _uncounted(message: Descriptor, seen: set[str]) -> Iterator[str]:
    """The fields of a message, and of those within it, that may repeat without a limit."""
    if message.full_name in seen or not message.full_name.startswith("lockstitch"):
        return
    seen.add(message.full_name)
    for field in message.fields:
        rules = CONTRACT.get(message.full_name, {}).get(field.name, ())
        if _repeats(field) and not any(isinstance(rule, Count) for rule in rules):
            yield f"{message.name}.{field.name}"
        if field.message_type is not None:
            value = field.message_type.fields_by_name.get("value")
            inner = value.message_type if field.message_type.GetOptions().map_entry and value else field.message_type
            if inner is not None:
                yield from _uncounted(inner, seen)


def _repeats(field: FieldDescriptor) -> bool:
    return bool(field.is_repeated)


LONG = '"' + "x" * 70_000 + '"'
NODES = [NodeKind(custom="n")] * 10_001
DELTA = pb.SaveRequest(
    checkpoint=Checkpoint(session_id="s"), base_checkpoint_id="b", delta=StateDelta(removed_custom=["c"] * 10_001)
)
MANY = {
    "metadata": ("Save", pb.SaveRequest(checkpoint=Checkpoint(session_id="s", metadata={"a": LONG}))),
    "filter": ("ListCheckpoints", pb.ListCheckpointsRequest(metadata={"a": LONG})),
    "deletion": (
        "DeleteCheckpoints",
        sessions_pb.DeleteCheckpointsRequest(metadata=sessions_pb.MetadataFilter(entries={"a": LONG})),
    ),
    "labels": ("ListSessions", pb.ListSessionsRequest(labels={str(number): "" for number in range(65)})),
    "channels": ("WalkAncestors", pb.WalkAncestorsRequest(session_id="s", channels=["c"] * 10_001)),
    "long channel": ("WalkAncestors", pb.WalkAncestorsRequest(session_id="s", channels=["c" * 5000])),
    "write channels": ("WalkAncestors", pb.WalkAncestorsRequest(session_id="s", write_channels=["c"] * 10_001)),
    "listed channels": ("ListCheckpoints", pb.ListCheckpointsRequest(session_id="s", channels=["c"] * 10_001)),
    "listed write channels": ("ListCheckpoints", pb.ListCheckpointsRequest(write_channels=["c"] * 10_001)),
    "frontier": ("Save", pb.SaveRequest(checkpoint=Checkpoint(session_id="s", frontier=NODES))),
    "removed": ("Save", DELTA),
}


@pytest.mark.parametrize("name", MANY)
async def test_too_many_or_too_long(api: Api, name: str) -> None:
    method, request = MANY[name]
    with pytest.raises(ApiError) as caught:
        await _call(api, method, request)
    assert caught.value.reason == "INVALID_FIELD"
    assert int(caught.value.metadata["limit"]) > 0
    assert caught.value.metadata["limit"] in caught.value.message.replace(",", "")


async def _call(api: Api, method: str, request: Message) -> None:
    if METHODS[method].server_streaming:
        async for _ in api.stream(method, request):
            pass
    else:
        await api.unary(method, request)


async def test_a_request_that_saves_nothing_is_short(api: Api) -> None:
    with pytest.raises(ApiError, match="max_query_bytes") as caught:
        await api.unary("GetSession", sessions_pb.GetSessionRequest(session_id="x" * 9 * MIB))
    assert caught.value.reason == "TOO_LARGE"


@pytest.mark.parametrize("field", [b"\x78\x01", b"\x2a\x00", b"\x22\x00"], ids=["unknown", "writes", "batch"])
@pytest.mark.parametrize("method", ["Save", "SaveStream"])
async def test_millions_of_tiny_fields(server: LockstitchServer, method: str, field: bytes) -> None:
    """8 MiB of them take 500 MB where they are parsed: they are refused before."""
    with Growth(server) as growth:
        async with grpc.aio.insecure_channel(server.target) as channel:
            send: grpc.aio.StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(
                f"/lockstitch.v1.CheckpointService/{method}"
            )
            with pytest.raises(grpc.aio.AioRpcError, match="max_fields"):
                await send(_once(field * (4 * MIB)), timeout=60)
    assert growth.most < 120 * MIB


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


def test_terms_of_long_texts_are_not_remembered() -> None:
    """Metadata, and nodes with fields that nobody knows."""
    unknown = NodeKind(custom="n").SerializeToString() + b"\x7a\xff\x7f" + bytes(16383)
    tracemalloc.start()
    try:
        _terms(0, unknown)
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        for number in range(1, 200):
            _terms(number, unknown)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < MIB


def _terms(number: int, node: bytes) -> None:
    checkpoint = Checkpoint(metadata={"a": f'"{number}{"x" * 20_000}"'})
    checkpoint.ran_nodes.append(NodeKind.FromString(node + b"\x70" + bytes([number & 127])))
    search_terms.header_terms("tenant", checkpoint)
    search_terms.term(b"tenant", search_terms.metadata("a", f'"{number}{"y" * 20_000}"'))


async def test_a_stream_of_loads_holds_one_large_answer_at_a_time(server: LockstitchServer) -> None:
    """64 at once would take 800 MB."""
    async with grpc_api(server.target) as api:
        await api.save(_large("stream", 4 * MIB))
        request = pb.LoadLatestStreamRequest(requests=[pb.LoadLatestRequest(session_id="stream")] * 64)
        with Growth(server) as growth:
            sizes = [answer.loaded.checkpoint.ByteSize() async for answer in api.load_latest_stream(request)]
    assert len(sizes) == 64
    assert min(sizes) > 4 * MIB
    assert growth.most < 200 * MIB


async def test_small_and_large_answers_of_a_stream_keep_their_order(api: Api) -> None:
    await api.save(_large("of-a-stream", MIB))
    await api.save(pb.SaveRequest(checkpoint=Checkpoint(session_id="small")))
    names = ["small", "of-a-stream", "nobody", "small", *["of-a-stream"] * 3, *["small"] * 100, "of-a-stream"]
    request = pb.LoadLatestStreamRequest(requests=[pb.LoadLatestRequest(session_id=name) for name in names])
    answers = [answer async for answer in api.load_latest_stream(request)]
    assert [answer.index for answer in answers] == list(range(len(names)))
    found = [answer.loaded.checkpoint.session_id for answer in answers]
    assert found == [name if name != "nobody" else "" for name in names]


@pytest.mark.parametrize("method", ["LoadLatest", "Load", "ListCheckpoints", "WalkAncestors"])
async def test_answers_that_a_client_does_not_take(server: LockstitchServer, method: str) -> None:
    """Behind a closed window of flow control, 100 answers of 8 MiB would take 1.6 GB. Other connections are served."""
    async with grpc_api(server.target) as api:
        await api.save(_large("untaken", 8 * MIB))
        load = pb.LoadLatestRequest(session_id="untaken")
        requests: dict[str, Message] = {
            "LoadLatest": load,
            "Load": pb.LoadRequest(session_id="untaken", step=0),
            "ListCheckpoints": pb.ListCheckpointsRequest(session_id="untaken"),
            "WalkAncestors": pb.WalkAncestorsRequest(session_id="untaken"),
        }
        path, request = f"/lockstitch.v1.CheckpointService/{method}", requests[method].SerializeToString()
        with Growth(server) as growth, connection(server, CLOSED_WINDOW) as attacker:
            attacker.sendall(b"".join(call(stream, path, request) for stream in range(1, 200, 2)))
            for _ in range(5):
                await asyncio.sleep(0.3)
                assert (await api.load_latest(load)).checkpoint.ByteSize() > 8 * MIB
        assert growth.most < 500 * MIB


def _large(session_id: str, size: int) -> pb.SaveRequest:
    request = pb.SaveRequest(checkpoint=Checkpoint(session_id=session_id))
    request.checkpoint.state.custom["large"].blob.data = random.randbytes(size)
    return request
