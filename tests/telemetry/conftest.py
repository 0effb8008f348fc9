"""Servers that tell, and who hears them."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.support.server import LockstitchServer
from tests.telemetry.receiver import Receiver, receiving

Start = Callable[..., LockstitchServer]


@pytest.fixture(autouse=True)
def no_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What whoever runs the tests has set must not matter. Everything is sent soon."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "500")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts servers: `start(*arguments, store=..., OTEL_...=...)`."""
    with ExitStack() as servers:

        def started(*arguments: str, store: str = "", **environment: str) -> LockstitchServer:
            with pytest.MonkeyPatch.context() as patched:
                for name, value in environment.items():
                    patched.setenv(name, value)
                return servers.enter_context(LockstitchServer(store, arguments))

        yield started
