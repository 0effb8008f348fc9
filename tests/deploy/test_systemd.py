"""deploy/systemd: a unit that systemd takes, and that leaves the service few rights."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.requirements import missing

UNIT = ROOT / "deploy" / "systemd" / "lockstitch.service"
MOST_EXPOSED = 2.5
"""systemd's score from 0 to 10: below 3 is "OK" by its own words."""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The unit, with the command of this installation."""
    if shutil.which("systemd-analyze") is None:
        missing("systemd-analyze is not installed")
    command = str(Path(sys.executable).with_name("lockstitch"))
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/lockstitch/bin/lockstitch", command))
    return unit


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_systemd_takes_it(installed: Path) -> None:
    done = analyze("verify", "--man=no", str(installed))
    complaints = [line for line in done.stderr.splitlines() if "lockstitch.service" in line]
    assert (done.returncode, complaints) == (0, [])


def test_it_leaves_few_rights(installed: Path) -> None:
    done = analyze("security", "--offline=true", f"--threshold={int(MOST_EXPOSED * 10)}", str(installed))
    assert re.search(r"Overall exposure level for lockstitch.service", done.stdout), done.stderr
    assert done.returncode == 0, done.stdout
