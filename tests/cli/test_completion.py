"""Completion of session ids, as a shell asks for it."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

import lockstitch
from lockstitch_server.cli.standing import Kind
from tests.support.server import LockstitchServer

HOSTILE = ("$(reboot)", "a b", "-rf", "x;y", "`z`", "it's", "agent-\u202e")


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    with LockstitchServer("memory://") as server:
        with lockstitch.Client(server.target) as client:
            for name in ("agent-1", "agent-2", "other:x", *HOSTILE):
                client.save(lockstitch.Checkpoint(session_id=name, step=1))
        yield server.target


def completed(line: str, **environment: str) -> list[str]:
    """What a bash whose cursor stands behind the line is offered."""
    words = line.split(" ")
    asked = {"_LOCKSTITCH_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        [sys.executable, "-m", "lockstitch_server"],
        env={**os.environ, **asked, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    return sorted(filter(None, done.stdout.split("\n")))


@pytest.mark.parametrize(
    "command",
    [
        "show",
        "checkpoints",
        "diff",
        "session show",
        "session label",
        "session delete",
        "session copy",
        "session prune",
        "session rewind",
        "session watch",
        "session lease",
    ],
)
def test_sessions_are_offered(target: str, command: str) -> None:
    offered = completed(f"lockstitch {command} agent-", LOCKSTITCH_TARGET=target)
    assert offered == ["agent-1", "agent-2"]


def test_options_before_it_count(target: str) -> None:
    offered = completed(f"lockstitch show --target {target} agent-")
    assert offered == ["agent-1", "agent-2"]


def test_nothing_is_offered_that_a_shell_would_act_upon(target: str) -> None:
    offered = completed("lockstitch show ", LOCKSTITCH_TARGET=target)
    assert offered == ["agent-1", "agent-2", "other:x"]


def test_silence_where_it_fails() -> None:
    assert completed("lockstitch show a", LOCKSTITCH_TARGET="127.0.0.1:1") == []
    assert completed("lockstitch show a", LOCKSTITCH_TARGET="no:target:at:all") == []
    assert completed("lockstitch show a", LOCKSTITCH_CA="/missing") == []


def test_a_server_that_does_not_answer_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert completed("lockstitch show a", LOCKSTITCH_TARGET=f"127.0.0.1:{silent.getsockname()[1]}") == []


def test_the_choices_of_status_are_those_of_the_library() -> None:
    from lockstitch.inspect import StatusKind

    assert [str(kind) for kind in Kind] == [str(kind) for kind in StatusKind]
