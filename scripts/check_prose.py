"""Check the language of pages and of the server: report phrases that readers stumble over, and what to write instead.

    python3 scripts/check_prose.py                        every Markdown page in Git, and the files in CHECKED
    python3 scripts/check_prose.py docs/*.md server/a.py  these files

Of a page, code blocks, inline code and link targets are not checked. Of a Python file, only strings and comments are
checked: docstrings, error texts, help. Ends with 1 if a file has such a phrase.
"""

import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

CHECKED = (
    "server/lockstitch_server/*.py",
    "client/python/lockstitch/*.py",
    ":!client/python/lockstitch/v1",  # generated
)
"""Files of Python whose strings and comments are checked, as patterns of Git: `*` stands for directories, too."""
INSTEAD = {
    r"anew": "again",
    r"so (?:many|much|few) (?!that)": "a number, or 'N'",
    r"as far as": "if, or up to a limit",
    r"(?:is|are|was|were|be|been) told": "name who learns it and how: 'the response has', 'the log names'",
    r"(?:tells|told) (?:what|how|which|who|whether|why|when|where|more|it)\b": "describes, lists, explains",
    r"wanted (?:is|are)": "subject first: 'the limit is'",
    r"who (?:he|she) is": "authentication",
    r"whoever": "name the caller",
    r"be it": "whether",
    r"but for": "except",
    r"give or take": "plus or minus",
    r"broken off": "interrupted",
    r"moving house": "moving a store",
}
"""Each phrase, as a regular expression, and what to write instead."""

PHRASES = re.compile("|".join(rf"(?P<p{number}>\b{phrase})" for number, phrase in enumerate(INSTEAD)), re.IGNORECASE)
FSTRING_MIDDLE = getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)
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


def code_prose(text: str) -> str:
    """The strings and comments of a Python file, each on its own line; all else is left out."""
    lines = [""] * (text.count("\n") + 2)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.STRING, tokenize.COMMENT, FSTRING_MIDDLE):
            said = re.sub(r"\{[^{}]*\}", " ", token.string)  # what an f-string computes is code
            for number, line in enumerate(said.splitlines(), token.start[0]):
                lines[number] += f" {line.strip().removeprefix('#')} "
    return "\n".join(lines[1:])


def findings(text: str) -> Iterator[tuple[int, str, str]]:
    """(line, phrase, what to write instead) of each phrase in a page, or in what `code_prose` makes of a file."""
    checked = prose(text)
    for found in PHRASES.finditer(re.sub(r"\n", " ", checked)):
        assert found.lastgroup is not None
        instead = list(INSTEAD.values())[int(found.lastgroup[1:])]
        yield checked.count("\n", 0, found.start()) + 1, found[0], instead


def text_of(path: Path) -> str:
    """What is checked of a file."""
    text = path.read_text()
    return code_prose(text) if path.suffix == ".py" else text


def pages() -> list[Path]:
    """Every Markdown page in Git."""
    return _in_git("*.md")


def sources() -> list[Path]:
    """The Python files in CHECKED."""
    return _in_git(*CHECKED)


def _in_git(*patterns: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.splitlines()]


def main() -> None:
    found = [
        f"{page}:{line}: '{phrase}': write {instead}"
        for page in ([Path(name) for name in sys.argv[1:]] or [*pages(), *sources()])
        for line, phrase, instead in findings(text_of(page))
    ]
    print("\n".join(found))
    if found:
        raise SystemExit(f"{len(found)} phrases that readers stumble over.")


if __name__ == "__main__":
    main()
