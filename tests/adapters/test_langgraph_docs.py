"""Every snippet of the guide runs, in its order, and prints what its comments say."""

import re

import pytest

from tests.support.paths import ROOT
from tests.support.server import LockstitchServer

GUIDE = ROOT / "docs" / "langgraph.md"
SNIPPET = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXPECTED = re.compile(r"^ *print\(.*\)  # (.*)$", re.MULTILINE)


def test_the_guide_runs(capsys: pytest.CaptureFixture[str]) -> None:
    text = GUIDE.read_text()
    names: dict[str, object] = {"__name__": "guide"}
    with LockstitchServer() as server:
        for snippet in SNIPPET.finditer(text):
            line = text[: snippet.start(1)].count("\n")  # so that a traceback names the guide's line
            source = "\n" * line + snippet[1].replace("127.0.0.1:50051", server.target)
            exec(compile(source, str(GUIDE), "exec"), names)
    printed = capsys.readouterr().out.splitlines()
    expected = EXPECTED.findall(text)
    assert len(expected) == 5
    for line_ in expected:
        assert line_ in printed
