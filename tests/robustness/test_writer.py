"""The process that saves: it is killed, frozen, left alone; no acknowledged save is lost, and none is doubled."""

import asyncio
import random
import signal
from collections.abc import Iterator
from contextlib import suppress

import grpc
import psutil
import pytest

from lockstitch import AsyncClient, DeadlineExceeded
from lockstitch.v1.checkpoint_pb2 import Checkpoint
from lockstitch.v1.checkpoint_service_pb2 import (
    SAVE_OUTCOME_CREATED,
    ListSessionsRequest,
    LoadLatestRequest,
    SaveRequest,
)
from tests.robustness.crowd import crowd, lines, patient_crowd, until
from tests.robustness.faults import assert_says, process_of
from tests.robustness.ledger import Ledger
from tests.robustness.workload import checkpoint, delta_save, full_save
from tests.robustness.writers import MOST_STEPS, Writer
from tests.support.api import Api, ApiError, grpc_api
from tests.support.postgres import has_ended
from tests.support.server import LockstitchServer
from tests.support.streams import save_all

pytestmark = pytest.mark.slow  # the process that saves starts, ends and starts again

PROGRAM = "lockstitch_server.writer.process"
CLIENTS = 6
KILLS = 6
STEPS = 60
VARIANTS = 200
LARGE = 1_000_000
LARGE_SAVES = 40
SHORT_SECONDS = 1.0
PATIENCE = 20.0


@pytest.fixture
def server(store_url: str) -> Iterator[LockstitchServer]:
    with LockstitchServer(store_url, ["--migrate", "--set=writer=process"]) as running:
        yield running


def writers_of(server: LockstitchServer) -> list[psutil.Process]:
    """The processes that save for a server, as it has started them."""
    found = []
    for child in server.workers:
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if PROGRAM in child.cmdline():
                found.append(child)
    return found


def writer_of(server: LockstitchServer) -> psutil.Process:
    (found,) = writers_of(server)
    return found


async def killed(server: LockstitchServer) -> None:
    """Kill it, once there is one."""
    await until(lambda: writers_of(server))
    process = writer_of(server)
    process.kill()
    await until(lambda: process not in writers_of(server))


async def assert_counted(api: Api, ledger: Ledger) -> None:
    """Each session says that it has as many checkpoints as were sent to it, all of which were acknowledged."""
    for session, checkpoints in ledger.sent.items():
        (found,) = (await api.list_sessions(ListSessionsRequest(session_id_prefix=session))).sessions
        assert found.checkpoint_count == len(checkpoints), session


# Where there is one


@pytest.mark.parametrize(("setting", "count"), [("inside", 0), ("process", 1)])
async def test_the_setting_decides(store_url: str, setting: str, count: int) -> None:
    with LockstitchServer(store_url, ["--migrate", f"--set=writer={setting}"]) as server:
        async with grpc_api(server.target) as api:
            await api.save(full_save("session", 0))
        assert len(writers_of(server)) == count


@pytest.mark.parametrize("setting", ["auto", "inside", "process"])
async def test_memory_has_none(setting: str) -> None:
    with LockstitchServer("memory://", [f"--set=writer={setting}"]) as server:
        async with grpc_api(server.target) as api:
            await api.save(full_save("session", 0))
        assert not writers_of(server)


async def test_its_command_line_tells_no_secrets(postgres_url: str) -> None:
    secret = postgres_url.replace("postgres@", "postgres:open-sesame@")
    with LockstitchServer(secret, ["--migrate", "--set=writer=process"]) as server:
        words = writer_of(server).cmdline()
    assert not [word for word in words if "postgres" in word or "sesame" in word]


# It dies


async def test_no_call_fails_when_it_is_killed_again_and_again(rng: random.Random, server: LockstitchServer) -> None:
    ledger, stop = Ledger(), asyncio.Event()
    async with patient_crowd(server.target, CLIENTS) as clients:
        load = asyncio.gather(*(_save_until(stop, client, n, ledger) for n, client in enumerate(clients)))
        for _ in range(KILLS):
            await _saving(ledger, load)
            await asyncio.sleep(rng.uniform(0, 0.2))
            await killed(server)
        stop.set()
        await load
    async with grpc_api(server.target) as api:
        await ledger.check_all(api)
        await assert_counted(api, ledger)
    await until(lambda: len(lines(server, "writer_died")) == KILLS)
    assert {line["exit_code"] for line in lines(server, "writer_died")} == {-signal.SIGKILL}


