"""Text that is made to deceive whoever looks at it: no command lets it act upon a terminal, or takes long over it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

import lockstitch
from lockstitch.v1 import checkpoint_pb2 as pb
from tests.cli.commands import Command
from tests.support.server import LockstitchServer

EVIL = "\x1b[2J\x1b]0;title\x07\u202egnp.exe\u2066\r\n\x00\x9b31m"
NAME = "evil-\u202e-\u2067"
"""What an id may hold: control characters are refused there."""
LONG = "x" * 1_000_000
MOST_BYTES = 100_000
"""Of what is printed without --full."""


def checkpoint(step: int) -> pb.Checkpoint:
    made = pb.Checkpoint(session_id=NAME, step=step)
    # EVIL holds a NUL, which names may not.
    name = EVIL.replace("\x00", "")
    made.frontier.append(lockstitch.node(NAME))
    made.ran_nodes.append(lockstitch.node(NAME))
    made.metadata["evil"] = json.dumps(EVIL)
    made.header.type, made.header.data = NAME, b"\x1b"
    state = made.state
    state.messages.items.add(role=name, content=EVIL + LONG + str(step))
    state.messages.items.add(role="user", content=f"{EVIL}\n" * 1000 + str(step))
    state.extra.entries["deep"] = "[" * 900 + str(step) + "]" * 900
    state.extra.entries["evil"] = json.dumps({EVIL: [EVIL + LONG] * 3, "step": step})
    error = state.errors.items.add(tags=[EVIL], context=json.dumps(EVIL))
    error.error.message = f"{EVIL} {step}"
    error.scope.node.kind, error.scope.node.step = EVIL, step
    bombs = {
        "nested": ("msgpack", b"\x91" * 100_000 + b"\xc0"),
        "claims": ("msgpack", b"\xdd\xff\xff\xff\xff"),
        "objects": ("msgpack", b"\xc7\x03\x00\x93\xa0\xa0"),
        "not_utf8": ("text", b"\xff\xfe"),
        "half_pair": ("json", b'"\\ud800"'),
        "large": ("json", json.dumps([EVIL] * 10_000).encode()),
        "chat": ("json", json.dumps([{"role": EVIL, "content": EVIL, "tool_calls": [{"name": EVIL}]}]).encode()),
    }
    for key, (kind, data) in bombs.items():
        state.custom[key].version = f"{step}"
        state.custom[key].blob.type, state.custom[key].blob.data = kind, data + b" " * step
    return made


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    with LockstitchServer("memory://") as server:
        with lockstitch.Client(server.target) as client:
            for step in (1, 2):
                writes = [
                    pb.PendingWrite(task_id="t", index=-1, channel=name) for name in ("__error__", "__interrupt__")
                ]
                for write in writes:
                    write.value.type, write.value.data = "json", json.dumps({"question": EVIL}).encode()
                writes[1].index = -3
                client.save(checkpoint(step), writes=writes)
            client.update_session(NAME, set_labels={NAME: NAME})
        yield server.target


COMMANDS: list[list[str]] = [
    ["sessions"],
    ["sessions", "--json"],
    ["checkpoints", NAME],
    ["checkpoints", NAME, "--json"],
    ["show", NAME],
    ["show", NAME, "--full"],
    ["show", NAME, "--json"],
    ["diff", NAME, "1", "2"],
    ["diff", NAME, "1", "2", "--full"],
    ["diff", NAME, "1", "2", "--json"],
    ["session", "show", NAME],
    ["session", "show", NAME, "--json"],
]


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command).encode("ascii", "replace").decode())
def test_nothing_acts_upon_a_terminal(target: str, command: list[str]) -> None:
    done = Command(*command).in_process(target)
    assert (done.code, done.err) == (0, "")
    if "--json" in command:
        documents: list[Any] = done.json_lines
        assert documents
        assert not any(char in done.out for char in "\x1b\x00\x07\r")
        return
    assert all(line.isprintable() for line in done.out.split("\n"))
    assert "\\u202e" in done.out
    if "--full" not in command:
        assert len(done.out) < MOST_BYTES


def test_what_is_watched(target: str) -> None:
    with lockstitch.Client(target) as client:
        token = next(iter(client.watch_session(NAME, heartbeats=True))).resume_token
        client.save(checkpoint(3))
    done = Command("session", "watch", NAME, "--resume", token, "--limit", "1").in_process(target)
    assert (done.code, done.err) == (0, "")
    assert all(line.isprintable() for line in done.out.split("\n"))
    assert f"saved step 3: {3:020}; ran evil-" in done.out
