"""session show, label, delete, copy, prune, rewind, watch, lease."""

import itertools
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

import lockstitch
from tests.cli.commands import Command, Done
from tests.support.server import LockstitchServer


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    with LockstitchServer("memory://") as server:
        yield server.target


@pytest.fixture
def session(target: str, request: pytest.FixtureRequest) -> str:
    """A session of three steps."""
    name = str(request.node.name)
    with lockstitch.Client(target) as client:
        for step in (1, 2, 3):
            client.save(lockstitch.Checkpoint(session_id=name, checkpoint_id=f"{step}", step=step))
    return name


def run(target: str, *arguments: str) -> Done:
    done = Command("session", *arguments).in_process(target)
    assert done.code == 0, done.err
    return done


def test_show_and_label(target: str, session: str) -> None:
    assert run(target, "label", session, "a=1", "b=x=y").out.splitlines()[1].split()[-2:] == ["a=1,", "b=x=y"]
    shown = run(target, "show", session, "--json").json
    assert (shown["session"]["status"]["kind"], shown["session"]["progress"]["next"]) == ("finished", [])
    assert shown["session"]["labels"] == {"a": "1", "b": "x=y"}
    assert (shown["ttl_seconds"], shown["retention"], shown["lease"]) == (None, None, None)
    assert run(target, "label", session, "--remove", "a", "--json").json["session"]["labels"] == {"b": "x=y"}
    Command("session", "label", session, "a").in_process(target).refused("NAME=VALUE")


def test_copy_rewind_prune_delete(target: str, session: str) -> None:
    copied = f"{session} copy"
    assert run(target, "copy", session, copied, "--at", "2", "--label", "fork=1").out == "2 checkpoints copied\n"
    assert run(target, "rewind", copied, "1", "--yes").out == "1 checkpoint deleted\n"
    told = run(target, "prune", session, "--keep-last", "1", "--dry-run").out
    assert told.startswith("would delete 2 checkpoints of 1 session, ")
    assert run(target, "prune", session, "--keep-last", "1", "-y").out == told.replace("would delete", "deleted")
    assert run(target, "delete", session, copied, "--yes").out == "2 sessions deleted\n"
    done = Command("session", "show", session).in_process(target)
    assert (done.code, done.out) == (1, "")
    assert "SESSION_NOT_FOUND" in done.err


def test_lease(target: str, session: str) -> None:
    assert run(target, "lease", session).out == "nobody holds the lease\n"
    token = run(target, "lease", session, "--acquire", "me", "--ttl", "600").out.strip()
    assert run(target, "lease", session).out.startswith("held by me until ")
    assert "held by me" in run(target, "show", session).out
    assert "LEASE_LOST" in Command("session", "rewind", session, "1", "--yes").in_process(target).err
    run(target, "rewind", session, "1", "--yes", "--lease-token", token)
    run(target, "lease", session, "--renew", token)
    assert run(target, "lease", session, "--release", token).out == "released\n"
    assert run(target, "lease", session, "--release", token).out == "not held\n"
    Command("session", "lease", session, "--renew", "1", "--release", "1").in_process(target).refused("exclude")


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_watch(target: str, session: str, options: tuple[str, ...]) -> None:
    with lockstitch.Client(target) as client:
        token = next(iter(client.watch_session(session, heartbeats=True))).resume_token
        client.acquire_lease(session, "me")
        client.delete_sessions([session], tombstone=0)
        client.save(lockstitch.Checkpoint(session_id=session, checkpoint_id="new", step=9))
    done = run(target, "watch", session, "--resume", token, "--limit", "2", *options)
    if options:
        status, deleted, saved = done.json_lines
        assert (status["status"]["kind"], "session_deleted" in deleted) == ("finished", True)
        assert saved["saved"]["checkpoint_id"] == "new"
        assert (saved["progress"]["next"], saved["progress"]["is_finished"]) == ([], True)
    else:
        status, deleted, saved = done.out.splitlines()
        assert (status, deleted) == ("status finished", "session deleted")
        assert saved.endswith("saved step 9: new")


def test_steps_name_checkpoints_as_they_do_elsewhere(target: str) -> None:
    """By step where an id is another, by an id that looks like a step, and the latest."""
    with lockstitch.Client(target) as client:
        for step, name in ((1, "a"), (2, "3"), (3, "z")):
            client.save(lockstitch.Checkpoint(session_id="named", checkpoint_id=name, step=step))
    # In order of their ids: "3" (step 2), "a" (step 1), "z" (step 3).
    assert run(target, "copy", "named", "named 1", "--at", "1").out == "2 checkpoints copied\n"
    assert run(target, "copy", "named", "named 2", "--at", "id:3").out == "1 checkpoint copied\n"
    assert run(target, "copy", "named", "named 3", "--at", "latest").out == "3 checkpoints copied\n"
    assert run(target, "rewind", "named", "latest", "--yes").out == "0 checkpoints deleted\n"
    assert run(target, "rewind", "named", "2", "--yes").out == "2 checkpoints deleted\n"


