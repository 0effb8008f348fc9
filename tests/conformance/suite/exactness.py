"""What was sent comes back, to the last bit, by every way to read it, whether it was saved whole or as a delta."""

from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.message import Message as ProtobufMessage

from lockstitch.v1.checkpoint_pb2 import Checkpoint, NodeKind, PendingWrite, StateDelta, VersionedState
from lockstitch.v1.checkpoint_service_pb2 import LoadRequest
from tests.conformance.builders import (
    MAX_STEP,
    MAX_U32,
    MAX_U64,
    add_unknown_field,
    assert_same,
    blob,
    checkpoint,
    checkpoint_of,
    delta_of,
    failed,
    full_checkpoint,
    latest,
    page,
    save,
    save_request,
    state,
    state_of,
    walk,
)
from tests.support.api import Api

JSON_TEXTS = [
    "9007199254740993",
    "-9223372036854775809",
    "18446744073709551615",
    "123456789012345678901234567890" * 10,
    "0.1",
    "1.0",
    "1e0",
    "-0",
    "-0.0",
    "1e400",
    "-1E+400",
    "1e-400",
    "0.30000000000000004",
    "3.141592653589793238462643383279",
    "null",
    "true",
    '""',
    '"\\u0000"',
    '"a\\u0000b"',
    '"\\ud800"',
    '"\\udc00\\ud800"',
    '"\\ud83e\\uddf5"',
    '"🧵"',
    '"é"',
    '"e\u0301"',
    '"\\/"',
    '"\u2028\ufeff"',
    "[]",
    "{}",
    "[ 1 ,\n2\t, 3\r]",
    "  1  ",
    '{"b": 1, "a": 2}',
    '{"a": 1, "a": 2}',
    '{"": {"": ""}}',
    '{"\\u0000": "\\u0000"}',
    "[" * 100 + "]" * 100,
]

TEXTS = ["", " ", "\0", "a\0b", "\x01\x1f\x7f\x9f", "\r\n", "é", "e\u0301", "🧵", "\U0010ffff", "\ufeff", "x" * 5000]

TIMES = [
    (0, 0),
    (0, 1),
    (0, 999_999_999),
    (-1, 999_999_999),
    (-1, 0),
    (1_700_000_000, 123_456_789),
    (-62_135_596_800, 0),
    (253_402_300_799, 999_999_999),
]


async def assert_comes_back(api: Api, sent: Checkpoint) -> None:
    """Saved as it is; read in every way."""
    await save(api, sent)
    session, namespace = sent.session_id, sent.namespace
    assert_same(await latest(api, session, namespace), sent)
    by_id = LoadRequest(session_id=session, namespace=namespace, checkpoint_id=sent.checkpoint_id)
    assert_same((await api.load(by_id)).checkpoint, sent)
    assert_same((await page(api, session, namespace=namespace)).checkpoints[0], sent)
    await save(api, checkpoint(session, checkpoint_id="~child", parent_id=sent.checkpoint_id, namespace=namespace))
    assert_same((await walk(api, session, "~child", namespace=namespace))[0].checkpoint, sent)


async def assert_state_comes_back(api: Api, session: str, delta: StateDelta, sent: VersionedState) -> None:
    """Saved as a whole, and as a delta; alone, and behind what was there before."""
    await assert_comes_back(api, checkpoint(session, checkpoint_id="whole", state=sent))
    await save(api, checkpoint(session, checkpoint_id="base", state=state_of()))
    request = save_request(
        checkpoint=checkpoint_of(session_id=session, checkpoint_id="delta"), base_checkpoint_id="base", delta=delta
    )
    await api.save(request)
    made = await api.load(LoadRequest(session_id=session, checkpoint_id="delta"))
    assert_same(made.checkpoint.state, sent)