async def _saving(ledger: Ledger, load: "asyncio.Future[list[None]]") -> None:
    """Wait until it saves: more than the answers that may have been on their way."""
    enough = ledger.acknowledged + 2 * CLIENTS
    await until(lambda: load.done() or ledger.acknowledged > enough)


async def test_no_call_fails_when_it_is_killed_as_it_starts(server: LockstitchServer) -> None:
    ledger, stop = Ledger(), asyncio.Event()
    async with patient_crowd(server.target, CLIENTS) as clients:
        load = asyncio.gather(*(_save_until(stop, client, n, ledger) for n, client in enumerate(clients)))
        for _ in range(KILLS):
            await killed(server)
        await _saving(ledger, load)
        stop.set()
        await load
    async with grpc_api(server.target) as api:
        await ledger.check_all(api)
        await assert_counted(api, ledger)
    assert lines(server, "writer_cannot_start")


async def _save_until(stop: asyncio.Event, client: AsyncClient, number: int, ledger: Ledger) -> None:
    saves = 0
    while not stop.is_set():
        request = full_save(f"client-{number}-{saves // MOST_STEPS}.", saves % MOST_STEPS)
        sent = ledger.note_save(request)
        await client.save(request.checkpoint)
        sent.acknowledged = True
        saves += 1


async def test_who_does_not_retry_is_told(rng: random.Random, server: LockstitchServer) -> None:
    """At worst: a save may also get through. The next ones do."""
    ledger, stop = Ledger(), asyncio.Event()
    async with crowd(server.target, CLIENTS) as apis:
        writers = [Writer(f"writer-{n}", ledger, random.Random(rng.random())) for n in range(CLIENTS)]
        load = asyncio.gather(
            *(_write_on(writer, api, stop) for writer, api in zip(writers, apis, strict=True)),
        )
        for _ in range(KILLS):
            await _saving(ledger, load)
            await killed(server)
        stop.set()
        await load
        await until(lambda: len(lines(server, "writer_died")) == KILLS)
        for writer, api in zip(writers, apis, strict=True):
            assert await writer.write_one(api), writer.failures[-1]
            for failure in writer.failures:
                assert_says(failure, "STORE_UNAVAILABLE")
        await ledger.check_all(apis[0])


async def _write_on(writer: Writer, api: Api, stop: asyncio.Event) -> None:
    while not stop.is_set():
        await writer.write_one(api)


async def test_one_that_died_idle_is_missed_by_nobody(server: LockstitchServer) -> None:
    async with grpc_api(server.target) as api:
        await api.save(full_save("session", 0))
        await killed(server)
        await until(lambda: lines(server, "writer_died"))
        await api.save(delta_save("session", 1))
        assert len(writers_of(server)) == 1


async def test_loads_go_on_without_it(server: LockstitchServer) -> None:
    async with grpc_api(server.target) as api:
        await api.save(full_save("session", 0))
        await killed(server)
        assert (await api.load_latest(LoadLatestRequest(session_id="session"))).checkpoint.HasField("state")
        assert not writers_of(server), "nobody has saved anything"


# The server dies, or is stopped


