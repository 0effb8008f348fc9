"""How the clients of all languages find a server: at once or not at all, again after a move, and past proxies."""

import base64
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lockstitch import Checkpoint, Client
from tests.polyglot.executor import Answer, Executor
from tests.polyglot.languages import LANGUAGES, Executables, Language
from tests.polyglot.private_hosts import PrivateHosts
from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.support.server import LockstitchServer

pytestmark = pytest.mark.slow

NAME = "moved.test"
FOREVER_MS = 3_600_000
SECONDS = 60.0
PROXY = "http://127.0.0.1:9"  # nothing is there
PROXIES = {
    **dict.fromkeys(("http_proxy", "https_proxy", "grpc_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), PROXY),
    "no_proxy": "",
    "JAVA_TOOL_OPTIONS": "-Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=9 -Dhttp.nonProxyHosts=none",
}


@pytest.fixture(params=LANGUAGES, ids=lambda language: language.name)
def language(request: pytest.FixtureRequest) -> Language:
    language: Language = request.param
    return language


@contextmanager
def started(
    executables: Executables, language: Language, log: Path, within: tuple[str, ...] = ()
) -> Iterator[Executor]:
    """An executor of its own. within: the command that starts it."""
    command = [*within, *executables.command(language)]
    executor = Executor(language.name, command, ROOT / language.directory, log)
    try:
        yield executor
    finally:
        executor.kill()


def save(executor: Executor, step: int, **more: object) -> Answer:
    checkpoint = Checkpoint(session_id=f"s-{executor.name}", step=step).SerializeToString()
    return executor.ask("save", {"checkpoint": base64.b64encode(checkpoint).decode(), **more})


@pytest.mark.parametrize("retry", [True, False])
def test_a_server_that_is_not_there_is_told_by_the_first_call(
    executables: Executables, language: Language, tmp_path: Path, retry: bool
) -> None:
    with started(executables, language, tmp_path / "log") as executor:
        target = f"127.0.0.1:{free_port()}"
        executor.ask("connect", {"target": target, "timeout_ms": FOREVER_MS, "retry": retry})
        for answer in (save(executor, 0), executor.ask("load_latest", {"session_id": "s"})):
            assert answer["error"]["code"] == "UNAVAILABLE"
            assert "refused" in answer["error"]["message"].lower()


def test_proxies_do_not_stand_before_loopback(
    executables: Executables, language: Language, tmp_path: Path, server: LockstitchServer
) -> None:
    within = ("env", *(f"{name}={value}" for name, value in PROXIES.items()))
    with started(executables, language, tmp_path / "log", within) as executor:
        executor.ask("connect", {"target": server.target})
        assert "ok" in save(executor, 0)


@pytest.fixture
def hosts(tmp_path: Path) -> PrivateHosts:
    return PrivateHosts(tmp_path / "hosts")


def serve(host: str, port: int, store: str) -> LockstitchServer:
    server = LockstitchServer(store)
    server.target = f"{host}:{port}"
    server.start()
    return server


def test_a_server_that_comes_back_under_another_address_is_found(
    executables: Executables, language: Language, tmp_path: Path, hosts: PrivateHosts
) -> None:
    """The call has 20 seconds, and gRPC's own resolvers, and the JVM, look names up every 30 seconds."""
    port, store = free_port(), f"sqlite:///{tmp_path}/lockstitch.db"
    hosts.set(NAME, "127.0.0.2")
    old = serve("127.0.0.2", port, store)
    with started(executables, language, tmp_path / "log", hosts.command) as executor:
        try:
            executor.ask("connect", {"target": f"{NAME}:{port}"})
            assert "ok" in save(executor, 0)
        finally:
            old.close()
        new = serve("127.0.0.3", port, store)
        try:
            hosts.set(NAME, "127.0.0.3")
            began = time.monotonic()
            answer = save(executor, 1, timeout_ms=20_000)
            print(f"{language.name}: found after {time.monotonic() - began:.1f} s")
            assert "ok" in answer, answer
        finally:
            new.close()


@pytest.fixture(scope="module")
def spread(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PrivateHosts, int, list[LockstitchServer]]]:
    """A name of two servers, each with a store of its own; and their port."""
    addresses, port = ("127.0.0.2", "127.0.0.3"), free_port()
    hosts = PrivateHosts(tmp_path_factory.mktemp("spread") / "hosts")
    hosts.set(NAME, *addresses)
    servers = [serve(address, port, "memory://") for address in addresses]
    yield hosts, port, servers
    for server in servers:
        server.close()


def test_calls_are_spread_over_all_addresses_of_a_name(
    executables: Executables,
    language: Language,
    tmp_path: Path,
    spread: tuple[PrivateHosts, int, list[LockstitchServer]],
) -> None:
    hosts, port, servers = spread
    with started(executables, language, tmp_path / "log", hosts.command) as executor:
        executor.ask("connect", {"target": f"dns:///{NAME}:{port}"})
        deadline, step = time.monotonic() + SECONDS, 0
        while not all(has_session(server, f"s-{language.name}") for server in servers):
            assert time.monotonic() < deadline, f"{step} saves went to one server"
            assert "ok" in save(executor, step := step + 1)


def has_session(server: LockstitchServer, session_id: str) -> bool:
    with Client(server.target) as client:
        return any(client.list_checkpoints(session_id))
