"""examples/langgraph: a killed graph is resumed elsewhere, approved, sent back in time and forked."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

DEMO = ROOT / "examples" / "langgraph" / "demo.py"


@pytest.mark.slow
def test_the_demo(tmp_path: Path) -> None:
    result = subprocess.run([sys.executable, str(DEMO)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("ok: ") == 5
    assert "kill -9: the first process is gone" in result.stdout
    assert list(tmp_path.iterdir()) == [], "it cleans up"
