"""Clients in forked processes: they work, or say at once what to do."""

import os
import socket
import subprocess
import sys

import pytest

from tests.support.server import LockstitchServer

TOLD = "forked after its parent had used a Lockstitch client"
PROGRAM = """
import asyncio, os, signal, sys, threading, time
import lockstitch
from lockstitch import Checkpoint, _fork

target, parent, child = sys.argv[1:]
MADE = {"blocking": lockstitch.Client(target), "async": lockstitch.AsyncClient(target)}

async def save(client, session_id):
    await client.save(Checkpoint(session_id=session_id))
    await client.close()

def use(kind, session_id, client=None):
    if kind == "blocking":
        (client or MADE[kind]).save(Checkpoint(session_id=session_id))
    else:
        asyncio.run(save(client or MADE[kind], session_id))

if parent == "thread":
    threading.Thread(target=MADE["blocking"].load_latest, args=("thread",), daemon=True).start()
    while not _fork._process.calling_threads:
        time.sleep(0.001)
elif parent != "nothing":
    use(parent, "parent")
pid = os.fork()
if pid == 0:
    signal.alarm(30)
    try:
        use(child, "child", lockstitch.AsyncClient(target) if child == "async" else None)
        print("saved", flush=True)
    except RuntimeError as error:
        print(error, flush=True)
    os._exit(0)
_, status = os.waitpid(pid, 0)
if parent == "blocking":
    use("blocking", "parent again")
os._exit(status)
"""

WORKERS = 3
FORKING = """
import os, signal, sys, time
import lockstitch
from lockstitch import Checkpoint

target, workers, thread_id, is_used = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4] == "used"
client = lockstitch.Client(target)
thread = client.thread(thread_id)  # made before the fork, as by an application server that loads before it forks
if is_used:
    thread.save({"ticks": []})
for worker in range(workers):
    if os.fork() == 0:
        signal.alarm(60)
        mine = [client.thread(thread_id), thread][worker % 2]
        while True:
            mine.load()
            try:
                print(mine.append("ticks", {"order": 1}).outcome.name, flush=True)
                break
            except lockstitch.ExpectedLatestMismatch:
                pass
        for number in range(5):
            client.save(Checkpoint(session_id=thread_id + "-saved", step=1, metadata={str(worker): str(number)}))
        os._exit(0)
for worker in range(workers):
    assert os.wait()[1] == 0
client.save(Checkpoint(session_id=thread_id + "-saved", step=1, metadata={"parent": "0"}))
print(len(thread.load()["ticks"]))
"""


@pytest.mark.parametrize("parent", ["used", "not used"])
def test_saves_of_forked_processes_are_saves_of_their_own(server: LockstitchServer, parent: str) -> None:
    """Three workers append the same at once: three items. None of them is taken for a retry of another."""
    command = [sys.executable, "-c", FORKING, server.target, str(WORKERS), f"forked {parent}", parent]
    environment = os.environ | {"GRPC_ENABLE_FORK_SUPPORT": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done
    assert done.stdout.split() == ["CREATED"] * WORKERS + [str(WORKERS)]


def run(target: str, parent: str, child: str, support: str = "1") -> str:
    """What the child says, whose parent has used a client before it forked. support: of gRPC for forks."""
    command = [sys.executable, "-c", PROGRAM, target, parent, child]
    environment = os.environ | {"GRPC_ENABLE_FORK_SUPPORT": support}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done
    return done.stdout.strip()


@pytest.mark.parametrize("child", ["blocking", "async"])
@pytest.mark.parametrize("parent", ["nothing", "blocking"])
def test_they_work(server: LockstitchServer, parent: str, child: str) -> None:
    assert run(server.target, parent, child) == "saved"


@pytest.mark.parametrize("child", ["blocking", "async"])
def test_a_parent_that_has_used_asyncio_is_told(server: LockstitchServer, child: str) -> None:
    assert TOLD in run(server.target, "async", child)


def test_a_parent_with_a_call_under_way_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert TOLD in run(f"127.0.0.1:{silent.getsockname()[1]}", "thread", "blocking")


@pytest.mark.parametrize("child", ["blocking", "async"])
def test_grpc_without_support_for_forks_is_told(server: LockstitchServer, child: str) -> None:
    assert "GRPC_ENABLE_FORK_SUPPORT=0" in run(server.target, "blocking", child, support="0")


LOCKED = """
import os, signal, sys
import lockstitch
from lockstitch import Checkpoint, _fork

client = lockstitch.Client(sys.argv[1])
client.save(Checkpoint(session_id="locked", step=1))
for thing in list(_fork._shared):  # as another thread does that is not in the child
    getattr(thing, "_lock", None) and thing._lock.acquire()
    getattr(thing, "_renewing", None) and thing._renewing.acquire()
pid = os.fork()
if pid == 0:
    signal.alarm(30)
    print(client.save(Checkpoint(session_id="locked", step=2)).outcome.name, flush=True)
    os._exit(0)
os._exit(os.waitpid(pid, 0)[1])
"""


def test_a_lock_that_another_thread_holds_at_the_fork(server: LockstitchServer) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOCKED, server.target],
        env={**os.environ, "GRPC_ENABLE_FORK_SUPPORT": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("CREATED\n", 0), done.stderr
