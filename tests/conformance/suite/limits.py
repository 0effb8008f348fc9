"""Requests that are too large, and states that would be; under limits that an operator has set low."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from google.protobuf.message import Message as ProtobufMessage

from lockstitch.v1.checkpoint_service_pb2 import (
    LoadLatestRequest,
    LoadLatestStreamRequest,
    SaveRequest,
    SaveWritesRequest,
)
from tests.conformance.builders import (
    assert_same,
    blobs,
    checkpoint,
    checkpoint_of,
    extras,
    latest,
    list_request,
    page,
    pending,
    refused,
    revision,
    save,
    save_request,
    state,
    values,
    walk,
    write,
)
from tests.conformance.suite.validation import assert_refused
from tests.support.api import Api, ApiError

LIMIT = 32 * 1024


def growing(session: str, text: str, base: int, **fields: Any) -> SaveRequest:
    """A delta that appends a message."""
    made = checkpoint_of(session_id=session, step=base + 1)
    delta = {"messages": {"version": 1, "append": [{"content": text}]}}
    return save_request(checkpoint=made, base_checkpoint_id=f"{base:020d}", delta=delta, **fields)


def assert_too_large(error: ApiError, field: str) -> None:
    assert (error.code.name, error.reason) == ("RESOURCE_EXHAUSTED", "TOO_LARGE")
    assert error.metadata["field"] == field
    assert error.metadata["limit"] == str(LIMIT)
    assert int(error.metadata["size"]) > LIMIT
    assert error.message.startswith(f"{field}: ")
    assert str(LIMIT) in error.message


class TestTooLarge:
    @pytest.mark.parametrize("size", [LIMIT, 2 * LIMIT, 2 * LIMIT + 1024 * 1024 - 1000])
    async def test_a_request(self, tight_api: Api, session: str, size: int) -> None:
        error = await refused(save(tight_api, checkpoint(session, state=state("x" * size))))
        assert_too_large(error, "request")
        assert await revision(tight_api, session) == 0

    async def test_the_largest_request_is_taken_and_can_be_read(self, tight_api: Api, session: str) -> None:
        sent = checkpoint(session, checkpoint_id="a", state=state("x"))
        rest = LIMIT - len(save_request(checkpoint=sent).SerializeToString())
        sent.state.messages.items[0].content = "x" * (rest - 10)
        await save(tight_api, sent)
        assert_same(await latest(tight_api, session), sent)
        assert_same((await page(tight_api, session)).checkpoints[0], sent)

    async def test_a_state_that_a_delta_makes(self, tight_api: Api, session: str) -> None:
        text = "x" * 10_000
        await save(tight_api, checkpoint(session, 0, state=state(text)))
        for base in (0, 1):
            await tight_api.save(growing(session, text, base))
        before = await revision(tight_api, session)
        assert_too_large(await refused(tight_api.save(growing(session, text, 2))), "checkpoint")
        assert await revision(tight_api, session) == before
        assert (await latest(tight_api, session)).step == 2

    @pytest.mark.parametrize(
        "change",
        [
            {"extra": {"set": {"k": f'"{"x" * 20_000}"'}}},
            {"errors": {"append": [{"context": f'"{"x" * 20_000}"'}]}},
            {"custom": {"c": {"append": blobs(b"x" * 20_000)}}},
            {"custom": {"c": {"blob": {"data": b"x" * 20_000}}}},
            {"custom": {"c" * 500: {"version": "v" * 255}}, "messages": {"append": [{"content": "x" * 15_000}]}},
        ],
        ids=lambda change: str(list(change)),
    )
    async def test_a_state_that_grows_anywhere(self, tight_api: Api, session: str, change: dict[str, Any]) -> None:
        await save(tight_api, checkpoint(session, 0, state=state("x" * 18_000)))
        request = save_request(
            checkpoint={"session_id": session, "step": 1}, base_checkpoint_id=f"{0:020d}", delta=change
        )
        assert_too_large(await refused(tight_api.save(request)), "checkpoint")

    async def test_writes_that_pile_up(self, tight_api: Api, session: str) -> None:
        await save(tight_api, checkpoint(session, checkpoint_id="a", state=state("x" * 10_000)))
        writes = [write(index=index, data=b"x" * 10_000) for index in range(3)]
        many = [SaveWritesRequest(session_id=session, checkpoint_id="a", writes=[each]) for each in writes]
        for request in many[:2]:
            await tight_api.save_writes(request)
        before = await revision(tight_api, session)
        assert_too_large(await refused(tight_api.save_writes(many[2])), "writes")
        assert await revision(tight_api, session) == before
        assert len(await pending(tight_api, session, "a")) == 2

    async def test_writes_that_pile_up_before_their_checkpoint(self, tight_api: Api, session: str) -> None:
        request = SaveWritesRequest(session_id=session, checkpoint_id="a", writes=[write(data=b"x" * 20_000)])
        await tight_api.save_writes(request)
        sent = checkpoint(session, checkpoint_id="a", state=state("x" * 20_000))
        assert_too_large(await refused(save(tight_api, sent)), "checkpoint")

    async def test_writes_that_are_added_to_a_checkpoint_by_saving_it_again(self, tight_api: Api, session: str) -> None:
        sent = checkpoint(session, checkpoint_id="a", state=state("x" * 10_000))
        for index in range(2):
            await save(tight_api, sent, writes=[write(index=index, data=b"x" * 10_000)])
        error = await refused(save(tight_api, sent, writes=[write(index=2, data=b"x" * 10_000)]))
        assert error.reason == "TOO_LARGE"
        assert len(await pending(tight_api, session, "a")) == 2

    async def test_a_write_that_replaces_a_large_one(self, tight_api: Api, session: str) -> None:
        await save(tight_api, checkpoint(session, checkpoint_id="a", state=state("x" * 10_000)))
        for data in (b"x" * 20_000, b"y" * 20_000):
            request = SaveWritesRequest(session_id=session, checkpoint_id="a", writes=[write(index=-1, data=data)])
            await tight_api.save_writes(request)
        assert values(await pending(tight_api, session, "a")) == [b"y" * 20_000]

    async def test_a_state_that_replaces_a_large_one(self, tight_api: Api, session: str) -> None:
        for letter in "xy":
            await save(tight_api, checkpoint(session, checkpoint_id="a", state=state(letter * 20_000)))
        assert (await latest(tight_api, session)).state.messages.items[0].content == "y" * 20_000


class TestTooMany:
    CASES: Mapping[str, tuple[str, Callable[[str], ProtobufMessage], str, int]] = {
        "metadata": (
            "Save",
            lambda session: save_request(checkpoint=checkpoint(session, metadata=dict.fromkeys("abcd", "1"))),
            "checkpoint.metadata",
            3,
        ),
        "metadata of a filter": (
            "ListCheckpoints",
            lambda session: list_request(metadata=dict.fromkeys("abcd", "1")),
            "metadata",
            3,
        ),
        "writes of a save": (
            "Save",
            lambda session: save_request(checkpoint=checkpoint(session), writes=[write(index=n) for n in range(5)]),
            "writes",
            4,
        ),
        "writes": (
            "SaveWrites",
            lambda session: SaveWritesRequest(
                session_id=session, checkpoint_id="a", writes=[write(index=n) for n in range(5)]
            ),
            "writes",
            4,
        ),
        "sessions": (
            "LoadLatestStream",
            lambda session: LoadLatestStreamRequest(requests=[LoadLatestRequest(session_id=session)] * 4),
            "requests",
            3,
        ),
        "channels": (
            "Save",
            lambda session: save_request(
                checkpoint=checkpoint(
                    session, state=state(extra=extras(**dict.fromkeys("abc", "1")), custom={n: {} for n in "abc"})
                )
            ),
            "checkpoint.state",
            5,
        ),
        "channels of a delta": (
            "Save",
            lambda session: save_request(
                checkpoint=checkpoint_of(session_id=session),
                base_checkpoint_id="base",
                delta={"extra": {"set": dict.fromkeys("abc", "1")}, "custom": {n: {} for n in "abc"}},
            ),
            "delta",
            5,
        ),
    }

    @pytest.mark.edge
    @pytest.mark.parametrize("case", CASES)
    async def test_entries(self, tight_api: Api, session: str, case: str) -> None:
        name, make, field, limit = self.CASES[case]
        await assert_refused(tight_api, name, make(session), field, limit)
        assert await revision(tight_api, session) == 0

    async def test_channels_that_deltas_pile_up(self, tight_api: Api, session: str) -> None:
        """Else nobody could save the state whole that a delta has made."""
        await save(tight_api, checkpoint(session, 0, state=state(extra=extras(**dict.fromkeys("abc", "1")))))
        request = save_request(
            checkpoint=checkpoint_of(session_id=session, step=1),
            base_checkpoint_id=f"{0:020d}",
            delta={"custom": {name: {} for name in "abc"}},
        )
        error = await refused(tight_api.save(request))
        assert error.metadata["limit"] == "5"
        assert (await latest(tight_api, session)).step == 0

    async def test_as_many_as_the_limit_are_taken(self, tight_api: Api, session: str) -> None:
        channels: dict[str, Any] = {"extra": extras(**dict.fromkeys("abc", "1")), "custom": {n: {} for n in "ab"}}
        metadata = dict.fromkeys("abc", "1")
        sent = checkpoint(session, checkpoint_id="a", metadata=metadata, state=state("hi", **channels))
        await save(tight_api, sent, writes=[write(index=n) for n in range(4)])
        assert_same(await latest(tight_api, session), sent)
        assert len((await page(tight_api, session, metadata=metadata)).checkpoints) == 1
        await walk(tight_api, session)
