"""A test that passed needs no second run on the same commit: CI runs `make test` as a newcomer does, then the others.

Each run of pytest notes in its cache which tests passed. `--except-passed=FILE` leaves out the tests of such a note, if
the same minor version of Python wrote it. Skipped tests are never noted: a newcomer has fewer tools than CI has.

The sign "=" is needed: pytest reads its command before tests/conftest.py adds the option, and would take a FILE that
stands by itself for the folder to search for conftest.py.
"""

import json
import sys
from pathlib import Path

import pytest

NOTE = "lockstitch/passed"
"""Its place in the cache: .pytest_cache/v/lockstitch/passed."""

PYTHON = "{}.{}".format(*sys.version_info)


class Passed:
    """Notes which tests pass."""

    def __init__(self, cache: pytest.Cache) -> None:
        self._cache = cache
        self._tests: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self._tests.add(report.nodeid)
        elif report.failed:  # its fixtures may fail after it
            self._tests.discard(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        self._cache.set(NOTE, {"python": PYTHON, "tests": sorted(self._tests)})


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--except-passed", metavar="FILE", help="leave out the tests that a run of pytest noted as passed")


def pytest_configure(config: pytest.Config) -> None:
    is_worker = hasattr(config, "workerinput")
    if not is_worker and config.pluginmanager.has_plugin("cacheprovider"):
        assert config.cache is not None
        config.pluginmanager.register(Passed(config.cache))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    file = config.getoption("except_passed")
    if file is None:
        return
    note = json.loads(Path(file).read_text())
    passed = set(note["tests"]) if note["python"] == PYTHON else set()
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in passed])
    items[:] = [item for item in items if item.nodeid not in passed]
