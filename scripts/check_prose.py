"""Check the language of Markdown pages: report phrases that readers stumble over, and what to write instead.

    python3 scripts/check_prose.py              every page in Git
    python3 scripts/check_prose.py docs/*.md    these pages

Code blocks, inline code and link targets are not checked. Ends with 1 if a page has such a phrase.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

INSTEAD = {
    r"anew": "again",
    r"so (?:many|much|few) (?!that)": "a number, or 'N'",
    r"as far as": "if, or up to a limit",
    r"(?:is|are|was|were|be|been) told": "name who learns it and how: 'the response has', 'the log names'",
    r"(?:tells|told) (?:what|how|which|who|whether|why|when|where|more|it)\b": "describes, lists, explains",
    r"wanted (?:is|are)": "subject first: 'the limit is'",
    r"who (?:he|she) is": "authentication",
    r"whoever": "name the caller",
    r"give or take": "plus or minus",
    r"broken off": "interrupted",
    r"moving house": "moving a store",
}
"""Each phrase, as a regular expression, and what to write instead."""

PHRASES = re.compile("|".join(rf"(?P<p{number}>\b{phrase})" for number, phrase in enumerate(INSTEAD)), re.IGNORECASE)
CODE = re.compile(r"`+[^`]*`+|\]\([^)]*\)|<!--.*?-->|https?://\S+")


def prose(text: str) -> str:
    """The text of a page with its code blanked out; lines and columns stay."""
    lines = []
    in_block = False
    for line in text.splitlines():
        is_fence = line.lstrip().startswith("```")
        lines.append("" if in_block or is_fence else line)
        in_block ^= is_fence
    return CODE.sub(lambda code: re.sub(r"\S", " ", code[0]), "\n".join(lines))


def findings(text: str) -> Iterator[tuple[int, str, str]]:
    """(line, phrase, what to write instead) of each phrase in a page."""
    checked = prose(text)
    for found in PHRASES.finditer(re.sub(r"\n", " ", checked)):
        assert found.lastgroup is not None
        instead = list(INSTEAD.values())[int(found.lastgroup[1:])]
        yield checked.count("\n", 0, found.start()) + 1, found[0], instead


def pages() -> list[Path]:
    """Every Markdown page in Git."""
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.splitlines()]


def main() -> None:
    found = [
        f"{page}:{line}: '{phrase}': write {instead}"
        for page in ([Path(name) for name in sys.argv[1:]] or pages())
        for line, phrase, instead in findings(page.read_text())
    ]
    print("\n".join(found))
    if found:
        raise SystemExit(f"{len(found)} phrases that readers stumble over.")


if __name__ == "__main__":
    main()
