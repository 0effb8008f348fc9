"""This server beside another installation's."""

import re
import subprocess
import sys

import pytest

from tests.support.paths import ROOT


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_beside_itself() -> None:
    command = [sys.executable, "-m", "benchmarks.versus", sys.executable, "--seconds=0.1", "--turns=1"]
    done = subprocess.run([*command, "--backend=SQLite"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
    _, _, *rows = done.stdout.splitlines()
    assert len(rows) == 12
    for row in rows:
        assert re.fullmatch(r"\| .*, SQLite +\| +\S.* \| +[\d.,]+ \| +[\d.,]+ \| +\d+\.\d\d \|", row), row
