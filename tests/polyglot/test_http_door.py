"""Clients of all languages over the HTTP door: the scenarios in which it matters how a call travels."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.polyglot.conftest import StartExecutor
from tests.polyglot.extremes import extreme_writes
from tests.polyglot.languages import NAMES
from tests.polyglot.play import Play
from tests.polyglot.scenario import Scenario, load_scenarios
from tests.polyglot.serve import Served

pytestmark = pytest.mark.slow

FILES = ("deadline", "security", "stream")
SCENARIOS = [each for each in load_scenarios() if each.file in FILES and not (each.changes_server or each.measures)]

Serve = Callable[[Scenario], Served]


@pytest.fixture(scope="module")
def serve() -> Iterator[Serve]:
    """One server for each way to set it up."""
    running: dict[str, Served] = {}
    with ExitStack() as stack:

        def get(scenario: Scenario) -> Served:
            key = str(scenario.serve)
            if key not in running:
                running[key] = Served(scenario.serve, door="http")
                stack.callback(running[key].close)
                running[key].server.start()
            return running[key]

        yield get


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
@pytest.mark.parametrize("language", NAMES)
def test_scenario(language: str, scenario: Scenario, executor_of: StartExecutor, session_id: str, serve: Serve) -> None:
    if scenario.serve.get("unix") and (scenario.serve.get("tls") or scenario.serve.get("mtls")):
        pytest.fail("the HTTP door has no TLS on Unix sockets: such a scenario is for the other door")
    executor, served = executor_of(language), serve(scenario)
    names = {**served.names, "session": session_id, "extreme_writes": extreme_writes()}
    try:
        Play(executor, served.server, names, None).run(scenario)
    except BaseException:
        executor.kill()  # it may be in the middle of something
        raise
