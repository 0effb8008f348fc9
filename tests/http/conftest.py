"""Servers with the HTTP door."""

from collections.abc import Iterator

import pytest

from tests.support.server import LockstitchServer

PAGES = "https://app.example.org"
"""An origin whose pages may call."""


@pytest.fixture(scope="session")
def server() -> Iterator[LockstitchServer]:
    """A server with small limits that asks nobody who calls."""
    arguments = [
        "--set=http.max_json_bytes=64KiB",
        "--set=http.max_json_response_bytes=256KiB",
        "--set=limits.max_message_bytes=1MiB",
        "--set=http.max_json_values=2000",
        f"--set=http.cors_origins={PAGES}",
        "--set=http.metrics=true",
    ]
    with LockstitchServer("memory://", arguments, door="http") as running:
        yield running
