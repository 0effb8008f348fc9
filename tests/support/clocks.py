"""Clocks that go wrong, by Debian's faketime."""

from collections.abc import Mapping
from pathlib import Path

from tests.support.requirements import missing


def clock_ahead(seconds: int) -> Mapping[str, str]:
    """The environment of a process whose clock is ahead, or behind by a negative number of seconds."""
    libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not libraries:
        missing("libfaketime is not installed (Debian: faketime)")
    return {"LD_PRELOAD": str(libraries[0]), "FAKETIME": f"{seconds:+d}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
