"""Requests that break a rule of the contract: refused with the field and the limit, and nothing of them is stored."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest
from google.protobuf.message import Message as ProtobufMessage

from lockstitch.v1.checkpoint_pb2 import ENDPOINT_UNSPECIFIED, NodeKind
from lockstitch.v1.checkpoint_service_pb2 import (
    LoadLatestRequest,
    LoadLatestStreamRequest,
    LoadRequest,
    SaveRequest,
    SaveWritesRequest,
    WalkAncestorsRequest,
)
from tests.conformance.builders import (
    MAX_STEP,
    MAX_U64,
    assert_same,
    checkpoint,
    latest,
    list_request,
    page,
    pending,
    refused,
    revision,
    save,
    save_request,
    sessions_request,
    state,
    write,
)
from tests.conformance.suite.bad_saves import BAD_SAVES, chain, failing, saving, with_delta
from tests.support.api import Api, ApiError

CONTROL = ["\0", "\n", "\x1f", "\x7f", "\x80", "\x9f"]
NOT_JSON = ["", " ", "nul", "NaN", "Infinity", "-Infinity", "1 2", "{", "[1,]", "'a'", '"\n"', "01", "1.", "+1",
            "\ufeff1", '{"a": NaN}', "\0", '"\\x"', "undefined", "{a: 1}", "[" * 100_000]  # fmt: skip


async def assert_refused(
    api: Api, name: str, request: ProtobufMessage, field: str, limit: int | None = None, reason: str = "INVALID_FIELD"
) -> ApiError:
    """The request is refused, and the error says which field it is about, in words and for programs."""
    error = await refused(_call(api, name, request))
    assert (error.code.name, error.reason) == ("INVALID_ARGUMENT", reason)
    assert error.metadata == {"field": field} | ({} if limit is None else {"limit": str(limit)})
    assert error.message.startswith(f"{field}: ")
    if limit is not None:
        assert str(limit) in error.message
    (violation,) = error.detail("BadRequest").field_violations
    assert (violation.field, violation.description) == (field, error.message)
    return error


async def _call(api: Api, name: str, request: ProtobufMessage) -> object:
    answers: AsyncIterator[object]
    if name in ("WalkAncestors", "LoadLatestStream"):
        answers = api.stream(name, request)
        return [answer async for answer in answers]
    return await api.unary(name, request)


async def assert_save_refused(
    api: Api, request: SaveRequest, field: str, limit: int | None = None, reason: str = "INVALID_FIELD"
) -> None:
    """As assert_refused; and the session of a base stays as it was, or there is still none."""
    session = request.checkpoint.session_id
    if request.HasField("delta"):
        await save(api, checkpoint(session, checkpoint_id="base"))
    before = await revision(api, session)
    await assert_refused(api, "Save", request, field, limit, reason)
    assert await revision(api, session) == before


class TestIds:
    """Of every field that names something: its limits, and no control characters."""

    PLACES: Mapping[str, tuple[Callable[[str], ProtobufMessage], str, int, int]] = {
        "Save session": (lambda text: saving(text), "checkpoint.session_id", 1, 255),
        "Save namespace": (lambda text: saving("s", namespace=text), "checkpoint.namespace", 0, 512),
        "Save id": (lambda text: saving("s", checkpoint_id=text), "checkpoint.checkpoint_id", 0, 128),
        "Save parent": (lambda text: saving("s", parent_id=text), "checkpoint.parent_id", 0, 128),
        "Save expected": (
            lambda text: save_request(checkpoint=checkpoint("s"), expected_latest={"checkpoint_id": text}),
            "expected_latest.checkpoint_id",
            1,
            128,
        ),
        "Save base": (
            lambda text: save_request(checkpoint={"session_id": "s"}, base_checkpoint_id=text, delta={}),
            "base_checkpoint_id",
            1,
            128,
        ),
        "Save task": (lambda text: _writing(task_id=text), "writes[0].task_id", 1, 255),
        "Save task path": (lambda text: _writing(task_path=text), "writes[0].task_path", 0, 1024),
        "Save channel": (lambda text: _writing(channel=text), "writes[0].channel", 0, 512),
        "SaveWrites session": (lambda text: _save_writes(session_id=text), "session_id", 1, 255),
        "SaveWrites namespace": (lambda text: _save_writes(namespace=text), "namespace", 0, 512),
        "SaveWrites id": (lambda text: _save_writes(checkpoint_id=text), "checkpoint_id", 1, 128),
        "LoadLatest session": (lambda text: LoadLatestRequest(session_id=text), "session_id", 1, 255),
        "LoadLatest namespace": (lambda text: LoadLatestRequest(session_id="s", namespace=text), "namespace", 0, 512),
        "Load session": (lambda text: LoadRequest(session_id=text, step=1), "session_id", 1, 255),
        "Load namespace": (lambda text: LoadRequest(session_id="s", namespace=text, step=1), "namespace", 0, 512),
        "Load id": (lambda text: LoadRequest(session_id="s", checkpoint_id=text), "checkpoint_id", 1, 128),
        "ListSessions prefix": (lambda text: sessions_request(session_id_prefix=text), "session_id_prefix", 0, 255),
        "ListCheckpoints session": (lambda text: list_request(session_id=text), "session_id", 0, 255),
        "ListCheckpoints namespace": (lambda text: list_request(namespace=text), "namespace", 0, 512),
        "ListCheckpoints before": (
            lambda text: list_request(session_id="s", before_checkpoint_id=text),
            "before_checkpoint_id",
            0,
            128,
        ),
        "WalkAncestors session": (lambda text: WalkAncestorsRequest(session_id=text), "session_id", 1, 255),
        "WalkAncestors namespace": (
            lambda text: WalkAncestorsRequest(session_id="s", namespace=text),
            "namespace",
            0,
            512,
        ),
        "WalkAncestors id": (
            lambda text: WalkAncestorsRequest(session_id="s", checkpoint_id=text),
            "checkpoint_id",
            0,
            128,
        ),
    }

    @pytest.mark.edge
    @pytest.mark.parametrize("place", PLACES)
    async def test_too_long(self, api: Api, place: str) -> None:
        make, field, _, most = self.PLACES[place]
        for text in ("x" * (most + 1), "é" * (most // 2 + 1)):
            await assert_refused(api, place.partition(" ")[0], make(text), field, most)

    @pytest.mark.edge
    @pytest.mark.parametrize("place", [place for place, (*_, least, _) in PLACES.items() if least])
    async def test_empty(self, api: Api, place: str) -> None:
        make, field, _, most = self.PLACES[place]
        limit = None if place == "Save base" else most
        await assert_refused(api, place.partition(" ")[0], make(""), field, limit)

    @pytest.mark.edge
    @pytest.mark.parametrize("place", PLACES)
    async def test_control_characters(self, api: Api, place: str) -> None:
        make, field, _, _ = self.PLACES[place]
        for character in CONTROL:
            error = await assert_refused(api, place.partition(" ")[0], make(f"a{character}b"), field)
            assert "control characters" in error.message

    async def test_the_longest_are_taken(self, api: Api, session: str) -> None:
        name = session + "é" * ((255 - len(session)) // 2)
        longest: dict[str, Any] = {"namespace": "n" * 512, "checkpoint_id": "🧵" * 32, "parent_id": "p" * 128}
        sent = checkpoint(name, **longest)
        written = write("t" * 255, task_path="p" * 1024, channel="c" * 512)
        await save(api, sent, writes=[written])
        answer = await api.load_latest(LoadLatestRequest(session_id=name, namespace="n" * 512))
        assert_same(answer.checkpoint, sent)
        assert_same(answer.pending_writes[0], written)


def _writing(**fields: Any) -> SaveRequest:
    return save_request(checkpoint=checkpoint("s"), writes=[write(**fields)])


def _save_writes(**fields: Any) -> SaveWritesRequest:
    return SaveWritesRequest(**{"session_id": "s", "checkpoint_id": "a", "writes": [write()]} | fields)


class TestJson:
    PLACES: Mapping[str, tuple[Callable[[str, str], SaveRequest], str]] = {
        "extra": (
            lambda session, text: saving(session, state=state(extra={"entries": {"a": "1", "k": text}})),
            "checkpoint.state.extra.entries['k']",
        ),
        "metadata": (lambda session, text: saving(session, metadata={"k": text}), "checkpoint.metadata['k']"),
        "delta": (lambda session, text: with_delta(session, extra={"set": {"k": text}}), "delta.extra.set['k']"),
        "context": (
            lambda session, text: saving(session, state=state(errors={"items": [{}, {"context": text}]})),
            "checkpoint.state.errors.items[1].context",
        ),
        "details": (
            lambda session, text: saving(session, state=state(errors={"items": [{"error": {"details": text}}]})),
            "checkpoint.state.errors.items[0].error.details",
        ),
        "details of a cause": (
            lambda session, text: saving(
                session, state=state(errors={"items": [{"error": {"cause": {"details": text}}}]})
            ),
            "checkpoint.state.errors.items[0].error.cause.details",
        ),
        "details of an appended error": (
            lambda session, text: with_delta(session, errors={"append": [{"error": {"details": text}}]}),
            "delta.errors.append[0].error.details",
        ),
    }

    @pytest.mark.edge
    @pytest.mark.parametrize("text", NOT_JSON, ids=lambda text: ascii(text[:20]))
    async def test_what_is_not_json(self, api: Api, session: str, text: str) -> None:
        make, field = self.PLACES["extra"]
        await assert_save_refused(api, make(session, text), field, reason="NOT_JSON")

    @pytest.mark.edge
    @pytest.mark.parametrize("place", PLACES)
    async def test_wherever_json_is_due(self, api: Api, session: str, place: str) -> None:
        make, field = self.PLACES[place]
        await assert_save_refused(api, make(session, "{"), field, reason="NOT_JSON")

    @pytest.mark.parametrize("place", ["context", "details", "details of a cause"])
    async def test_may_be_left_out_of_errors(self, api: Api, session: str, place: str) -> None:
        await api.save(self.PLACES[place][0](session, ""))

    @pytest.mark.edge
    async def test_of_a_filter(self, api: Api) -> None:
        request = list_request(metadata={"k": "{"})
        await assert_refused(api, "ListCheckpoints", request, "metadata['k']", reason="NOT_JSON")

    @pytest.mark.parametrize("depth", [500, 900])
    async def test_nested_deep(self, api: Api, session: str, depth: int) -> None:
        """What is taken can be read and searched for; else it is refused with a reason."""
        for text in ("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth):
            sent = checkpoint(session, checkpoint_id="a", state=state(extra={"entries": {"k": text}}))
            await save(api, sent)
            assert_same(await latest(api, session), sent)
            sent.metadata["k"] = text
            search = list_request(session_id=session, metadata={"k": text})
            try:
                await save(api, sent)
            except ApiError as error:
                assert error.metadata["field"].startswith("checkpoint.metadata")  # noqa: PT017 - or no error at all
                found = await refused(api.list_checkpoints(search))
                assert (found.code.name, found.metadata["field"][:8]) == ("INVALID_ARGUMENT", "metadata")
            else:
                assert len((await api.list_checkpoints(search)).checkpoints) == 1


class TestSaveRequest:
    @pytest.mark.edge
    @pytest.mark.parametrize("case", BAD_SAVES)
    async def test_is_refused(self, api: Api, session: str, case: str) -> None:
        make, field, limit = BAD_SAVES[case]
        await assert_save_refused(api, make(session), field, limit)

    @pytest.mark.edge
    async def test_without_a_checkpoint_is_refused(self, api: Api) -> None:
        await assert_refused(api, "Save", save_request(), "checkpoint")

    async def test_90_causes_are_taken(self, api: Api, session: str) -> None:
        request = failing(session, chain(90))
        await api.save(request)
        assert (await latest(api, session)).state == request.checkpoint.state
        assert (await page(api, session)).checkpoints[0].state == request.checkpoint.state
        (streamed,) = [
            each
            async for each in api.load_latest_stream(
                LoadLatestStreamRequest(requests=[LoadLatestRequest(session_id=session)])
            )
        ]
        assert streamed.loaded.checkpoint.state == request.checkpoint.state

    async def test_90_causes_are_taken_by_a_delta(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, checkpoint_id="base"))
        await api.save(with_delta(session, errors={"append": [{"error": chain(90)}]}))
        assert (await latest(api, session)).state.errors.items[0].error == chain(90)

    @pytest.mark.edge
    @pytest.mark.parametrize("depth", [91, 92])
    async def test_more_are_not(self, api: Api, session: str, depth: int) -> None:
        field = "checkpoint.state.errors.items[0].error"
        await assert_save_refused(api, failing(session, chain(depth)), field, 90)
        in_delta = with_delta(session, errors={"append": [{"error": chain(depth)}]})
        await assert_save_refused(api, in_delta, "delta.errors.append[0].error", 90)

    @pytest.mark.edge
    async def test_far_too_many_causes(self, api: Api, session: str) -> None:
        """So deep that no parser reads it, put together without one."""
        error = b""
        for _ in range(200):
            error = b"\x12" + _varint(len(error)) + error
        data = error
        for tag in (b"\x1a", b"\x12", b"\x1a", b"\x32", b"\x0a"):
            data = tag + _varint(len(data)) + data
        refusal = await refused(api.send_bytes("Save", data))
        assert (refusal.code.name, refusal.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")


def _varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + _varint(number >> 7)


class TestOtherRequests:
    BAD: Mapping[str, tuple[str, ProtobufMessage, str, int | None]] = {
        "no writes": ("SaveWrites", _save_writes(writes=[]), "writes", 10_000),
        "no selector": ("Load", LoadRequest(session_id="s"), "selector", None),
        "step of Load": ("Load", LoadRequest(session_id="s", step=MAX_STEP + 1), "step", MAX_STEP),
        "min_step": ("ListCheckpoints", list_request(min_step=MAX_STEP + 1), "min_step", MAX_STEP),
        "max_step": ("ListCheckpoints", list_request(max_step=MAX_U64), "max_step", MAX_STEP),
        "no ran node": ("ListCheckpoints", list_request(ran_node={}), "ran_node.kind", None),
        "no skipped node": ("ListCheckpoints", list_request(skipped_node={}), "skipped_node.kind", None),
        "unspecified node": (
            "ListCheckpoints",
            list_request(ran_node=NodeKind(endpoint=ENDPOINT_UNSPECIFIED)),
            "ran_node.endpoint",
            None,
        ),
        "name of a label": ("ListSessions", sessions_request(labels={"a\0": ""}), "labels key", None),
        "label": ("ListSessions", sessions_request(labels={"a": "\n"}), "labels['a']", None),
        "long label": ("ListSessions", sessions_request(labels={"a": "x" * 256}), "labels['a']", 255),
        "updated_since": ("ListSessions", sessions_request(updated_since={"nanos": -1}), "updated_since", None),
        "updated_before": (
            "ListSessions",
            sessions_request(updated_before={"seconds": 2**40}),
            "updated_before",
            None,
        ),
    }

    @pytest.mark.edge
    @pytest.mark.parametrize("case", BAD)
    async def test_are_refused(self, api: Api, case: str) -> None:
        await assert_refused(api, *self.BAD[case])

    async def test_writes_that_are_refused_are_not_stored(self, api: Api, session: str) -> None:
        request = _save_writes(session_id=session, writes=[write(), write(task="")])
        await assert_refused(api, "SaveWrites", request, "writes[1].task_id", 255)
        await save(api, checkpoint(session, checkpoint_id="a"))
        assert await pending(api, session, "a") == []


@pytest.mark.edge
class TestMalformed:
    @pytest.mark.parametrize("name", ["Save", "SaveWrites", "LoadLatest", "Load", "ListSessions", "ListCheckpoints"])
    @pytest.mark.parametrize("data", [b"\xff", b"\x0a\xff", b"hello"], ids=repr)
    async def test_bytes_that_are_no_message(self, api: Api, name: str, data: bytes) -> None:
        error = await refused(api.send_bytes(name, data))
        assert (error.code.name, error.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")
        assert error.metadata["field"] == "request"
        assert f"{name}Request" in error.message

    @pytest.mark.parametrize("name", ["SaveWrites", "LoadLatest", "Load"])
    async def test_text_that_is_no_utf_8(self, api: Api, name: str) -> None:
        error = await refused(api.send_bytes(name, b"\x0a\x02\xff\xff"))
        assert (error.code.name, error.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")
