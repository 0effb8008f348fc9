"""Every scenario in every language."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.polyglot.conftest import ServedFor, StartExecutor
from tests.polyglot.extremes import extreme_writes
from tests.polyglot.languages import NAMES
from tests.polyglot.play import Play
from tests.polyglot.scenario import Scenario, load_scenarios
from tests.support.tcp_proxy import TcpProxy


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("scenario", load_scenarios(), ids=str)
@pytest.mark.parametrize("language", NAMES)
def test_scenario(
    language: str,
    scenario: Scenario,
    executor_of: StartExecutor,
    session_id: str,
    served_for: ServedFor,
    stack: ExitStack,
) -> None:
    executor = executor_of(language)
    served = served_for(scenario)
    server = served.server
    proxy = stack.enter_context(TcpProxy(server.target)) if scenario.measures else None
    names = {**served.names, "session": session_id, "extreme_writes": extreme_writes()}
    if proxy:
        names["target"] = proxy.target
    play = Play(executor, server, names, proxy)
    try:
        play.run(scenario)
    except BaseException:
        executor.kill()  # it may be in the middle of something
        raise
