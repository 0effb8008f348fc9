"""A second run of pytest leaves out what passed in the first one, and nothing else."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.passed import NOTE
from tests.support.paths import ROOT

CONFTEST = "from tests.support.passed import pytest_addoption, pytest_collection_modifyitems, pytest_configure\n"
TESTS = """
import pytest

@pytest.fixture
def fails_afterwards():
    yield
    assert False

def test_passes(): ...
def test_fails(): assert False
def test_fails_afterwards(fails_afterwards): ...
def test_skips(): pytest.skip("later")
"""


def run(project: Path, *arguments: str) -> set[str]:
    """The tests that were run, in two processes."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "--verbose", "-p", "xdist", "--numprocesses", "2", *arguments]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1, done
    return set(re.findall(r"test_some\.py::test_(\w+)", done.stdout))


def except_passed(note: Path) -> str:
    """The option as CI gives it."""
    script = (ROOT / ".ci" / "run").read_text()
    (option,) = re.findall(r'make ci ARGS="(--except-passed.)\$passed ', script)
    return f"{option}{note}"


def test_what_passed_is_not_run_again(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\ntestpaths = tests\n")
    tests = tmp_path / "tests"
    tests.mkdir()
    (tests / "conftest.py").write_text(CONFTEST)
    (tests / "test_some.py").write_text(TESTS)
    others = {"fails", "fails_afterwards", "skips"}
    assert run(tmp_path) == {"passes", *others}

    note = json.loads((tmp_path / ".pytest_cache" / "v" / NOTE).read_text())
    kept, of_another_python = tmp_path / "kept", tmp_path / "of-another-python"
    kept.write_text(json.dumps(note))
    of_another_python.write_text(json.dumps({**note, "python": "3.10"}))
    assert run(tmp_path, except_passed(kept)) == others
    assert run(tmp_path, except_passed(of_another_python)) == {"passes", *others}


@pytest.mark.parametrize("changed", [False, True])
def test_a_newcomers_note_counts_for_the_same_files_only(
    changed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scripts import newcomer

    tree, clone, kept = tmp_path / "tree", tmp_path / "clone", tmp_path / "new" / "kept"
    subprocess.run(["git", "init", "--quiet", tree], check=True)
    if changed:
        (tree / "test_new.py").touch()
    note = clone / ".pytest_cache" / "v" / NOTE
    note.parent.mkdir(parents=True)
    note.write_text('{"python": "3.11", "tests": ["test_some.py::test_it"]}')
    monkeypatch.setattr(newcomer, "ROOT", tree)
    newcomer.note_passed(newcomer.Newcomer(clone, tmp_path), kept)
    assert json.loads(kept.read_text())["tests"] == ([] if changed else ["test_some.py::test_it"])
