"""The files that pages for contributors name exist."""

import re
from pathlib import Path

import pytest

from tests.support.paths import ROOT

PAGES = ("CONTRIBUTING.md", "docs/architecture.md")
FOLDERS = (ROOT, ROOT / "server" / "lockstitch_server")
"""Where a path in a page may begin."""
NAMED = re.compile(r"`((?:[\w.-]+/)+[\w.-]*|[\w-]+\.(?:py|md|proto|sh))`")


def named(text: str) -> list[str]:
    """The files and folders that a page names, without links and commands."""
    return NAMED.findall(text)


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_names_exist(page: str) -> None:
    found = named((ROOT / page).read_text())
    assert found
    missing = [path for path in found if not any((folder / path).exists() for folder in FOLDERS)]
    assert missing == [], f"{page} names files that do not exist"


@pytest.mark.parametrize("page", ["CONTRIBUTING.md"])
def test_code_of_the_examples_names_what_exists(page: str) -> None:
    """The test files that the commands of a page run."""
    tests = re.findall(r"(?<=\s)tests/[\w/]+\.py", (ROOT / page).read_text())
    assert tests
    assert [path for path in tests if not Path(ROOT / path).exists()] == []
