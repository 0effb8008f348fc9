"""The Dockerfile is sound as far as that can be told without building it."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.requirements import missing


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"(?m)^#.*\n", "", (ROOT / "Dockerfile").read_text()).replace("\\\n", " ")
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in text.splitlines() if line)]


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        missing("hadolint is not installed")
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def copied() -> list[str]:
    sources = [rest.split()[:-1] for name, rest in instructions() if name == "COPY" and "--from" not in rest]
    return [source for each in sources for source in each]


@pytest.mark.parametrize("source", copied())
def test_what_it_copies_exists_and_is_not_ignored(source: str) -> None:
    assert (ROOT / source).exists()
    assert f"!{source}" in (ROOT / ".dockerignore").read_text().splitlines()


def test_all_packages_are_copied() -> None:
    """The session explorer, too: the image runs `lockstitch ui`."""
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert set(wheel["packages"]) <= set(copied())


def test_the_server_runs_as_an_ordinary_user_without_a_shell() -> None:
    final = dict(instructions())
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", final["USER"])
    assert all(final[name].startswith("[") for name in ("ENTRYPOINT", "CMD"))
    assert "CMD [" in final["HEALTHCHECK"]


def test_packages_are_installed_by_hash() -> None:
    installs = [rest for name, rest in instructions() if name == "RUN" and "install" in rest]
    commands = [
        command for rest in installs for command in rest.split("&&") if "pip" in command and " install " in command
    ]
    assert len(commands) == 3
    assert all("--require-hashes" in command or "--no-index" in command for command in commands)
