"""Appends to lists, with a real server: what is sent, two programs at once, lost answers."""

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest

from lockstitch import (
    AsyncClient,
    Checkpoint,
    LeaseLost,
    Retention,
    Unavailable,
    _appending,
    _unsettled,
)
from lockstitch._appending import Appender
from lockstitch.adapters._appenders import Appenders
from lockstitch.v1.checkpoint_pb2 import StateDelta, TypedBlob, VersionedState
from tests.client.forwarding import forwarding_server
from tests.support.server import LockstitchServer
from tests.support.tcp_proxy import TcpProxy

HEADER = TypedBlob(type="test", data=b"1")


@pytest.fixture
async def client(server: LockstitchServer) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(server.target) as client:
        yield client


@pytest.fixture
def appender(client: AsyncClient, session_id: str) -> Appender:
    return Appender(client, session_id, header=HEADER)


def blob(text: str) -> TypedBlob:
    return TypedBlob(type="text", data=text.encode())


async def lines(client: AsyncClient, session_id: str) -> list[str]:
    """The list as another program reads it."""
    checkpoint = (await client.load_latest(session_id)).checkpoint
    assert checkpoint is not None
    return [item.data.decode() for item in checkpoint.state.custom["lines"].list.items]


def count_lines(values: Mapping[str, TypedBlob]) -> dict[str, TypedBlob]:
    before = values.get("count")
    return {"count": blob(str(int(before.data if before else 0) + 1))}


async def test_items_stand_in_the_order_of_the_calls(client: AsyncClient, appender: Appender, session_id: str) -> None:
    await appender.append("lines", [blob("a"), blob("b")])
    await asyncio.gather(*(appender.append("lines", [blob(str(number))]) for number in range(20)))
    assert await lines(client, session_id) == ["a", "b", *map(str, range(20))]
    latest = (await client.load_latest(session_id)).checkpoint
    assert latest is not None
    assert (latest.step, latest.checkpoint_id, latest.parent_id) == (21, f"{21:020d}", f"{20:020d}")


async def test_only_the_new_items_are_sent(server: LockstitchServer, session_id: str) -> None:
    with TcpProxy(server.target) as proxy:
        async with AsyncClient(proxy.target) as client:
            await Appender(client, session_id, header=HEADER).append("lines", [blob("x" * 500_000)])
            before = proxy.sent
            newcomer = Appender(client, session_id, header=HEADER)
            for _ in range(10):
                await newcomer.append("lines", [blob("y")])
            assert proxy.sent - before < 10_000


async def test_two_programs_lose_nothing(server: LockstitchServer, client: AsyncClient, session_id: str) -> None:
    async def write(name: str) -> None:
        async with AsyncClient(server.target) as own:
            appender = Appender(own, session_id, header=HEADER, values=["count"])
            for number in range(60):
                await appender.append("lines", [blob(f"{name}{number}")], count_lines)

    await asyncio.gather(*map(write, "abc"))
    written = await lines(client, session_id)
    assert len(written) == 180
    for name in "abc":
        assert [line for line in written if line[0] == name] == [f"{name}{number}" for number in range(60)]
    checkpoint = (await client.load_latest(session_id)).checkpoint
    assert checkpoint is not None
    assert checkpoint.state.custom["count"].blob == blob("180")


async def test_a_slow_program_gets_its_turn(
    server: LockstitchServer, client: AsyncClient, appender: Appender, session_id: str
) -> None:
    """Others append without a pause, and each attempt of the slow program needs a load and a save."""

    async def write_all_the_time(own: Appender) -> None:
        while True:
            await own.append("lines", [blob("fast")])

    async with AsyncClient(server.target) as own:
        slow = Appender(own, session_id, header=HEADER, values=["count"])
        fast = [
            asyncio.create_task(write_all_the_time(each))
            for each in (appender, Appender(client, session_id, header=HEADER))
        ]
        try:
            for number in range(10):
                await slow.append("lines", [blob(f"slow {number}")], count_lines)
        finally:
            for task in fast:
                task.cancel()
        await asyncio.gather(*fast, return_exceptions=True)
        written = await lines(client, session_id)
        assert [line for line in written if line != "fast"] == [f"slow {number}" for number in range(10)]
        assert (await client.get_session(session_id)).lease is None


