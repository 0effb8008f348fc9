"""session show, label, delete, copy, prune, rewind, watch, lease."""

from collections.abc import Iterator

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
    assert shown["session"]["labels"] == {"a": "1", "b": "x=y"}
    assert (shown["ttl_seconds"], shown["retention"], shown["lease"]) == (None, None, None)
    assert run(target, "label", session, "--remove", "a", "--json").json["session"]["labels"] == {"b": "x=y"}
    Command("session", "label", session, "a").in_process(target).refused("NAME=VALUE")


def test_copy_rewind_prune_delete(target: str, session: str) -> None:
    copied = f"{session} copy"
    assert run(target, "copy", session, copied, "--at", "2", "--label", "fork=1").out == "2 checkpoints copied\n"
    assert run(target, "rewind", copied, "1").out == "1 checkpoint deleted\n"
    told = run(target, "prune", session, "--keep-last", "1", "--dry-run").out
    assert told.startswith("2 checkpoints would go, ")
    assert run(target, "prune", session, "--keep-last", "1").out.startswith("2 checkpoints deleted, ")
    assert run(target, "delete", session, copied, "nobody").out == "2 sessions deleted\n"
    done = Command("session", "show", session).in_process(target)
    assert (done.code, done.out) == (1, "")
    assert "SESSION_NOT_FOUND" in done.err


def test_lease(target: str, session: str) -> None:
    assert run(target, "lease", session).out == "nobody holds the lease\n"
    token = run(target, "lease", session, "--acquire", "me", "--ttl", "600").out.strip()
    assert run(target, "lease", session).out.startswith("held by me until ")
    assert "held by me" in run(target, "show", session).out
    assert "LEASE_LOST" in Command("session", "rewind", session, "1").in_process(target).err
    run(target, "rewind", session, "1", "--lease-token", token)
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
        assert done.json_lines[1]["saved"]["checkpoint_id"] == "new"
    else:
        assert done.out.splitlines()[0] == "session deleted"
        assert done.out.splitlines()[1].endswith("saved step 9: new")
