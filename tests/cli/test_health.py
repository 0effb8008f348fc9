"""`lockstitch health`."""

import socket
from pathlib import Path

import pytest

from lockstitch_server import __version__
from tests.cli.commands import FIXTURE, Command
from tests.security.callers import make_key
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
    assert "no server can be reached at 127.0.0.1:1 (Connection refused)" in done.err


def test_all_servers_of_a_target(target: str) -> None:
    """The name of a service with several addresses, or a list of addresses: a line for each."""
    port = target.rpartition(":")[2]
    done = Command("health", "--all", "--target", f"ipv4:127.0.0.1:{port},127.0.0.1:1").in_process()
    assert (done.code, done.err) == (1, "")
    assert done.out.splitlines() == [
        f"127.0.0.1:{port}  SERVING",
        f"127.0.0.1:1{' ' * len(port)} no connection (Connection refused)",
    ]
    one = Command("health", "--all", "--target", f"127.0.0.1:{port}").in_process()
    assert (one.code, one.out) == (0, f"127.0.0.1:{port}  SERVING\n")


def test_all_servers_of_a_name(target: str) -> None:
    """localhost may stand for an address of IPv6 too, where no server listens."""
    port = target.rpartition(":")[2]
    done = Command("health", "--all", "--target", f"dns:///localhost:{port}").in_process()
    assert f"127.0.0.1:{port}" in [line.split()[0] for line in done.out.splitlines()]


def test_all_servers_of_a_name_that_does_not_exist() -> None:
    done = Command("health", "--all", "--target", "server.invalid:50051").in_process()
    assert (done.code, done.out, len(done.err.splitlines())) == (1, "", 1)
    assert done.err.startswith("lockstitch: server.invalid: ")


@pytest.mark.slow
def test_a_server_that_hangs() -> None:
    with LockstitchServer("memory://") as server:
        server.freeze()
        done = Command("health", "--timeout", "0.2").in_process(server.target)
    assert done.code == 1
    assert "no server can be reached" in done.err
    assert "nothing answers there" in done.err


@pytest.mark.parametrize("command", [["health"], ["sessions"], ["session", "show", "s"]], ids=" ".join)
@pytest.mark.parametrize("target", ["grpc://127.0.0.1:50051", "127.0.0.1"])
def test_an_address_that_is_none(command: list[str], target: str) -> None:
    Command(*command, "--target", target).in_process().refused(target, '"127.0.0.1:50051"')


@pytest.mark.parametrize("command", [["health"], ["sessions"], ["import", "weavegraph", str(FIXTURE)]], ids=" ".join)
def test_an_address_where_nothing_answers(command: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = f"127.0.0.1:{silent.getsockname()[1]}"
        done = Command(*command, "--timeout", "3600", "--target", target).in_process()
    assert (done.code, done.err) == (1, f"lockstitch: no server can be reached at {target} (nothing answers there)\n")


def test_the_versions_of_server_and_command(target: str) -> None:
    versions = f"(server {__version__}, this command {__version__})"
    assert Command("health", "--verbose").in_process(target).out == f"SERVING  {versions}\n"
    done = Command("health", "--all", "-v", "--target", f"ipv4:{target},127.0.0.1:1").in_process()
    assert f"{target}  SERVING  {versions}" in done.out.splitlines()
    assert done.code == 1


def test_the_version_of_a_server_that_needs_a_key(tmp_path: Path) -> None:
    token = make_key(tmp_path / "keys.json", "writer", ["acme"], ["write"])
    with LockstitchServer("memory://", ["--set", f"auth.keys={tmp_path}/keys.json"]) as server:
        without = Command("health", "--verbose").in_process(server.target)
        with_key = Command("health", "--verbose", "--key", token).in_process(server.target)
    assert (without.code, without.out.split()[0]) == (0, "SERVING")
    assert "server version unknown: it needs a key" in without.out
    assert f"(server {__version__}, " in with_key.out, "a key without the right to read is known, too"
