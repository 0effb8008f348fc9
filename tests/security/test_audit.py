"""The audit log: who did what to which session, and nothing that is secret."""

import asyncio
import fcntl
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import grpc
import pytest

from lockstitch.v1 import checkpoint_service_pb2 as pb
from lockstitch_server.audit import AuditLog, AuditUnavailable, Record
from tests.security.callers import bearer, make_key
from tests.support.api import ApiError, grpc_api
from tests.support.server import DOORS, LockstitchServer

SECONDS = 30
SECRET = "what the agent said to nobody else"


def record(number: int) -> Record:
    return Record(1_700_000_000.25, "Save", "worker", "acme", [f"s-{number}"], "OK", "", "ipv4:127.0.0.1:1", "r")


def lines(path: Path) -> list[Any]:
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]  # the last may be half written


def eventually(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.05)


FULL_FILE = """
import resource, signal, sys, time
from pathlib import Path
from lockstitch_server.audit import AuditLog, Record

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
log, told = AuditLog(Path(sys.argv[1]), 10, required=True), []
log.put(Record(0, "Save", "p", "t", ["s-1"], "OK", "", "peer", "r" * 100), must=True, on_written=told.append)
while not told:
    time.sleep(0.01)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.put(Record(0, "Save", "p", "t", ["s-2"], "OK", "", "peer", "r"))
log.close()
assert told == [False]
"""
"""A disk that becomes full within a record, and has room again later."""


@contextmanager
def stopped_log(directory: Path, most: int, *, required: bool = False) -> Iterator[AuditLog]:
    """A log whose writing hangs, since nobody reads the pipe that it writes to."""
    path = directory / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    log = AuditLog(path, most, required=required)
    told = list[bool]()
    log.put(record(0)._replace(sessions=["x" * 100_000]), must=True, on_written=told.append)
    eventually(lambda: select.select([reader], [], [], 0)[0] != [])
    try:
        yield log
    finally:
        os.set_blocking(reader, True)
        with os.fdopen(reader, "rb") as pipe:
            closing = Thread(target=log.close)
            closing.start()
            while pipe.readline():
                pass
            closing.join()


class TestFile:
    """The file itself."""

    def test_a_line_a_record_for_the_owners_eyes_only(self, tmp_path: Path) -> None:
        path = tmp_path / "audit.jsonl"
        log = AuditLog(path, 100)
        for number in range(50):
            log.put(record(number))
        log.close()
        assert [line["sessions"] for line in lines(path)] == [[f"s-{number}"] for number in range(50)]
        assert lines(path)[0] == {
            "time": "2023-11-14T22:13:20.250Z",
            "method": "Save",
            "principal": "worker",
            "tenant": "acme",
            "sessions": ["s-0"],
            "code": "OK",
            "peer": "ipv4:127.0.0.1:1",
            "request_id": "r",
        }
        assert path.stat().st_mode & 0o777 == 0o600

    def test_it_goes_on_in_a_new_file_when_the_old_one_is_moved_away(self, tmp_path: Path) -> None:
        path = tmp_path / "audit.jsonl"
        log = AuditLog(path, 100)
        log.put(record(1))
        eventually(lambda: len(lines(path)) == 1)
        path.rename(tmp_path / "audit.1")
        log.put(record(2))
        eventually(lambda: len(lines(path)) == 1)
        log.close()
        assert [line["sessions"] for line in lines(path)] == [["s-2"]]
        assert [line["sessions"] for line in lines(tmp_path / "audit.1")] == [["s-1"]]

    def test_records_that_are_lost_are_counted(self, tmp_path: Path) -> None:
        path = tmp_path / "pipe"
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        log = AuditLog(path, 10)  # nobody reads: it can be written until the pipe is full
        for number in range(5000):
            log.put(record(number))
        os.set_blocking(reader, True)
        found, told = 0, 0
        with os.fdopen(reader) as pipe:
            while found + told < 5000:
                line = json.loads(pipe.readline())
                found, told = found + ("sessions" in line), told + line.get("lost", 0)
                log.put(record(0)) if told == 0 else None
                if told:
                    break
            assert told
            log.close()

    def test_strangers_fill_half_of_the_queue_at_most(self, tmp_path: Path) -> None:
        with stopped_log(tmp_path, 10) as log:
            for _ in range(100):
                log.put(record(0), share=0.5)
            lost = log.lost
            assert lost >= 95
            for _ in range(3):
                log.put(record(1))
            assert log.lost == lost

    def test_a_required_log_says_when_it_has_no_room(self, tmp_path: Path) -> None:
        with stopped_log(tmp_path, 10, required=True) as log:
            log.check_room()
            for _ in range(12):
                log.put(record(0), must=True)
            with pytest.raises(AuditUnavailable, match=r"10 records wait for the audit log \(audit.queue_records\)"):
                log.check_room()
            assert log.lost == 0

    def test_a_required_log_tries_again_what_it_could_not_write(self, tmp_path: Path) -> None:
        directory = tmp_path / "there"
        directory.mkdir()
        path, told = directory / "audit.jsonl", list[bool]()
        log = AuditLog(path, 100, required=True)
        directory.rename(tmp_path / "away")  # the file is looked for under its name before each write
        log.put(record(1), must=True, on_written=told.append)
        eventually(lambda: told == [False])
        with pytest.raises(AuditUnavailable, match="the audit log cannot be written"):
            log.check_room()
        directory.mkdir()
        eventually(lambda: len(lines(path)) == 1)
        log.put(record(2), must=True, on_written=told.append)
        eventually(lambda: told == [False, True])
        log.check_room()
        log.close()
        assert [line["sessions"] for line in lines(path)] == [["s-1"], ["s-2"]]
        assert log.lost == 0

    def test_what_is_written_after_half_a_line_is_whole(self, tmp_path: Path) -> None:
        path = tmp_path / "audit.jsonl"
        done = subprocess.run([sys.executable, "-c", FULL_FILE, path], capture_output=True, text=True, timeout=SECONDS)
        assert done.returncode == 0, done.stderr
        assert "audit_log_cannot_be_written" in done.stdout
        half, again, further = path.read_text().splitlines()
        assert len(half) == 100
        assert [json.loads(line)["sessions"] for line in (again, further)] == [["s-1"], ["s-2"]]

    def test_a_file_that_cannot_be_is_told_at_once(self, tmp_path: Path) -> None:
        with pytest.raises(OSError, match="No such file"):
            AuditLog(tmp_path / "none" / "audit.jsonl", 10)


