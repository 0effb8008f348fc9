"""Every relative link of every page leads to a file, and every anchor to a heading of that file."""

import re
from collections import Counter
from pathlib import Path

import pytest

from scripts.check_prose import pages
from tests.support.paths import ROOT

LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?[^)]*\)|^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
HTML = re.compile(r"(?:src|srcset|href)=\"([^\"]+)\"")
PAGES = {str(page.relative_to(ROOT)): page for page in pages()}


def without_code(text: str) -> str:
    """The text of a page without its code blocks, in which a link is no link."""
    return re.sub(r"^\s*```.*?^\s*```$", "", text, flags=re.MULTILINE | re.DOTALL)


def links(text: str) -> list[str]:
    """The targets of the links and images of a page that stay in the repository."""
    text = without_code(text)
    found = [one or other for one, other in LINK.findall(text)] + HTML.findall(text)
    return [target for target in found if not re.match(r"[a-z]+:|//", target)]


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#{1,6}\s+(.*?)\s*#*$", without_code(page.read_text()), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def broken(page: Path, text: str) -> list[str]:
    """The links of a page with this text that lead nowhere."""
    wrong = []
    for target in links(text):
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        inside = path.is_relative_to(ROOT) and path.exists()
        if not inside or (anchor and path.suffix == ".md" and anchor not in anchors(path)):
            wrong.append(target)
    return wrong


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    assert broken(PAGES[name], PAGES[name].read_text()) == []


def test_pages_are_linked_from_somewhere() -> None:
    """A page of docs/ that no other page links to is never found."""
    linked = {
        (page.parent / target.partition("#")[0]).resolve()
        for page in PAGES.values()
        for target in links(page.read_text())
        if target.partition("#")[0]
    }
    linked |= {path / "README.md" for path in linked if path.is_dir()}
    assert [name for name, page in PAGES.items() if name.startswith("docs/") and page not in linked] == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("[a](docs/sessions.md)", []),
        ("[a](docs/sessions.md#leases)", []),
        ("[a](docs/sessions.md#no-such-heading)", ["docs/sessions.md#no-such-heading"]),
        ("[a](docs/nowhere.md)", ["docs/nowhere.md"]),
        ("[a](../outside.md)", ["../outside.md"]),
        ("[a](#start)", []),
        ("[a](#nowhere)", ["#nowhere"]),
        ("[a](https://example.org/nowhere)", []),
        ('<img src="docs/nowhere.svg">', ["docs/nowhere.svg"]),
        ("```sh\n[a](docs/nowhere.md)\n```", []),
    ],
)
def test_broken_links_are_found(text: str, wrong: list[str]) -> None:
    assert broken(ROOT / "README.md", text) == wrong
