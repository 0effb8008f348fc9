"""Runs the snippets of a page, in their order.

python -m tests.adapters.guide PAGE TARGET
"""

import re
import sys
from pathlib import Path

SNIPPET = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXPECTED = re.compile(r"^ *print\(.*\)  # (.*)$", re.MULTILINE)


def run(page: Path, target: str) -> None:
    """Run all Python snippets of a page, on the server at `target`."""
    text = page.read_text()
    names: dict[str, object] = {"__name__": "guide"}
    for snippet in SNIPPET.finditer(text):
        line = text[: snippet.start(1)].count("\n")  # so that a traceback names the page's line
        source = "\n" * line + snippet[1].replace("127.0.0.1:50051", target)
        exec(compile(source, str(page), "exec"), names)


def expected(page: Path) -> list[str]:
    """What the page says that its snippets print."""
    found: list[str] = EXPECTED.findall(page.read_text())
    return found


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2])
