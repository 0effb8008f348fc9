"""Checkpoints that depend on ancestors: retention keeps these, and a walk never ends before them in silence."""

import asyncio

from lockstitch.v1.checkpoint_pb2 import StateDelta
from tests.conformance.builders import checkpoint, ids, latest, load, refused, save, walk
from tests.conformance.session_builders import ask, prune
from tests.support.api import Api

LAST = {"keep_last": 1}


async def chain(api: Api, session: str, *depends_on: str, namespace: str = "") -> None:
    """Checkpoints "0", "1", ..., each the parent of the next, with these dependencies."""
    for number, ancestor in enumerate(depends_on):
        parent = str(number - 1) if number else ""
        one = checkpoint(session, number, checkpoint_id=str(number), parent_id=parent, depends_on=ancestor)
        one.namespace = namespace
        await save(api, one)


async def walked(api: Api, session: str, checkpoint_id: str = "", **fields: object) -> list[str]:
    return [answer.checkpoint.checkpoint_id for answer in await walk(api, session, checkpoint_id, **fields)]


class TestDependencies:
    async def test_come_back_as_they_were_sent(self, api: Api, session: str) -> None:
        await chain(api, session, "", "0")
        assert (await load(api, session, "1")).depends_on == "0"
        assert (await latest(api, session)).depends_on == "0"
        delta = checkpoint(session, 2, checkpoint_id="2", parent_id="1", depends_on="0", state=None)
        await save(api, delta, base_checkpoint_id="1", delta=StateDelta())
        assert (await load(api, session, "2")).depends_on == "0"

    async def test_are_ids(self, api: Api, session: str) -> None:
        error = await refused(save(api, checkpoint(session, 1, depends_on="x" * 129)))
        assert (error.code.name, error.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")
        assert error.detail("BadRequest").field_violations[0].field == "checkpoint.depends_on"

    async def test_are_kept_with_all_between(self, api: Api, session: str) -> None:
        await chain(api, session, "", "0", "", "2", "2", "2")
        told = await prune(api, session, retention=LAST, dry_run=True)
        done = await prune(api, session, retention=LAST)
        assert done == told
        assert done.checkpoints == 2
        assert await ids(api, session) == ["5", "4", "3", "2"]
        assert await walked(api, session) == ["4", "3", "2"]
        assert (await prune(api, session, retention=LAST)).checkpoints == 0

    async def test_that_are_kept_only_for_others_keep_nothing_themselves(self, api: Api, session: str) -> None:
        await chain(api, session, "", "0", "0", "2", "2")
        assert (await prune(api, session, retention=LAST)).checkpoints == 2
        assert await ids(api, session) == ["4", "3", "2"]
        error = await refused(walk(api, session, "2"))
        assert (error.code.name, error.metadata["checkpoint_id"]) == ("DATA_LOSS", "2")

    async def test_are_of_a_namespace(self, api: Api, session: str) -> None:
        await chain(api, session, "", "", "")
        await chain(api, session, "", "0", "0", namespace="inner")
        assert (await prune(api, session, retention=LAST)).checkpoints == 2
        assert await ids(api, session, namespace="") == ["2"]
        assert await ids(api, session, namespace="inner") == ["2", "1", "0"]

    async def test_are_let_go_with_the_last_that_needs_them(self, api: Api, session: str) -> None:
        await chain(api, session, "", "0", "0")
        await prune(api, session, retention=LAST)
        await save(api, checkpoint(session, 3, checkpoint_id="3", parent_id="2"))
        assert (await prune(api, session, retention=LAST)).checkpoints == 3
        assert await ids(api, session) == ["3"]

    async def test_of_branches(self, api: Api, session: str) -> None:
        await chain(api, session, "", "", "", "")
        await save(api, checkpoint(session, 4, checkpoint_id="4", parent_id="1", depends_on="0"))
        await prune(api, session, retention=LAST)
        assert await ids(api, session) == ["4", "1", "0"]

    async def test_that_cannot_be_met(self, api: Api, session: str) -> None:
        """An ancestor that was never there, itself, and a ring: nothing to keep, and nothing that ends never."""
        await chain(api, session, "", "nobody", "2")
        for name, parent in (("a", "c"), ("b", "a"), ("c", "b")):
            await save(api, checkpoint(session, checkpoint_id=name, parent_id=parent, depends_on="nobody"))
        await asyncio.wait_for(prune(api, session, retention=LAST), 30)
        assert await ids(api, session) == ["c", "b", "a"]
        assert (await refused(walk(api, session, "c"))).reason == "DATA_LOSS"

    async def test_that_were_deleted_end_a_walk_with_an_error(self, api: Api, session: str) -> None:
        await chain(api, session, "", "0", "0", "0")
        await save(api, checkpoint(session, 9, checkpoint_id="1", parent_id="0", metadata={"run": '"r"'}))
        await ask(api, "DeleteCheckpoints", session_id=session, metadata={"entries": {"run": '"r"'}})
        error = await refused(walk(api, session, "3"))
        assert (error.code.name, error.reason) == ("DATA_LOSS", "DATA_LOSS")
        assert error.metadata == {"session_id": session, "namespace": "", "checkpoint_id": "3"}
        assert "'0'" in error.message
        assert await walked(api, session, "3", limit=1) == ["2"]

    async def test_no_dependency_no_error(self, api: Api, session: str) -> None:
        await chain(api, session, "", "", "")
        await prune(api, session, retention={"keep_last": 2})
        assert await walked(api, session, "2") == ["1"]