@dataclass(frozen=True)
class World:
    """A server that keeps an audit log, and keys for it."""

    server: LockstitchServer
    file: Path
    all: str
    reader: str

    def found(self, **wanted: object) -> list[Any]:
        return [line for line in lines(self.file) if all(line.get(name) == value for name, value in wanted.items())]

    def wait(self, count: int, **wanted: object) -> list[Any]:
        eventually(lambda: len(self.found(**wanted)) >= count)
        assert len(self.found(**wanted)) == count
        return self.found(**wanted)


@pytest.fixture(scope="module", params=DOORS)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("audit")
    keys, file = directory / "keys.json", directory / "audit.jsonl"
    everything, reader = make_key(keys, "everything", ["acme"]), make_key(keys, "reader", ["acme"], ["read"])
    arguments = ["--set", f"auth.keys={keys}", "--set", f"audit.file={file}"]
    with LockstitchServer("memory://", arguments, door=request.param) as server:
        yield World(server, file, everything, reader)


def save_request(session: str, step: int = 1) -> pb.SaveRequest:
    request = pb.SaveRequest()
    request.checkpoint.session_id = session
    request.checkpoint.step = step
    request.checkpoint.state.messages.items.add(role="user", content=SECRET)
    return request


async def test_calls(world: World) -> None:
    async with grpc_api(world.server.target, (*bearer(world.all), ("x-request-id", "mine"))) as api:
        await api.save(save_request("calls"))
        await api.load_latest(pb.LoadLatestRequest(session_id="calls"))
        with pytest.raises(ApiError):
            await api.load(pb.LoadRequest(session_id="calls", checkpoint_id="none"))
    (saved,) = world.wait(1, method="Save", sessions=["calls"])
    assert (saved["principal"], saved["tenant"], saved["code"]) == ("everything", "acme", "OK")
    assert (saved["request_id"], saved["peer"].partition(":")[0]) == ("mine", "ipv4")
    world.wait(1, method="LoadLatest", sessions=["calls"], code="OK")
    world.wait(1, method="Load", sessions=["calls"], code="NOT_FOUND", reason="CHECKPOINT_NOT_FOUND")


async def test_a_fleet_that_loads(world: World) -> None:
    requests = [pb.LoadLatestRequest(session_id=f"fleet-{number:03}") for number in range(250)]
    async with grpc_api(world.server.target, bearer(world.all)) as api:
        [_ async for _ in api.load_latest_stream(pb.LoadLatestStreamRequest(requests=requests))]
    found = world.wait(3, method="LoadLatestStream")
    assert [name for line in found for name in line["sessions"]] == [request.session_id for request in requests]


