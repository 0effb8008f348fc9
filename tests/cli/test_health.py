"""`lockstitch health`."""

from pathlib import Path

from tests.cli.commands import Command
from tests.support.server import LockstitchServer


def test_a_server_that_serves(target: str, tmp_path: Path) -> None:
    done = Command("health").process(tmp_path, LOCKSTITCH_TARGET=target)
    assert (done.code, done.out, done.err) == (0, "SERVING\n", "")
    assert Command("health", "--service", "lockstitch.v1.CheckpointService").in_process(target).code == 0


def test_a_service_that_does_not_exist(target: str) -> None:
    done = Command("health", "--service", "none").in_process(target)
    assert (done.code, done.out) == (1, "")
    assert "NOT_FOUND" in done.err


def test_no_server() -> None:
    done = Command("health", "--target", "127.0.0.1:1").in_process()
    assert (done.code, done.out) == (1, "")
    assert len(done.err.splitlines()) == 1
    assert "127.0.0.1:1: UNAVAILABLE" in done.err


def test_a_server_that_hangs() -> None:
    with LockstitchServer("memory://") as server:
        server.freeze()
        done = Command("health", "--timeout", "0.2").in_process(server.target)
    assert done.code == 1
    assert "DEADLINE_EXCEEDED" in done.err
