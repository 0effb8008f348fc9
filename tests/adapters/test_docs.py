"""Every snippet of the guide runs, in its order, and prints what its comments say."""

import pytest

from tests.adapters import guide
from tests.support.paths import ROOT
from tests.support.server import LockstitchServer


@pytest.mark.parametrize(("page", "lines"), [("langgraph.md", 7), ("agent-framework.md", 2)])
def test_the_guide_runs(page: str, lines: int, capsys: pytest.CaptureFixture[str]) -> None:
    with LockstitchServer() as server:
        guide.run(ROOT / "docs" / page, server.target)
    printed = capsys.readouterr().out.splitlines()
    expected = guide.expected(ROOT / "docs" / page)
    assert len(expected) == lines
    for line in expected:
        assert line in printed
