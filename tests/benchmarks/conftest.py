"""The benchmarks need more than the other tests do. Nothing is downloaded for them."""

from importlib.util import find_spec
from typing import NoReturn

import pytest

from tests.support.requirements import missing

NEEDED = ("matplotlib",)


@pytest.fixture(autouse=True)
def _needs_the_bench_group() -> None:
    if absent := [name for name in NEEDED if find_spec(name) is None]:
        missing(f"{', '.join(absent)} not installed: make .venv/.bench")


@pytest.fixture(autouse=True)
def _fetches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import debian

    def refuse(package: str) -> NoReturn:
        raise debian.Missing("tests fetch no packages")

    monkeypatch.setattr(debian, "_fetch", refuse)


@pytest.fixture(autouse=True)
def _builds_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only Lockstitch's checkpointer, of what the tests of the Rust client have built."""
    from benchmarks.parts import weavegraph

    monkeypatch.setattr(weavegraph, "CARGO_OPTIONS", ("--no-default-features",))
    monkeypatch.setattr(weavegraph, "CHECKPOINTERS", {})
