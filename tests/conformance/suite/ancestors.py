"""WalkAncestors: the parents of a checkpoint, nearest first."""

import asyncio
from typing import Any

import pytest

from lockstitch.v1.checkpoint_pb2 import Checkpoint
from lockstitch.v1.checkpoint_service_pb2 import (
    CHECKPOINT_VIEW_HEADER,
    LoadLatestRequest,
    LoadLatestStreamRequest,
    LoadRequest,
    WalkAncestorsResponse,
)
from tests.conformance.builders import (
    assert_same,
    blob,
    blobs,
    checkpoint,
    contents,
    extras,
    failed,
    load,
    refused,
    said,
    save,
    state,
    values,
    walk,
    write,
)
from tests.support.api import Api


async def save_chain(api: Api, session: str, length: int, **fields: Any) -> None:
    """Checkpoints "0" to length - 1, each the parent of the next."""
    chain = []
    for number in range(length):
        texts = [f"{each} {'x' * 100}" for each in range(number)]
        parent = str(number - 1) if number else ""
        one = {"checkpoint_id": str(number), "parent_id": parent, "state": state(*texts)} | fields
        chain.append(checkpoint(session, number, **one))
    await asyncio.gather(*(save(api, each) for each in chain))


def names(answers: list[WalkAncestorsResponse]) -> list[str]:
    return [answer.checkpoint.checkpoint_id for answer in answers]


async def only(api: Api, session: str, channels: list[str]) -> Checkpoint:
    return (await api.load(LoadRequest(session_id=session, checkpoint_id="a", channels=channels))).checkpoint


async def only_latest(api: Api, session: str, channels: list[str]) -> Checkpoint:
    return (await api.load_latest(LoadLatestRequest(session_id=session, channels=channels))).checkpoint


async def only_streamed(api: Api, session: str, channels: list[str]) -> Checkpoint:
    request = LoadLatestStreamRequest(requests=[LoadLatestRequest(session_id=session, channels=channels)])
    (answer,) = [answer async for answer in api.load_latest_stream(request)]
    return answer.loaded.checkpoint


class TestWalkAncestors:
    async def test_gives_parents_nearest_first(self, api: Api, session: str) -> None:
        await save_chain(api, session, 5)
        answers = await walk(api, session, "4")
        assert names(answers) == ["3", "2", "1", "0"]
        for answer in answers:
            assert_same(answer.checkpoint, await load(api, session, answer.checkpoint.checkpoint_id))

    async def test_begins_where_it_is_told(self, api: Api, session: str) -> None:
        await save_chain(api, session, 5)
        assert names(await walk(api, session, "2")) == ["1", "0"]
        assert names(await walk(api, session, "0")) == []

    async def test_begins_at_the_latest_by_default(self, api: Api, session: str) -> None:
        await save_chain(api, session, 4)
        await save(api, checkpoint(session, checkpoint_id="!", parent_id="0"))
        assert names(await walk(api, session)) == ["2", "1", "0"]

    async def test_follows_its_own_branch(self, api: Api, session: str) -> None:
        await save_chain(api, session, 4)
        await save(api, checkpoint(session, checkpoint_id="fork", parent_id="1"))
        assert names(await walk(api, session, "fork")) == ["1", "0"]

    async def test_tells_the_revision_of_each(self, api: Api, session: str) -> None:
        revisions = [
            (await save(api, checkpoint(session, checkpoint_id=name, parent_id=parent))).revision
            for name, parent in (("a", ""), ("b", "a"), ("c", "b"))
        ]
        assert [answer.revision for answer in await walk(api, session, "c")] == [revisions[1], revisions[0]]

    @pytest.mark.parametrize("length", [32, 33, 34, 65, 100])
    async def test_long_chains(self, api: Api, session: str, length: int) -> None:
        await save_chain(api, session, length, state=state("hi"))
        expected = [str(number) for number in reversed(range(length - 1))]
        assert names(await walk(api, session, str(length - 1))) == expected

    async def test_at_most_as_many_as_asked_for(self, api: Api, session: str) -> None:
        await save_chain(api, session, 40, state=state("hi"))
        for limit in (1, 2, 31, 32, 33, 38, 39, 40, 64, 1000, 2**32 - 1):
            assert len(await walk(api, session, "39", limit=limit)) == min(limit, 39)

    @pytest.mark.parametrize("length", [1, 2, 32, 33, 40])
    @pytest.mark.parametrize("back_to", ["0", "last"])
    async def test_ends_where_it_has_been(self, api: Api, session: str, length: int, back_to: str) -> None:
        await save_chain(api, session, length, state=state("hi"))
        last = str(length - 1)
        parent = last if back_to == "last" else "0"
        await save(api, checkpoint(session, checkpoint_id="0", parent_id=parent))
        # Neither the start nor what was given already is given again.
        assert names(await walk(api, session, last)) == [str(number) for number in reversed(range(length - 1))]

    async def test_ends_where_a_parent_is_missing(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, checkpoint_id="a", parent_id="missing"))
        await save(api, checkpoint(session, checkpoint_id="b", parent_id="a"))
        assert names(await walk(api, session, "b")) == ["a"]

    async def test_keeps_to_its_namespace(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, checkpoint_id="a"))
        await save(api, checkpoint(session, checkpoint_id="b", parent_id="a", namespace="n"))
        assert names(await walk(api, session, "b", namespace="n")) == []

    @pytest.mark.parametrize("start", ["", "missing"])
    async def test_from_a_missing_checkpoint_is_not_found(self, api: Api, session: str, start: str) -> None:
        if start:
            await save(api, checkpoint(session))
        error = await refused(walk(api, session, start))
        assert (error.code.name, error.reason) == ("NOT_FOUND", "CHECKPOINT_NOT_FOUND")
        assert error.metadata == {"session_id": session}