NEED_A_SESSION = [
    ["checkpoints", "nope"],
    ["checkpoints", "nope", "--json"],
    ["diff", "nope", "1", "2"],
    ["diff", "nope", "latest", "id:2"],
    ["session", "copy", "nope", "x"],
    ["session", "copy", "nope", "x", "--at", "3"],
    ["session", "copy", "nope", "x", "--at", "id:3"],
    ["session", "label", "nope", "a=b"],
    ["session", "lease", "nope"],
    ["session", "lease", "nope", "--release", "3"],
    ["session", "lease", "nope", "--renew", "3"],
    ["session", "prune", "nope", "--yes"],
    ["session", "prune", "SESSION", "nope", "--yes"],
    ["session", "rewind", "nope", "1", "--yes"],
    ["session", "rewind", "nope", "id:1", "--yes"],
    ["session", "rewind", "nope", "latest", "--yes"],
    ["session", "show", "nope"],
    ["show", "nope"],
    ["show", "nope", "--checkpoint-id", "3"],
    ["show", "nope", "--step", "3"],
]


@pytest.mark.parametrize("command", NEED_A_SESSION, ids=" ".join)
def test_a_session_that_is_not_there(target: str, session: str, command: list[str]) -> None:
    """Every command names it in the same way."""
    done = Command(*(session if word == "SESSION" else word for word in command)).in_process(target)
    line = f"lockstitch: {target}: SESSION_NOT_FOUND: there is no session 'nope'\n"
    assert (done.code, done.out, done.err) == (1, "", line)


def test_a_checkpoint_that_is_not_there(target: str, session: str) -> None:
    for command, what in (
        (["show", session, "--step", "9"], "step 9"),
        (["show", session, "--checkpoint-id", "9"], "checkpoint '9'"),
        (["show", session, "--step", "9", "--namespace", "inner"], "step 9 in namespace 'inner'"),
        (["diff", session, "1", "id:9"], "checkpoint '9'"),
        (["session", "rewind", session, "9", "--yes"], "step 9"),
        (["session", "rewind", session, "id:9", "--yes"], "checkpoint '9'"),
        (["session", "copy", session, "x", "--at", "id:9"], "checkpoint '9'"),
    ):
        done = Command(*command).in_process(target)
        assert (done.code, done.out) == (1, ""), command
        expected = f"session {session!r} has no {what}; `lockstitch checkpoints` lists those that it has"
        assert done.err == f"lockstitch: {expected}\n"
    done = Command("show", session, "--namespace", "inner").in_process(target)
    assert (done.code, done.err) == (1, f"lockstitch: session {session!r} has no checkpoints in namespace 'inner'\n")


def test_deleting_sessions_that_are_not_there(target: str, session: str) -> None:
    assert run(target, "prune", session, "--dry-run").out.startswith("would delete 0 checkpoints of 0 sessions")
    done = Command("session", "delete", "nada", session, "nope", session, "--yes").in_process(target)
    assert (done.code, done.out) == (1, "1 session deleted\n")
    assert done.err == "lockstitch: there is no session 'nada'\nlockstitch: there is no session 'nope'\n"


def test_watching_a_session_that_is_not_there_yet(target: str) -> None:
    watch = subprocess.Popen(
        [sys.executable, "-m", "lockstitch_server", "session", "watch", "later", "-n", "1", "--target", target],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with watch, lockstitch.Client(target) as client:
        assert watch.stderr is not None
        assert watch.stdout is not None
        assert watch.stderr.readline() == "There is no session later yet; waiting for its first save.\n"
        # The watch begins a moment later, and reports what is saved from then on.
        saver = threading.Event()

        def save() -> None:
            for step in itertools.count(1):
                client.save(lockstitch.Checkpoint(session_id="later", step=step))
                if saver.wait(0.1):
                    return

        with ThreadPoolExecutor(1) as pool:
            saving = pool.submit(save)
            try:
                assert "saved step" in watch.stdout.read()
            finally:
                saver.set()
            saving.result()
    assert watch.returncode == 0


DESTRUCTIVE = {
    "delete": ["delete", "SESSION"],
    "prune": ["prune", "SESSION", "--keep-last", "1"],
    "rewind": ["rewind", "SESSION", "1"],
}


@pytest.mark.parametrize("command", DESTRUCTIVE)
def test_nothing_is_deleted_unasked(target: str, session: str, command: str) -> None:
    """Without a terminal `--yes` is needed; on one, only `y` goes on."""
    arguments = [session if word == "SESSION" else word for word in DESTRUCTIVE[command]]
    Command("session", *arguments).in_process(target).refused("--yes")
    for answer, code, left in (("n", 1, 3), ("", 1, 3), ("y", 0, 1 if command != "delete" else 0)):
        ended, text = on_terminal(["session", *arguments, "--target", target], answer)
        assert ended == code, text
        assert "[y/N]" in text
        with lockstitch.Client(target) as client:
            assert len(list(client.list_checkpoints(session))) == left


def on_terminal(arguments: list[str], answer: str) -> tuple[int, str]:
    """Run a command on a terminal of its own, and answer its question. Gives the exit code and what it wrote."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "lockstitch_server", *arguments], stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    text = b""
    while b"[y/N]" not in text:
        text += os.read(ours, 4096)
    os.write(ours, f"{answer}\n".encode())
    with suppress(OSError):  # how a terminal ends
        while part := os.read(ours, 4096):
            text += part
    os.close(ours)
    return process.wait(60), text.decode()
