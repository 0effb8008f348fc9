"""Everything that is released has one version, and says which."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import lockstitch
import lockstitch_server
from scripts.version import PLACES, SEMVER, versions
from tests.support.paths import ROOT

VERSION = versions()["pyproject.toml#1"]


def test_all_files_have_one_version() -> None:
    assert SEMVER.fullmatch(VERSION)
    assert {place: version for place, version in versions().items() if version != VERSION} == {}


def test_the_installed_packages_know_it() -> None:
    assert (lockstitch.__version__, lockstitch_server.__version__) == (VERSION, VERSION)


@pytest.mark.parametrize("command", [["-m", "lockstitch"], ["-m", "lockstitch_server"]], ids=" ".join)
def test_the_command_shows_it(command: list[str]) -> None:
    done = subprocess.run([sys.executable, *command, "--version"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"lockstitch {VERSION}\n", "")


def test_the_changelog_has_it() -> None:
    """The version that comes next is named under Unreleased; one that is out has a section with its date."""
    changelog = (ROOT / "CHANGELOG.md").read_text()
    first = re.findall(r"^## (.*)$", changelog, re.MULTILINE)[0]
    coming = re.search(r"^## Unreleased\n+The next release is (\S+)[,.] ", changelog, re.MULTILINE)
    assert coming and coming[1] == VERSION if first == "Unreleased" else first.startswith(f"{VERSION} - ")


def copied(directory: Path) -> Path:
    for name in (*PLACES, "scripts/version.py"):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, directory / name)
    return directory / "scripts" / "version.py"


def run(script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True, timeout=60)


def test_one_command_writes_it_everywhere(tmp_path: Path) -> None:
    script = copied(tmp_path)
    assert run(script, "7.8.9").stdout == "7.8.9\n"
    assert run(script).stdout == "7.8.9\n"
    changed = {name: (tmp_path / name).read_text().count("7.8.9") for name in PLACES}
    assert changed == {name: len(patterns) for name, patterns in PLACES.items()}


def test_a_file_with_another_version_is_named(tmp_path: Path) -> None:
    script = copied(tmp_path)
    chart = tmp_path / "deploy" / "helm" / "lockstitch" / "Chart.yaml"
    chart.write_text(chart.read_text().replace(f"\nversion: {VERSION}", "\nversion: 9.9.9"))
    done = run(script)
    assert done.returncode == 1
    assert "deploy/helm/lockstitch/Chart.yaml#1: 9.9.9" in done.stderr


def test_what_is_no_version_is_refused(tmp_path: Path) -> None:
    assert "'1.2' is not MAJOR.MINOR.PATCH" in run(copied(tmp_path), "1.2").stderr
