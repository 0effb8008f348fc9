"""Saves that share streams, and a tenant that makes too many calls."""

import base64
from collections.abc import Iterator

import pytest

from lockstitch import Checkpoint, Client
from tests.polyglot.conftest import StartExecutor
from tests.polyglot.languages import NAMES
from tests.support.server import LockstitchServer

pytestmark = pytest.mark.slow

LIMITS = ("tenants.calls_per_second=0.001", "tenants.burst_calls=1", "tenants.max_wait_seconds=0")
SAVERS = 16
TIMEOUT_MS = 15_000


@pytest.fixture(scope="module")
def limited() -> Iterator[LockstitchServer]:
    """A server whose tenant has made the only call that it has for the next thousand seconds."""
    with LockstitchServer(arguments=[word for limit in LIMITS for word in ("--set", limit)]) as server:
        with Client(server.target) as client:
            client.load_latest("s")
        yield server


@pytest.mark.parametrize("way", ["save_concurrently", "save_many"])
@pytest.mark.parametrize("name", NAMES)
def test_saves_fail_at_once_where_the_server_says_that_no_retry_is_in_time(
    executor_of: StartExecutor, limited: LockstitchServer, name: str, way: str
) -> None:
    """Saves that wait for as long as the server says would end with DEADLINE_EXCEEDED."""
    checkpoints = [Checkpoint(session_id=f"s-{number}", step=1).SerializeToString() for number in range(SAVERS)]
    saves = [{"checkpoint": base64.b64encode(checkpoint).decode()} for checkpoint in checkpoints]
    executor = executor_of(name)
    executor.ask("connect", {"target": limited.target, "timeout_ms": TIMEOUT_MS, "connect_timeout_ms": TIMEOUT_MS})
    results = executor.ask(way, {"saves": saves})["ok"]["results"]
    assert [result["error"]["reason"] for result in results] == ["RATE_LIMITED"] * SAVERS