async def test_saves_on_a_stream_each_by_itself(world: World) -> None:
    async def requests() -> AsyncIterator[bytes]:
        yield pb.SaveStreamRequest(request_id=1, save=save_request("stream-1")).SerializeToString()
        wrong = save_request("stream-2")
        wrong.expected_latest.step = 7
        yield pb.SaveStreamRequest(request_id=2, save=wrong).SerializeToString()
        batch = [pb.SaveStreamRequest(request_id=9, save=save_request(f"stream-{number}")) for number in (3, 4)]
        yield pb.SaveStreamRequest(batch=batch).SerializeToString()

    async with grpc_api(world.server.target, bearer(world.all)) as api:
        [_ async for _ in api.save_stream(requests())]
    for number, code in ((1, "OK"), (2, "ABORTED"), (3, "OK"), (4, "OK")):
        world.wait(1, method="SaveStream", sessions=[f"stream-{number}"], code=code, principal="everything")


async def test_who_is_turned_away(world: World) -> None:
    async with grpc_api(world.server.target, bearer(world.reader)) as api:
        with pytest.raises(ApiError):
            await api.save(save_request("away"))
    async with grpc_api(world.server.target, bearer(f"{world.all}x")) as api:
        with pytest.raises(ApiError):
            await api.load_latest(pb.LoadLatestRequest(session_id="away"))
    (right,) = world.wait(1, method="Save", sessions=["away"], reason="RIGHT_MISSING")
    # Nothing is parsed for strangers.
    (key,) = world.wait(1, method="LoadLatest", sessions=[], reason="CREDENTIALS_INVALID")
    assert (right["principal"], "tenant" in right) == ("reader", False)
    assert ("principal" in key, "tenant" in key) == (False, False)


async def test_a_stream_that_its_caller_leaves(world: World) -> None:
    """Some of them: one in eight that has its answers looks to gRPC's servers as if its requests had come to an end."""

    async def requests() -> AsyncIterator[bytes]:
        yield pb.SaveStreamRequest(request_id=1, save=save_request("left")).SerializeToString()
        await asyncio.sleep(SECONDS)

    async with grpc_api(world.server.target, bearer(world.all)) as api:
        for _ in range(20):
            answers = api.save_stream(requests())
            await anext(answers)
            await answers.aclose()  # type: ignore[attr-defined]  # it is a generator
    wanted = {"method": "SaveStream", "code": "CANCELLED", "sessions": []}
    await asyncio.to_thread(eventually, lambda: bool(world.found(**wanted)))


def test_nothing_secret_is_in_it(world: World) -> None:
    async def one() -> None:
        async with grpc_api(world.server.target, bearer(world.all)) as api:
            await api.save(save_request("secret"))
            with pytest.raises(ApiError):
                await api.send_bytes("Save", b"\x0a\xff\xff" + SECRET.encode())

    asyncio.run(one())
    world.wait(1, method="Save", sessions=["secret"])
    text = world.file.read_text()
    for secret in (SECRET, SECRET[:10], world.all, world.reader, "Bearer", "lsk_"):
        assert secret not in text


def test_a_long_id_is_cut(world: World) -> None:
    async def one() -> None:
        async with grpc_api(world.server.target, bearer(world.all)) as api:
            with pytest.raises(ApiError) as caught:
                await api.load_latest(pb.LoadLatestRequest(session_id="x" * 100_000))
            assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT

    asyncio.run(one())
    world.wait(1, method="LoadLatest", sessions=["x" * 1024], code="INVALID_ARGUMENT")


@pytest.mark.slow
def test_several_workers_write_whole_lines(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    arguments = ["--workers", "2", "--set", f"audit.file={file}"]

    async def client(server: LockstitchServer, name: int) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(server.target, options) as channel:
            call: Any = channel.unary_unary("/lockstitch.v1.CheckpointService/Save")
            for step in range(20):
                await call(save_request(f"client-{name}", step).SerializeToString(), timeout=SECONDS)

    async def all_clients(server: LockstitchServer) -> None:
        await asyncio.gather(*(client(server, name) for name in range(8)))

    with LockstitchServer(f"sqlite:///{tmp_path}/lockstitch.db", arguments) as server:
        asyncio.run(all_clients(server))
    assert len(lines(file)) == 160
