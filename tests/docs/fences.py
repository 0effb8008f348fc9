"""The fenced blocks of pages, and what stands before those that no test runs."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.support.paths import ROOT

FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
MARKER = re.compile(r"<!-- not run: (.+?) -->\n\s*\Z")


class Fence(NamedTuple):
    """A block. reason: why no test runs it; empty: one does."""

    page: str
    line: int
    language: str
    text: str
    reason: str

    @property
    def commands(self) -> list[str]:
        """What a reader types: without prompts, comments and output; continued lines are joined."""
        lines = self.text.replace("\\\n", " ").splitlines()
        if self.language == "console":
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        return [line for line in (re.sub(r"\s+# .*", "", line).strip() for line in lines) if line and line[0] != "#"]

    @property
    def output(self) -> list[str]:
        """What the commands print, as the page shows it."""
        return [line for line in self.text.splitlines() if line and not line.startswith("$ ")]


def pages() -> list[Path]:
    return sorted((ROOT / "docs").rglob("*.md"))


def fences() -> Iterator[Fence]:
    """All blocks of all pages of the site."""
    for page in pages():
        text = page.read_text()
        for found in FENCE.finditer(text):
            marker = MARKER.search(text, 0, found.start())
            line = text.count("\n", 0, found.start()) + 1
            name = page.relative_to(ROOT / "docs").as_posix()
            content = re.sub(rf"(?m)^{found[1]}", "", found[3])
            yield Fence(name, line, found[2], content, marker[1] if marker else "")
