"""scripts/steady.py: a test that fails by chance is told from one that fails."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

BY_CHANCE = """
from pathlib import Path
import pytest

@pytest.mark.parametrize("number", range({count}))
def test_by_chance(number):
    seen = Path(__file__).with_name(f"seen-{{number}}")
    first = not seen.exists()
    seen.touch()
    assert not first
"""


pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that has only this script."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "steady.py", tmp_path / "scripts")
    (tmp_path / "pytest.ini").touch()
    return tmp_path


def run(project: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # half of the time of such a short run
    command = (sys.executable, *command)
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=300)


def after_failing(project: Path, tests: str) -> subprocess.CompletedProcess[str]:
    (project / "test_some.py").write_text(tests)
    assert run(project, "-m", "pytest").returncode == 1
    return run(project, "scripts/steady.py")


def test_a_test_that_failed_once_is_named(project: Path) -> None:
    done = after_failing(project, BY_CHANCE.format(count=1))
    assert done.returncode == 0, done
    assert done.stdout.splitlines()[-1] == "UNSTEADY, to be mended: test_some.py::test_by_chance[0]"


def test_a_test_that_fails_again_fails(project: Path) -> None:
    done = after_failing(project, "def test_it():\n    assert False\n")
    assert done.returncode == 1
    assert done.stderr.endswith("test_some.py::test_it fails.\n")


def test_many_failures_are_no_chance(project: Path) -> None:
    assert after_failing(project, BY_CHANCE.format(count=4)).returncode == 1


def test_a_file_that_cannot_be_collected_fails(project: Path) -> None:
    (project / "test_some.py").write_text("import nothing_of_this_name\n")
    assert run(project, "-m", "pytest").returncode == 2
    assert run(project, "scripts/steady.py").returncode == 1


def test_without_a_failure_there_is_nothing_to_tell(project: Path) -> None:
    assert run(project, "scripts/steady.py").returncode == 1
