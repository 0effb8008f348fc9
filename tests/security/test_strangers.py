"""Callers without credentials: what they can make the server do is bounded, and others are served meanwhile."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import lockstitch
from tests.security.attackers import (
    CANCEL,
    END_HEADERS,
    HEADERS,
    MIB,
    RST_STREAM,
    Growth,
    call_headers,
    connection,
    frame,
)
from tests.security.callers import make_key
from tests.support.server import LockstitchServer

LOAD = "/lockstitch.v1.CheckpointService/LoadLatest"
RESETS = 60_000
"""Of one connection; without a limit they take 700 MB."""
TOGETHER = 100


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def key(keys: Path) -> str:
    return make_key(keys, "runner", ["acme"])


@pytest.fixture
def server(key: str, keys: Path) -> Iterator[LockstitchServer]:
    """A server that asks who calls."""
    with LockstitchServer(arguments=["--set", f"auth.keys={keys}"]) as running:
        yield running


@pytest.mark.parametrize(("connections", "most"), [(1, 100 * MIB), pytest.param(20, 500 * MIB, marks=pytest.mark.slow)])
async def test_calls_that_are_opened_and_reset_at_once(
    server: LockstitchServer, key: str, connections: int, most: int
) -> None:
    """HTTP/2 rapid reset: the memory it takes is bounded, and a call after it is answered."""
    headers = call_headers(LOAD)
    with ExitStack() as stack:
        growth = stack.enter_context(Growth(server))
        attackers = [stack.enter_context(connection(server)) for _ in range(connections)]
        for first in range(1, 2 * RESETS, 2 * TOGETHER):
            streams = range(first, first + 2 * TOGETHER, 2)
            opened = b"".join(frame(HEADERS, END_HEADERS, each, headers) + _reset(each) for each in streams)
            for attacker in attackers:
                attacker.sendall(opened)
        async with lockstitch.AsyncClient(server.target, key=key) as client:
            assert (await client.load_latest("session")).checkpoint is None
    assert growth.most < most


async def test_calls_beyond_those_of_a_connection_are_answered_too() -> None:
    """They wait in the client, which repeats the few that the server refuses."""
    with LockstitchServer("memory://", ["--set", "limits.max_connection_calls=10"]) as server:
        async with lockstitch.AsyncClient(server.target) as client:
            loaded = await asyncio.gather(*(client.load_latest(f"session-{number}") for number in range(500)))
    assert all(each.checkpoint is None for each in loaded)


def _reset(stream: int) -> bytes:
    return frame(RST_STREAM, 0, stream, CANCEL)
