"""The index of the clients has all pages, and the tours have the same sections."""

import re
from pathlib import Path

import pytest

from tests.support.paths import ROOT

CLIENTS = ROOT / "docs" / "clients"
PAGES = sorted(CLIENTS.glob("*.md"))


def test_the_index_has_every_page() -> None:
    index = (CLIENTS / "README.md").read_text()
    for page in PAGES:
        assert page.name == "README.md" or f"({page.name})" in index, page.name


TOURS = [page for page in PAGES if page.name not in ("README.md", "other-languages.md", "plain-state.md")]


def sections() -> list[str]:
    """Those of every tour, in their order, as the index names them."""
    found = re.findall(r"^\d+\. (.*)$", (CLIENTS / "README.md").read_text(), re.MULTILINE)
    return [title for line in found for title in re.findall(r"\*(.+?)\*", line)[:1]]


@pytest.mark.parametrize("page", TOURS, ids=lambda path: path.name)
def test_a_tour_has_the_sections_of_all_tours(page: Path) -> None:
    titles = re.findall(r"^## (.*)$", page.read_text(), re.MULTILINE)
    common = [title for title in titles if title in sections()]
    assert common == [title for title in sections() if title in common], "in another order"
    assert {"Save", "Resume", "Two runners, one session", "When something goes wrong"} <= set(common)
