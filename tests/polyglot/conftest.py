"""Executors and servers for all tests here."""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.polyglot.executor import Executor
from tests.polyglot.languages import LANGUAGES, Executables
from tests.polyglot.scenario import Scenario
from tests.polyglot.serve import Served
from tests.support.paths import ROOT
from tests.support.server import LockstitchServer

BY_NAME = {language.name: language for language in LANGUAGES}

StartExecutor = Callable[[str], Executor]
ServedFor = Callable[[Scenario], Served]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the first test of a language time to build its executor."""
    for item in items:
        if Path(__file__).parent in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(1800))


@pytest.fixture(scope="session")
def executables(tmp_path_factory: pytest.TempPathFactory) -> Executables:
    """Those of all test processes of this run: pytest-xdist gives each a directory within that of the run."""
    directory = tmp_path_factory.getbasetemp()
    return Executables((directory.parent if "PYTEST_XDIST_WORKER" in os.environ else directory) / "executables")


@pytest.fixture(scope="session")
def executor_of(executables: Executables, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartExecutor]:
    """The executor of a language: one process for all tests, unless it ends."""
    running: dict[str, Executor] = {}
    logs = tmp_path_factory.mktemp("executors")

    def get(name: str) -> Executor:
        if name not in running or not running[name].running:
            language = BY_NAME[name]
            command = executables.command(language)
            running[name] = Executor(name, command, ROOT / language.directory, logs / name)
        return running[name]

    yield get
    for executor in running.values():
        if executor.running:
            executor.close()


@pytest.fixture(scope="session")
def server() -> Iterator[LockstitchServer]:
    """A server for all tests that leave it running."""
    with LockstitchServer() as server:
        yield server


@pytest.fixture(scope="session")
def served_for() -> Iterator[ServedFor]:
    """The server that a scenario needs: one for those that change nothing about it, and one for each other kind."""
    running: dict[str, Served] = {}
    with ExitStack() as stack:

        def get(scenario: Scenario) -> Served:
            key = f"{scenario.serve} {scenario.changes_server}"
            if key not in running:
                running[key] = Served(scenario.serve)
                stack.callback(running[key].close)
            running[key].server.recover()
            return running[key]

        yield get


@pytest.fixture
def session_id() -> str:
    """A session that nobody else uses."""
    return f"session-{uuid.uuid4()}"