async def test_an_append_waits_for_a_short_lease(client: AsyncClient, appender: Appender, session_id: str) -> None:
    await appender.append("lines", [blob("a")])
    await client.acquire_lease(session_id, "a program that was killed", ttl=1)
    await appender.append("lines", [blob("b")])
    assert await lines(client, session_id) == ["a", "b"]


@pytest.mark.parametrize("begun", [False, True], ids=["first", "later"])
async def test_a_lost_answer_is_found_out_by_the_client(
    server: LockstitchServer, client: AsyncClient, appender: Appender, session_id: str, begun: bool
) -> None:
    if begun:
        await appender.append("lines", [blob("a")])
    async with forwarding_server(server.target, Save=2) as forwarder, AsyncClient(forwarder.target) as own:
        await Appender(own, session_id, header=HEADER).append("lines", [blob("b")])
        assert forwarder.calls["Save"] == 3
    assert await lines(client, session_id) == ["a", "b"][not begun :]


async def test_a_repeated_append_is_a_retry_if_the_first_has_no_answer(
    server: LockstitchServer, client: AsyncClient, appender: Appender, session_id: str
) -> None:
    async with forwarding_server(server.target, Save=1) as forwarder, AsyncClient(forwarder.target, retry=False) as own:
        other = Appender(own, session_id, header=HEADER)
        with pytest.raises(Unavailable):
            await other.append("lines", [blob("a")])
        await appender.append("lines", [blob("a")])  # equal items of another program are other items
        await other.append("lines", [blob("a")])
        await other.append("lines", [blob("a")])
    assert await lines(client, session_id) == ["a"] * 3


