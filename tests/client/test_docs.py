"""Every snippet of the guide runs, in its order, and prints what its comments say."""

import re
from collections.abc import Iterator

import pytest

from tests.support.paths import ROOT
from tests.support.server import LockstitchServer

GUIDE = ROOT / "docs" / "clients" / "python.md"
SNIPPET = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXPECTED = re.compile(r"^ *print\(.*\)  # (.*)$", re.MULTILINE)


@pytest.fixture
def target() -> Iterator[str]:
    """A server of its own: the guide names its sessions."""
    with LockstitchServer() as server:
        yield server.target


def test_the_guide_runs(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = GUIDE.read_text()
    snippets = list(SNIPPET.finditer(text))
    assert len(snippets) > 5
    names: dict[str, object] = {"__name__": "guide"}
    for snippet in snippets:
        line = text[: snippet.start(1)].count("\n")  # so that a traceback names the guide's line
        source = "\n" * line + snippet[1].replace("127.0.0.1:50051", target)
        exec(compile(source, str(GUIDE), "exec"), names)
    printed = capsys.readouterr().out
    print(printed)
    for expected in EXPECTED.findall(text):
        assert expected in printed.splitlines()
