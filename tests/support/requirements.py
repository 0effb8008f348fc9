"""What a test needs of the machine: without it the test is skipped, or fails where everything has to run (CI)."""

import os
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    if os.environ.get("LOCKSTITCH_REQUIRE_ALL", "") not in ("", "0"):
        pytest.fail(f"{what} (and LOCKSTITCH_REQUIRE_ALL is set)", pytrace=False)
    pytest.skip(what)