class TestWalkAncestorsSelection:
    FULL = state(
        "hi",
        extra=extras(7, a="1", b="2"),
        errors=failed("e"),
        custom={"c": {"version": "v", "blob": blob(b"x" * 100)}, "d": {"list": blobs(b"1")}, "messages": {}},
    )

    @pytest.mark.parametrize(
        ("channels", "expected"),
        [
            ([], FULL),
            (["messages"], {"messages": FULL.messages}),
            (["errors"], {"errors": FULL.errors}),
            (["extra"], {"extra": FULL.extra}),
            (["extra/a"], {"extra": extras(7, a="1")}),
            (["extra/missing"], {"extra": extras(7)}),
            (["custom"], {"custom": FULL.custom}),
            (["custom/c"], {"custom": {"c": FULL.custom["c"]}}),
            (["custom/messages"], {"custom": {"messages": {}}}),
            (["custom/d", "messages", "extra/b"], {
                "custom": {"d": FULL.custom["d"]}, "messages": said("hi"), "extra": extras(7, b="2"),
            }),
            (["missing", "custom/missing"], {}),
        ],
    )  # fmt: skip
    async def test_only_chosen_channels(
        self, api: Api, session: str, channels: list[str], expected: dict[str, Any]
    ) -> None:
        await save(api, checkpoint(session, checkpoint_id="a", state=self.FULL))
        await save(api, checkpoint(session, checkpoint_id="b", parent_id="a"))
        (answer,) = await walk(api, session, "b", channels=channels)
        wanted = state()
        wanted.Clear()
        wanted.MergeFrom(expected if channels == [] else type(wanted)(**expected))  # type: ignore[arg-type]
        assert_same(answer.checkpoint.state, wanted)

        await save(api, checkpoint(f"{session} alone", checkpoint_id="a", state=self.FULL))
        for call in (only, only_latest, only_streamed):
            assert_same((await call(api, f"{session} alone", channels)).state, wanted)

    async def test_headers_only(self, api: Api, session: str) -> None:
        await save_chain(api, session, 3)
        for answer in await walk(api, session, "2", view=CHECKPOINT_VIEW_HEADER):
            assert not answer.checkpoint.HasField("state")

    async def test_writes_are_given_if_asked_for(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, checkpoint_id="a"), writes=[write(data=b"a")])
        await save(api, checkpoint(session, checkpoint_id="b", parent_id="a"), writes=[write(data=b"b")])
        await save(api, checkpoint(session, checkpoint_id="c", parent_id="b"), writes=[write(data=b"c")])
        answers = await walk(api, session, "c", include_writes=True)
        assert [values(answer.pending_writes) for answer in answers] == [[b"b"], [b"a"]]
        assert [values(answer.pending_writes) for answer in await walk(api, session, "c")] == [[], []]

    async def test_only_writes_of_chosen_channels(self, api: Api, session: str) -> None:
        sent = [write(index=index, data=name.encode(), channel=name) for index, name in enumerate(["x", "y", "xy", ""])]
        await save(api, checkpoint(session, checkpoint_id="a"), writes=sent)
        await save(api, checkpoint(session, checkpoint_id="b", parent_id="a"))
        (answer,) = await walk(api, session, "b", include_writes=True, write_channels=["", "x"])
        assert values(answer.pending_writes) == [b"x", b""]

    async def test_contents_of_a_chain(self, api: Api, session: str) -> None:
        await save_chain(api, session, 6)
        answers = await walk(api, session, "5", channels=["messages"])
        assert [len(contents(answer.checkpoint)) for answer in answers] == [4, 3, 2, 1, 0]
