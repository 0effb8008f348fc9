"""`lockstitch import langgraph`: databases of LangGraph's own savers, a real server; threads go on where they were."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.types import Command

import lockstitch
from lockstitch.adapters.langgraph import LockstitchSaver
from lockstitch_server.importers.langgraph import CheckpointRow, checkpoint
from lockstitch_server.importers.transfer import RowInvalid
from tests.adapters.checkpoints import checkpoint as made
from tests.adapters.checkpoints import config, metadata
from tests.adapters.graphs import approval, crowd, noting, said
from tests.adapters.test_langgraph_values import Order
from tests.cli.commands import Command as Lockstitch
from tests.cli.commands import Done
from tests.support.server import LockstitchServer

pytestmark = pytest.mark.slow

Saver = BaseCheckpointSaver[Any]
Open = Callable[[], AbstractAsyncContextManager[Saver]]


@pytest.fixture
def server() -> Iterator[LockstitchServer]:
    with LockstitchServer("memory://") as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where one of LangGraph's savers keeps its threads."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/threads.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


@asynccontextmanager
async def theirs(url: str) -> AsyncIterator[Saver]:
    if url.startswith("sqlite"):
        async with AsyncSqliteSaver.from_conn_string(url.removeprefix("sqlite:///")) as saver:
            await saver.setup()
            yield saver
        return
    async with AsyncPostgresSaver.from_conn_string(url) as postgres:
        await postgres.setup()
        yield postgres


async def imported(server: LockstitchServer, source: str, *arguments: str) -> Done:
    command = Lockstitch("import", "langgraph", source, *arguments)
    done = await asyncio.to_thread(command.in_process, server.target)  # it has an event loop of its own
    assert done.code == 0, done
    return done


async def fill(saver: Saver) -> None:
    """Threads with all that savers keep: subgraphs, questions, forks, odd values and late writes."""
    await approval(saver).ainvoke(said("sew"), config("asking"))
    await crowd(saver).ainvoke({"log": []}, config("crowd"))
    graph = approval(saver)
    await graph.ainvoke(said("mend"), config("done"))
    await graph.ainvoke(Command(resume=True), config("done"))
    await graph.ainvoke(said("mend it again"), config("done"))
    values = {
        "order": Order(1, ["a"]),
        "list": [None, b"x", Order(2, []), {"a": [1]}],
        "text": "é",
        "none": None,
        "n": 1.5,
    }
    versions: Any = dict.fromkeys(values, "00000000000000000000000000000001.0.5")
    put = await saver.aput(config("odd"), made(values, versions), metadata(score=2**60, tags=["a"]), versions)
    await saver.aput_writes(put, [("list", [HumanMessage("late")]), ("__error__", "oh")], "task", "path")


async def all_of(saver: Saver) -> dict[tuple[str, str, str], CheckpointTuple]:
    found = {}
    async for item in saver.alist(None):
        named = item.config["configurable"]
        found[named["thread_id"], named["checkpoint_ns"], named["checkpoint_id"]] = item
    return found


async def test_everything_comes_over_and_a_second_time_changes_nothing(server: LockstitchServer, source: str) -> None:
    async with theirs(source) as saver:
        await fill(saver)
        wanted = await all_of(saver)
    assert (
        await imported(server, source)
    ).out == f"4 threads, {len(wanted)} steps: {len(wanted)} created, 0 unchanged\n"
    async with LockstitchSaver(server.target) as saver:
        found = await all_of(saver)
        assert found.keys() == wanted.keys()
        for name, item in wanted.items():
            assert found[name] == item
    assert (
        await imported(server, source)
    ).out == f"4 threads, {len(wanted)} steps: 0 created, {len(wanted)} unchanged\n"


async def test_a_thread_goes_on_where_it_was(server: LockstitchServer, source: str) -> None:
    async with theirs(source) as saver:
        await fill(saver)
    await imported(server, source, "--thread", "asking", "--thread", "done")
    async with LockstitchSaver(server.target) as saver:
        graph = approval(saver)
        assert (await graph.ainvoke(Command(resume=True), config("asking")))["log"] == ["plan", "asked", "acted"]
        before = await saver.aget_tuple(config("done"))
        assert (await graph.ainvoke(Command(resume=False), config("done")))["log"][-1] == "left it"
        after = await saver.aget_tuple(config("done"))
        assert before is not None
        assert after is not None
        versions: list[Any] = [item.checkpoint["channel_versions"]["log"] for item in (before, after)]
        assert versions[0] < versions[1]
        assert await saver.aget_tuple(config("crowd")) is None


async def test_retention_keeps_what_imported_delta_channels_are_restored_from(
    server: LockstitchServer, source: str
) -> None:
    async with theirs(source) as saver:
        for number in range(6):
            await noting(saver, 5).ainvoke({"notes": [f"input {number}"]}, config("notes"))
        values = (await noting(saver, 5).aget_state(config("notes"))).values
    await imported(server, source)
    async with lockstitch.AsyncClient(server.target) as client:
        pruned = await client.prune_sessions(["notes"], retention=lockstitch.Retention(keep_last=1))
        assert pruned.checkpoints > 0
    async with LockstitchSaver(server.target) as saver:
        assert (await noting(saver, 5).aget_state(config("notes"))).values == values


async def test_the_parts_are_those_that_the_saver_makes(server: LockstitchServer, source: str) -> None:
    async with theirs(source) as saver:
        await fill(saver)
    await imported(server, source)
    async with LockstitchSaver(server.target) as saver, lockstitch.AsyncClient(server.target) as client:
        async for item in saver.alist(config("done")):
            checkpoint_id = item.checkpoint["id"]
            parent = item.parent_config["configurable"]["checkpoint_id"] if item.parent_config else None
            versions = item.checkpoint["channel_versions"]
            await saver.aput(config("copy", parent), item.checkpoint, item.metadata, versions)
            ours = (await client.load("copy", checkpoint_id=checkpoint_id)).checkpoint
            brought = (await client.load("done", checkpoint_id=checkpoint_id)).checkpoint
            assert ours.state == brought.state
            assert ours.metadata == brought.metadata


async def test_classes_that_cannot_be_found_come_over_as_they_are(server: LockstitchServer, source: str) -> None:
    """The importer makes no objects: the bytes are those that were there."""
    async with theirs(source) as saver:
        await fill(saver)
        wanted = saver.serde.dumps_typed(Order(1, ["a"]))
    await imported(server, source, "--thread", "odd")
    async with lockstitch.AsyncClient(server.target) as client:
        loaded = (await client.load_latest("odd")).checkpoint
    assert loaded is not None
    blob = loaded.state.custom["order"].blob
    assert (blob.type, blob.data) == wanted


def test_a_database_of_another_is_refused(server: LockstitchServer, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE checkpoints (id TEXT)")
    done = Lockstitch("import", "langgraph", str(tmp_path / "other.db")).in_process(server.target)
    assert done.code == 2
    assert "is no LangGraph database" in done.err


def test_a_row_that_cannot_be_read_is_told() -> None:
    row = CheckpointRow("t", "", "c", None, ("msgpack+aes", b"?"), None, (), ())
    with pytest.raises(RowInvalid, match=r"thread 't', checkpoint 'c' in '': its encoding is 'msgpack\+aes'"):
        checkpoint(row)
    with pytest.raises(RowInvalid):
        checkpoint(CheckpointRow("t", "", "c", None, ("msgpack", b"\x81"), None, (), ()))


def test_what_was_sent_to_tasks_before_version_4_is_part_of_the_checkpoint() -> None:
    sends = [("msgpack", b"\x01"), ("null", b"")]
    found, _ = checkpoint(CheckpointRow("t", "", "c", "p", '{"v": 3}', "{}", (), (), sends))
    assert [(item.type, item.data) for item in found.state.custom["__pregel_tasks"].list.items] == sends