class TestExactness:
    @pytest.mark.parametrize("text", JSON_TEXTS, ids=lambda text: ascii(text[:30]))
    async def test_json_text(self, api: Api, session: str, text: str) -> None:
        extra, error = {"key": text}, {"error": {"details": text, "cause": {"details": text}}, "context": text}
        sent = state(extra={"entries": extra}, errors={"items": [error]})
        delta = delta_of(messages={"version": 1}, extra={"set": extra}, errors={"append": [error]})
        await assert_state_comes_back(api, session, delta, sent)
        await assert_comes_back(api, checkpoint(f"{session}2", checkpoint_id="a", metadata={"key": text}))

    @pytest.mark.parametrize("text", TEXTS, ids=lambda text: ascii(text[:20]))
    async def test_text(self, api: Api, session: str, text: str) -> None:
        key = text[:500]
        sent = state_of(
            messages={"items": [{"role": text, "content": text}]},
            extra={"entries": {key: '"v"'}},
            errors={"items": [{"error": {"message": text}, "tags": [text, text], "scope": {"node": {"kind": text}}}]},
            custom={key: {"version": text[:255], "blob": {"type": text[:255], "data": text.encode()}}},
        )
        delta = delta_of(
            messages={"append": sent.messages.items},
            extra={"set": sent.extra.entries},
            errors={"append": sent.errors.items},
            custom={key: {"version": text[:255], "blob": sent.custom[key].blob}},
        )
        await assert_state_comes_back(api, session, delta, sent)

    @pytest.mark.parametrize("text", TEXTS, ids=lambda text: ascii(text[:20]))
    async def test_text_of_headers(self, api: Api, session: str, text: str) -> None:
        key = text[:255]
        node = {"custom": key}
        sent = checkpoint(
            session,
            checkpoint_id="a",
            frontier=[node],
            ran_nodes=[node, node],
            skipped_nodes=[node],
            updated_channels=[text],
            versions_seen={text: {"versions": {text: 1}}, "other": {}},
            metadata={key: '"v"'},
            header={"type": key, "data": text.encode()},
        )
        await assert_comes_back(api, sent)

    @pytest.mark.parametrize(("seconds", "nanos"), TIMES)
    async def test_times(self, api: Api, session: str, seconds: int, nanos: int) -> None:
        moment = {"seconds": seconds, "nanos": nanos}
        sent = checkpoint(
            session, checkpoint_id="a", created_at=moment, state={"errors": {"items": [{"when": moment}]}}
        )
        await assert_comes_back(api, sent)

    @pytest.mark.parametrize("number", [0, 1, 2**31, MAX_U32])
    async def test_u32(self, api: Api, session: str, number: int) -> None:
        channels: Any = {name: {"version": number} for name in ("messages", "extra", "errors")}
        await assert_state_comes_back(api, session, delta_of(**channels), state_of(**channels))

    @pytest.mark.parametrize("number", [0, 1, 2**32, 2**53 + 1, 2**63 - 1, 2**63, MAX_U64])
    async def test_u64(self, api: Api, session: str, number: int) -> None:
        scopes = [{"node": {"step": number}}, {"scheduler": {"step": number}}, {"runner": {"step": number}}]
        sent = checkpoint(
            session,
            min(number, MAX_STEP),
            checkpoint_id="a",
            concurrency_limit=number,
            versions_seen={"n": {"versions": {"c": number}}},
            state={"errors": {"items": [{"scope": scope} for scope in scopes]}},
        )
        await assert_comes_back(api, sent)

    async def test_the_order_of_lists(self, api: Api, session: str) -> None:
        names = ["b", "a", "c", "a", "", "B"]
        sent = state_of(
            messages={"items": [{"content": name} for name in names]},
            errors={"items": [{"tags": names, "error": {"message": name}} for name in names]},
            custom={"c": {"list": {"items": [{"type": name, "data": name.encode()} for name in names]}}},
        )
        delta = delta_of(
            messages={"append": sent.messages.items},
            errors={"append": sent.errors.items},
            custom={"c": {"append": sent.custom["c"].list}},
        )
        await assert_state_comes_back(api, session, delta, sent)

    @pytest.mark.parametrize(
        "sent",
        [
            {},
            {"messages": {}},
            {"extra": {}},
            {"errors": {}},
            {"custom": {"": {}}},
            {"custom": {"c": {"blob": {}}}},
            {"custom": {"c": {"list": {}}}},
            {"custom": {"c": {"list": {"items": [{}]}}}},
            {"messages": {"items": [{}]}},
            {"messages": {"items": [{}, {}]}},
            {"errors": {"items": [{}]}},
            {"errors": {"items": [{"when": {}, "scope": {}, "error": {}}]}},
            {"errors": {"items": [{"scope": {"app": {}}, "error": {"cause": {}}}]}},
            {"errors": {"items": [{"scope": {"node": {}}}, {"scope": {"scheduler": {}}}, {"scope": {"runner": {}}}]}},
            {"extra": {"entries": {"": '""'}}},
        ],
        ids=str,
    )
    async def test_what_is_absent_and_what_is_empty(self, api: Api, session: str, sent: dict[str, Any]) -> None:
        await assert_comes_back(api, checkpoint(session, checkpoint_id="a", state=sent))

    @pytest.mark.parametrize("field", ["state", "header", "created_at"])
    async def test_empty_messages_are_not_absent(self, api: Api, session: str, field: str) -> None:
        sent = checkpoint_of(session_id=session, checkpoint_id="a", created_at={"seconds": 1})
        getattr(sent, field).SetInParent()
        await assert_comes_back(api, sent)

    async def test_a_time_at_the_beginning_is_not_absent(self, api: Api, session: str) -> None:
        sent = checkpoint_of(session_id=session, checkpoint_id="a", created_at={})
        await save(api, sent)
        assert (await latest(api, session)).created_at == sent.created_at

    async def test_endpoints_that_nobody_knows_yet(self, api: Api, session: str) -> None:
        newer = NodeKind.FromString(b"\x08\x07")
        sent = checkpoint(session, checkpoint_id="a", frontier=[newer], ran_nodes=[newer])
        await assert_comes_back(api, sent)
        assert len((await page(api, session, ran_node=newer)).checkpoints) == 1

    async def test_unknown_fields_at_every_level(self, api: Api, session: str) -> None:
        sent = full_checkpoint(session)
        for message in list(every_message(sent)):
            add_unknown_field(message)
        await assert_comes_back(api, sent)

    async def test_unknown_fields_of_messages_that_are_empty(self, api: Api, session: str) -> None:
        sent = checkpoint(session, checkpoint_id="a", state={"custom": {"a": {"list": {}}, "b": {"blob": {}}, "c": {}}})
        for message in (sent.state, sent.state.messages, sent.state.extra, sent.state.errors):
            add_unknown_field(message)
        for channel in (sent.state.custom["a"], sent.state.custom["b"], sent.state.custom["c"]):
            add_unknown_field(channel)
        add_unknown_field(sent.state.custom["a"].list)
        add_unknown_field(sent.state.custom["b"].blob)
        await assert_comes_back(api, sent)

    async def test_unknown_fields_of_every_wire_type(self, api: Api, session: str) -> None:
        sent = full_checkpoint(session)
        for message in list(every_message(sent)):
            # Field 1001: a varint, 8 bytes, text, a group, 4 bytes; and the text again.
            message.MergeFromString(
                b"\xc8\x3e\xff\x01\xc9\x3e12345678\xca\x3e\x02hi\xcb\x3e\x08\x05\xcc\x3e\xcd\x3e1234"
            )
            message.MergeFromString(b"\xca\x3e\x02hi")
        await assert_comes_back(api, sent)

    async def test_unknown_fields_of_a_growing_list(self, api: Api, session: str) -> None:
        sent = checkpoint(session, checkpoint_id="a", state=state(*("x" * 100 for _ in range(3)), errors=failed("e")))
        for message in list(every_message(sent)):
            add_unknown_field(message)
        await save(api, sent)
        sent.checkpoint_id, sent.parent_id = "b", "a"
        sent.state.messages.items.add(content="more")
        add_unknown_field(sent.state.messages.items.add(content="y" * 5000))
        await assert_comes_back(api, sent)

    async def test_unknown_fields_of_writes(self, api: Api, session: str) -> None:
        sent = PendingWrite(task_id="t", value=blob())
        add_unknown_field(sent)
        add_unknown_field(sent.value)
        await save(api, checkpoint(session, checkpoint_id="a"), writes=[sent])
        answer = await api.load(LoadRequest(session_id=session, checkpoint_id="a"))
        assert_same(answer.pending_writes[0], sent)


def every_message(message: ProtobufMessage) -> Iterator[ProtobufMessage]:
    """A message and all those inside it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            inner = list(value.values()) if field.message_type.fields_by_name["value"].message_type else []
        else:
            inner = list(value) if field.is_repeated else [value]
        for each in inner:
            yield from every_message(each)