async def test_it_ends_with_a_server_that_is_killed(server: LockstitchServer) -> None:
    async with grpc_api(server.target) as api:
        await api.save(full_save("session", 0))
    process, writing = process_of(server), writer_of(server)
    server.signal(signal.SIGKILL)
    assert await asyncio.to_thread(process.wait, PATIENCE) == -signal.SIGKILL
    await asyncio.to_thread(writing.wait, PATIENCE)
    await asyncio.to_thread(server.start)
    async with grpc_api(server.target) as api:
        await api.save(delta_save("session", 1))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_to_the_whole_group_stops_in_order(
    rng: random.Random, server: LockstitchServer, number: signal.Signals
) -> None:
    """As Ctrl-C in a terminal does: what was taken is done first."""
    ledger = Ledger()
    process, writing = process_of(server), writer_of(server)
    async with crowd(server.target, CLIENTS) as apis:
        writers = [Writer(f"writer-{n}", ledger, random.Random(rng.random())) for n in range(CLIENTS)]
        pairs = zip(writers, apis, strict=True)
        load = [asyncio.create_task(writer.write(api, asyncio.Event())) for writer, api in pairs]
        await until(lambda: ledger.acknowledged > CLIENTS)
        writing.send_signal(number)
        server.signal(number)
        assert await asyncio.to_thread(process.wait, PATIENCE) == 0
        await asyncio.gather(*load)
        assert set().union(*(writer.codes for writer in writers)) == {grpc.StatusCode.UNAVAILABLE}
    await asyncio.to_thread(writing.wait, PATIENCE)
    assert not lines(server, "writer_died")
    await asyncio.to_thread(server.start)
    async with grpc_api(server.target) as api:
        await ledger.check_all(api)


# It hangs


async def test_calls_to_a_frozen_one_end_by_their_deadline(server: LockstitchServer) -> None:
    async with grpc_api(server.target) as api, AsyncClient(server.target, timeout=SHORT_SECONDS) as client:
        await api.save(full_save("session", 0))
        process = writer_of(server)
        process.suspend()
        try:
            with pytest.raises(DeadlineExceeded):
                await client.save(full_save("session", 1).checkpoint)
            assert (await api.load_latest(LoadLatestRequest(session_id="session"))).checkpoint.step == 0
        finally:
            process.resume()
        await api.save(full_save("session", 1))
        await api.save(delta_save("session", 2))
        assert writer_of(server) == process


async def test_a_frozen_one_does_not_keep_the_server_from_ending() -> None:
    """Not even with more underway to it than a socket takes."""
    with LockstitchServer(arguments=["--set=writer=process", "--drain-seconds=0"]) as server:
        process, writing = process_of(server), writer_of(server)
        async with grpc_api(server.target) as api:
            await api.save(full_save("session", 0))
            writing.suspend()
            enough = process.memory_info().rss + LARGE_SAVES * LARGE // 2
            saves = [asyncio.create_task(api.save(_large(f"large-{number}"))) for number in range(LARGE_SAVES)]
            await until(lambda: process.memory_info().rss > enough)
            server.signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, PATIENCE) == 0
            for failure in await asyncio.gather(*saves, return_exceptions=True):
                assert isinstance(failure, ApiError | grpc.aio.AioRpcError)
        await until(lambda: has_ended(writing))


def _large(session: str) -> SaveRequest:
    request = SaveRequest(checkpoint=Checkpoint(session_id=session))
    request.checkpoint.header.data = bytes(LARGE)
    return request


# It keeps the order


async def test_saves_of_one_stream_are_applied_in_their_order(server: LockstitchServer) -> None:
    """Each delta needs what the save before it has made."""
    async with grpc_api(server.target) as api:
        answers = await asyncio.gather(*(save_all(api, _chain(f"stream-{number}")) for number in range(CLIENTS)))
        for number, saved in enumerate(answers):
            assert [answer.saved.outcome for answer in saved] == [SAVE_OUTCOME_CREATED] * STEPS
            revisions = [answer.saved.revision for answer in saved]
            assert revisions == sorted(set(revisions))
            latest = await api.load_latest(LoadLatestRequest(session_id=f"stream-{number}"))
            assert latest.checkpoint == checkpoint(f"stream-{number}", STEPS - 1)


def _chain(session: str) -> list[SaveRequest]:
    return [(delta_save if step else full_save)(session, step) for step in range(STEPS)]


async def test_the_last_of_a_stream_wins(server: LockstitchServer) -> None:
    """All are of one checkpoint."""
    requests = [full_save("session", 0, variant) for variant in range(VARIANTS)]
    async with grpc_api(server.target) as api:
        for last in (requests, requests[::-1]):
            revisions = [answer.saved.revision for answer in await save_all(api, last)]
            assert revisions == sorted(revisions)
            latest = await api.load_latest(LoadLatestRequest(session_id="session"))
            assert latest.checkpoint == last[-1].checkpoint
            assert latest.revision == revisions[-1]
