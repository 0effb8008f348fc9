"""A server with the sessions of the weavegraph fixture, for commands that look at it."""

from collections.abc import Iterator

import pytest

from tests.cli.commands import FIXTURE, Command
from tests.support.server import LockstitchServer


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What whoever runs the tests has set must not matter."""
    for name in (
        "LISTEN",
        "STORE",
        "CONFIG",
        "TARGET",
        "MIGRATE",
        "LOG_LEVEL",
        "LOG_FORMAT",
        "CA",
        "KEY",
        "TENANT",
        "CERTIFICATE",
    ):
        monkeypatch.delenv(f"LOCKSTITCH_{name}", raising=False)


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    with LockstitchServer("memory://") as server:
        done = Command("import", "weavegraph", str(FIXTURE)).in_process(target=server.target)
        assert done.code == 0, done.err
        yield server.target
