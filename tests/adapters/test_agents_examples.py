"""examples/claude_agent_sdk and examples/openai_agents: killed in a turn, continued in other processes."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # a server and three workers for each


@pytest.mark.parametrize("name", ["claude_agent_sdk", "openai_agents"])
def test_the_demo(name: str, tmp_path: Path) -> None:
    demo = ROOT / "examples" / name / "demo.py"
    result = subprocess.run([sys.executable, str(demo)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("ok: ") == 3
    assert "kill -9: the second process is gone" in result.stdout
    assert list(tmp_path.iterdir()) == [], "it cleans up"