async def test_a_repeated_append_stores_what_was_not_stored(
    client: AsyncClient, appender: Appender, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await appender.append("lines", [blob("a")])
    lease = await client.acquire_lease(session_id, "another program")
    monkeypatch.setattr(_appending, "WAIT_SECONDS", 0.1)
    with pytest.raises(LeaseLost):
        await appender.append("lines", [blob("b")])
    await client.release_lease(session_id, lease.token)
    await Appender(client, session_id, header=HEADER).append("lines", [blob("c")])
    await appender.append("lines", [blob("b")])
    assert await lines(client, session_id) == ["a", "c", "b"]


async def test_a_base_that_is_gone_is_no_hindrance(client: AsyncClient, appender: Appender, session_id: str) -> None:
    await appender.append("lines", [blob("a")])
    await Appender(client, session_id, header=HEADER).append("lines", [blob("b")])
    await client.prune_sessions([session_id], retention=Retention(keep_last=1))
    await appender.append("lines", [blob("c")])
    assert await lines(client, session_id) == ["a", "b", "c"]


async def test_values_of_a_session_that_began_again_are_its_own(client: AsyncClient, session_id: str) -> None:
    first, second = (Appender(client, session_id, header=HEADER, values=["count"]) for _ in range(2))
    await first.append("lines", [blob("a")], count_lines)
    await first.append("lines", [blob("b")], count_lines)
    await client.delete_sessions([session_id], tombstone=0)
    for line in "cd":
        await second.append("lines", [blob(line)], count_lines)
    await first.append("lines", [blob("e")], count_lines)  # its checkpoint has the id of another one now
    checkpoint = (await client.load_latest(session_id)).checkpoint
    assert checkpoint is not None
    assert checkpoint.state.custom["count"].blob == blob("3")
    assert await lines(client, session_id) == ["c", "d", "e"]


async def test_changes_are_made_once_each(client: AsyncClient, appender: Appender, session_id: str) -> None:
    await appender.append("lines", [blob(str(number)) for number in range(40)])
    taken: list[str] = []

    async def take(own: Appender) -> None:
        last = ""

        def shorten(state: VersionedState) -> StateDelta:
            nonlocal last
            *others, item = state.custom["lines"].list.items
            last = item.data.decode()
            delta = StateDelta()
            delta.custom["lines"].list.items.extend(others)
            return delta

        for _ in range(10):
            await own.change(["custom/lines"], shorten)
            taken.append(last)

    await asyncio.gather(*(take(Appender(client, session_id, header=HEADER)) for _ in range(3)))
    assert sorted(taken, key=int) == [str(number) for number in range(10, 40)]
    assert await lines(client, session_id) == [str(number) for number in range(10)]


async def test_sessions_of_other_programs_are_left_alone(
    client: AsyncClient, appender: Appender, session_id: str
) -> None:
    await client.save(Checkpoint(session_id=session_id, step=3))
    with pytest.raises(ValueError, match="belongs to another program"):
        await appender.append("lines", [blob("a")])
    odd = Checkpoint(session_id=session_id, checkpoint_id="z", step=4, header=HEADER)
    await client.save(odd)
    with pytest.raises(ValueError, match="would not be later"):
        await appender.append("lines", [blob("a")])
    latest = await client.load_latest(session_id)
    assert latest.checkpoint is not None
    assert latest.checkpoint.checkpoint_id == "z"


async def test_retries_are_known_after_other_appends(
    server: LockstitchServer, client: AsyncClient, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the lost answer was that of a save that was stored or of one that was not."""
    async with forwarding_server(server.target, Save=1) as forwarder, AsyncClient(forwarder.target, retry=False) as own:
        appender = Appender(own, session_id, header=HEADER)
        with pytest.raises(Unavailable):
            await appender.append("lines", [blob("a")])
        lease = await client.acquire_lease(session_id, "another program")
        monkeypatch.setattr(_appending, "WAIT_SECONDS", 0.1)
        with pytest.raises(LeaseLost):
            await appender.append("lines", [blob("b")])
        await client.release_lease(session_id, lease.token)
        await appender.append("lines", [blob("c")])
        for text in ("b", "a", "d"):
            await appender.append("lines", [blob(text)])
        await appender.append("lines", [blob("a")])  # its first append is settled
    assert await lines(client, session_id) == ["a", "c", "b", "d", "a"]


async def test_a_number_of_appends_of_unknown_outcome_is_remembered(
    server: LockstitchServer, client: AsyncClient, session_id: str
) -> None:
    count = _unsettled.MOST_APPENDS
    async with (
        forwarding_server(server.target, Save=count + 1) as forwarder,
        AsyncClient(forwarder.target, retry=False) as own,
    ):
        appender = Appender(own, session_id, header=HEADER)
        for number in range(count + 1):
            with pytest.raises(Unavailable):
                await appender.append("lines", [blob(str(number))])
        for number in reversed(range(count + 1)):
            await appender.append("lines", [blob(str(number))])
        assert not appender.is_needed
    assert await lines(client, session_id) == [*map(str, range(count + 1)), "0"]


async def test_an_append_of_unknown_outcome_is_forgotten_after_a_while(
    server: LockstitchServer, client: AsyncClient, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_unsettled, "SECONDS", 0.0)
    async with forwarding_server(server.target, Save=1) as forwarder, AsyncClient(forwarder.target, retry=False) as own:
        appender = Appender(own, session_id, header=HEADER)
        with pytest.raises(Unavailable):
            await appender.append("lines", [blob("a")])
        assert not appender.is_needed
        await appender.append("lines", [blob("a")])
    assert await lines(client, session_id) == ["a", "a"]


async def test_appenders_with_appends_of_unknown_outcome_are_kept(server: LockstitchServer, session_id: str) -> None:
    async with forwarding_server(server.target, Save=1) as forwarder, AsyncClient(forwarder.target, retry=False) as own:
        appenders = Appenders(lambda api, name, namespace: Appender(api, name, namespace, header=HEADER), most=2)
        with pytest.raises(Unavailable):
            await appenders.get(own, session_id).append("lines", [blob("a")])
        others = [appenders.get(own, f"{session_id}-{number}") for number in range(3)]
        await appenders.get(own, session_id).append("lines", [blob("a")])
        assert await lines(own, session_id) == ["a"]
        assert appenders.get(own, f"{session_id}-2") is others[2]
        assert appenders.get(own, f"{session_id}-0") is not others[0]


async def test_a_session_that_another_program_has_taken_over_is_left_alone(
    client: AsyncClient, appender: Appender, session_id: str
) -> None:
    """Also by an appender that knew it before."""
    await appender.append("lines", [blob("a")])
    await client.save(Checkpoint(session_id=session_id, step=2, header=TypedBlob(type="other")))
    with pytest.raises(ValueError, match="belongs to another program"):
        await appender.append("lines", [blob("b")])
    latest = (await client.load_latest(session_id)).checkpoint
    assert latest is not None
    assert latest.step == 2
