"""Servers behind one DNS name are replaced one by one, each under a new address, and no call of any client fails."""

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from tests.polyglot.executor import Executor
from tests.polyglot.languages import LANGUAGES, Executables
from tests.polyglot.private_hosts import PrivateHosts
from tests.polyglot.test_connections import save, started
from tests.robustness.faults import process_of
from tests.support.ports import free_port
from tests.support.server import LockstitchServer

pytestmark = pytest.mark.slow  # servers drain one after the other

NAME = "lockstitch.test"
CALL_MS = 30_000
REPLICAS = 3
OPTIONS = ("--migrate", "--set=drain_delay_seconds=2", "--set=max_connection_age_seconds=5")
STOP_SECONDS = 60.0


class Load(threading.Thread):
    """One client that saves and loads, as fast as it goes, until `stop`. It keeps the first error."""

    def __init__(self, executor: Executor) -> None:
        super().__init__(name=f"load of {executor.name}")
        self.executor = executor
        self.error: BaseException | None = None
        self.calls = 0
        self._stop_asked = threading.Event()

    def run(self) -> None:
        try:
            for step in count():
                if self._stop_asked.is_set():
                    return
                self._call(step)
                self.calls += 2
        except BaseException as error:
            self.error = error

    def stop(self) -> None:
        self._stop_asked.set()
        self.join()

    def _call(self, step: int) -> None:
        answer = save(self.executor, step, timeout_ms=CALL_MS)
        assert "ok" in answer, answer
        session = f"s-{self.executor.name}"
        answer = self.executor.ask("load_latest", {"session_id": session, "timeout_ms": CALL_MS})
        assert "ok" in answer, answer


class Fleet:
    """Servers on one database, at addresses that the name has once they are ready, and has no more when they end."""

    def __init__(self, database: str, hosts: PrivateHosts) -> None:
        self._database = database
        self._hosts = hosts
        self._addresses = (f"127.0.0.{last}" for last in count(2))
        self._running: dict[str, LockstitchServer] = {}
        self.port = free_port()

    def add(self) -> None:
        address = next(self._addresses)
        server = self._running[address] = LockstitchServer(self._database, OPTIONS)
        server.target = f"{address}:{self.port}"
        server.start()
        self._publish()

    def remove_oldest(self) -> None:
        """As Kubernetes does it: the address goes from the name, and the process gets SIGTERM."""
        server = self._running.pop(next(iter(self._running)))
        process = process_of(server)
        self._publish()
        server.signal(signal.SIGTERM)
        assert process.wait(STOP_SECONDS) == 0
        server.close()

    def close(self) -> None:
        for server in self._running.values():
            server.close()

    def _publish(self) -> None:
        self._hosts.set(NAME, *self._running)


@pytest.fixture
def hosts(tmp_path: Path) -> PrivateHosts:
    return PrivateHosts(tmp_path / "hosts")


@pytest.fixture
def fleet(postgres_url: str, hosts: PrivateHosts) -> Iterator[Fleet]:
    fleet = Fleet(postgres_url, hosts)
    try:
        for _ in range(REPLICAS):
            fleet.add()
        yield fleet
    finally:
        fleet.close()


def test_no_call_fails_while_all_servers_are_replaced(
    executables: Executables, fleet: Fleet, hosts: PrivateHosts, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        loads = []
        for language in LANGUAGES:
            executor = stack.enter_context(started(executables, language, tmp_path / language.name, hosts.command))
            answer = executor.ask("connect", {"target": f"dns:///{NAME}:{fleet.port}", "timeout_ms": CALL_MS})
            assert "ok" in answer, answer
            loads.append(Load(executor))
        for load in loads:
            load.start()
            stack.callback(load.stop)
        for _ in range(REPLICAS):
            fleet.add()
            fleet.remove_oldest()
        counted = [load.calls for load in loads]
        for load, before in zip(loads, counted, strict=True):
            load.stop()
            print(f"{load.executor.name}: {load.calls} calls")
            if load.error is not None:
                raise AssertionError(load.executor.name) from load.error
            assert load.calls >= before > 0
