"""Lists of very many small items are dumped in chunks: exactly, at little cost, and only what is new is stored."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

import lockstitch
from lockstitch.adapters.langgraph import LockstitchSaver
from lockstitch.adapters.langgraph._channels import from_channel, to_channel
from lockstitch.adapters.langgraph._dumped import to_blob
from lockstitch.v1.checkpoint_pb2 import BlobList, CustomChannel
from tests.adapters.checkpoints import checkpoint, config, metadata
from tests.support.server import LockstitchServer

SERDE = JsonPlusSerializer()
FLOATS = [random.Random(1).random() for _ in range(200_000)]

scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=100)
others = st.sampled_from([(1, 2), {"a": [1]}, [None], {1, 2}, b"x", bytearray(b"y"), HumanMessage("hello", id="1")])
lists = st.lists(scalars | others, max_size=12).flatmap(
    lambda items: st.integers(1, 60).map(lambda times: [item for item in items for _ in range(times)])
)


def channel(value: list[Any], before: CustomChannel | None = None) -> CustomChannel:
    return to_channel(SERDE, value, 1, before=before)


def sizes(found: CustomChannel) -> list[int]:
    """How many items each blob of a list holds."""
    return [int(item.type[8:-1]) if item.type.startswith("msgpack[") else 1 for item in found.list.items]


@settings(max_examples=50, deadline=None)
@given(lists, lists, st.integers(0, 700))
def test_a_list_comes_back_as_its_items_do(first: list[Any], more: list[Any], kept: int) -> None:
    before = channel(first)
    second = first[:kept] + more
    after = channel(second, before)
    for value, dumped in ((first, before), (second, after)):
        loaded = from_channel(SERDE, dumped)
        alone = [SERDE.loads_typed(SERDE.dumps_typed(item)) for item in value]
        assert loaded == alone
        assert [type(item) for item in loaded] == [type(item) for item in alone]


@settings(max_examples=30, deadline=None)
@given(lists, lists)
def test_a_list_that_grew_begins_with_the_same_bytes(first: list[Any], more: list[Any]) -> None:
    before = channel(first)
    after = channel(first + more, before)
    assert list(after.list.items)[: len(before.list.items)] == list(before.list.items)


def test_many_small_items_are_few_blobs() -> None:
    found = channel(FLOATS)
    assert sizes(found) == [4096] * 48 + [3392]
    assert sizes(channel(FLOATS[:63])) == [1] * 63
    assert sizes(channel([*FLOATS, 0.5], found)) == [4096] * 48 + [3392, 1]
    assert sizes(channel([*FLOATS[:5000], 0.5, *FLOATS[5001:]], found)) == [4096] * 48 + [3392]
    assert sizes(channel(["x" * 1000] * 100)) == [1] * 100
    assert sizes(channel([HumanMessage("x", id="1")] * 100)) == [1] * 100


def test_lists_that_were_dumped_item_by_item_go_on_so() -> None:
    before = CustomChannel(list=BlobList(items=[to_blob(SERDE, value) for value in FLOATS[:1000]]))
    assert from_channel(SERDE, before) == FLOATS[:1000]
    after = channel(FLOATS[:1000] + FLOATS[:100], before)
    assert list(after.list.items)[:1000] == list(before.list.items)
    assert sizes(after)[1000:] == [100]
    assert from_channel(SERDE, after) == FLOATS[:1000] + FLOATS[:100]


async def test_only_what_is_new_is_stored(server: LockstitchServer, saver: LockstitchSaver, thread_id: str) -> None:
    async def stored() -> int:
        async with lockstitch.AsyncClient(server.target) as client:
            return (await client.get_session(thread_id)).summary.stored_bytes

    async def put(where: Any, using: LockstitchSaver, value: list[float], step: int) -> Any:
        made = checkpoint({"a": value}, {"a": step + 1})
        return await using.aput(where, made, metadata(step), {"a": step + 1})

    where = await put(config(thread_id), saver, FLOATS, 0)
    whole = await stored()
    where = await put(where, saver, [*FLOATS, *range(10)], 1)
    assert await stored() < whole * 1.01
    async with LockstitchSaver(server.target) as other:  # which has dumped nothing yet
        found = await other.aget_tuple(config(thread_id))
        assert found is not None
        assert found.checkpoint["channel_values"]["a"] == [*FLOATS, *range(10)]
        where = await put(where, other, [*FLOATS, *range(20)], 2)
        assert await stored() < whole * 1.02
    async with LockstitchSaver(server.target) as another:
        steps = [found.checkpoint["channel_values"]["a"] async for found in another.alist(config(thread_id))]
        assert steps == [[*FLOATS, *range(20)], [*FLOATS, *range(10)], FLOATS]


async def test_json_is_for_readers_in_other_languages(server: LockstitchServer, thread_id: str) -> None:
    """Item by item, and as one JSON text where that would be too many."""
    async with LockstitchSaver(server.target, serde="json") as saver, lockstitch.AsyncClient(server.target) as client:
        for value in (FLOATS[:1000], FLOATS):
            await saver.aput(config(thread_id), checkpoint({"a": value}), metadata(), {"a": 1})
            loaded = (await client.load_latest(thread_id)).checkpoint
            assert loaded is not None
            found = loaded.state.custom["a"]
            assert {item.type for item in found.list.items} | {found.blob.type} <= {"json", ""}
            assert len(found.list.items) == (1000 if len(value) == 1000 else 0)
            back = await saver.aget_tuple(config(thread_id))
            assert back is not None
            assert back.checkpoint["channel_values"]["a"] == value


@pytest.mark.parametrize("items", [1, 1_000_000])
async def test_a_million_floats_are_saved(saver: LockstitchSaver, thread_id: str, items: int) -> None:
    value = [0.5] * items
    put = await saver.aput(config(thread_id), checkpoint({"a": value}), metadata(), {"a": 1})
    found = await saver.aget_tuple(put)
    assert found is not None
    assert found.checkpoint["channel_values"]["a"] == value
