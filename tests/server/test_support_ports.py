"""Ports for servers under test: no two callers share one, in this process or in another."""

import random
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support import ports
from tests.support.paths import ROOT

TAKE = "from tests.support import ports; ports.PORTS = range({0}, {1}); print(ports.free_port(), flush=True); input()"


@pytest.fixture
def two_ports(monkeypatch: pytest.MonkeyPatch) -> range:
    """The only ports that there are to choose from."""
    pairs = [range(first, first + 2) for first in range(32_000, 32_700, 2)]
    random.shuffle(pairs)
    free = next(pair for pair in pairs if not any(map(ports._is_listened_on, pair)))
    monkeypatch.setattr(ports, "PORTS", free)
    monkeypatch.setattr(ports, "_kept", deque())
    return ports.PORTS


@contextmanager
def port_of_another_process(choice: range) -> Iterator[int]:
    """The port that another test process has for itself. The process does not listen on it."""
    command = [sys.executable, "-c", TAKE.format(choice.start, choice.stop)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        yield int(other.stdout.readline())
        other.communicate("\n", timeout=30)


def test_another_process_gets_another_port(two_ports: range) -> None:
    with port_of_another_process(two_ports) as taken:
        assert {taken, ports.free_port()} == set(two_ports)


def test_a_port_is_free_again_after_many_others(two_ports: range, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "KEPT", 1)
    first, last = ports.free_port(), ports.free_port()
    with port_of_another_process(two_ports) as taken:
        assert (taken, last) == (first, next(port for port in two_ports if port != first))
