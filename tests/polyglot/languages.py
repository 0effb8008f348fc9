"""How each language's executor is built and started. README.md says what an executor is."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT
from tests.support.requirements import missing

BUILD_SECONDS = 1800
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "lockstitch")


@dataclass(frozen=True)
class Language:
    """One language, and its client's executor.

    tools: programs that must be there; without them there are no tests of this language.
    directory: where the commands run, from the root of the repository.
    build: commands that run one after the other before the executor is started for the first time.
    run: the command that starts the executor.
    keeps_unknown_fields: whether what a newer client has put into a checkpoint survives loading, changing and saving.
    plain_state: whether the client has threads of plain state.

    In commands, `{out}` is a directory for what is built, empty at first, and `{cache}` one that stays from run to run
    and that several builds may use at once. Both are outside of the repository.
    """

    name: str
    tools: Sequence[str]
    directory: str
    run: Sequence[str]
    build: Sequence[Sequence[str]] = ()
    keeps_unknown_fields: bool = True
    plain_state: bool = False


LANGUAGES = (
    Language(
        name="python",
        tools=(),
        directory=".",
        run=(sys.executable, "-m", "tests.polyglot.executors.python"),
        plain_state=True,
    ),
    Language(
        name="rust",
        tools=("cargo",),
        directory="client/rust",
        build=(
            # Everything at once, as all others build it: parts would have other features, and be built anew. Cargo
            # itself sees to it that builds at the same time do not meet.
            (
                *("cargo", "build", "--locked", "--quiet", "--workspace", "--all-features", "--bins", "--examples"),
                *("--target-dir", "{cache}"),
            ),
            ("cp", "{cache}/debug/lockstitch-executor", "{out}/executor"),
        ),
        run=("{out}/executor",),
        keeps_unknown_fields=False,
        plain_state=True,
    ),
    Language(
        name="typescript",
        tools=("node", "npm", "make"),
        directory=".",
        build=(("make", "--silent", "typescript-build"),),
        run=("node", "client/typescript/build/test/executor.js"),
        plain_state=True,
    ),
    Language(
        name="go",
        tools=("go",),
        directory="client/go",
        build=(("go", "build", "-o", "{out}/executor", "./internal/executor"),),
        run=("{out}/executor",),
        plain_state=True,
    ),
    Language(
        name="java",
        tools=("java", "javac", "mvn", "make"),
        directory=".",
        build=(("make", "--silent", "java-build"),),
        run=(
            "java",
            "-XX:TieredStopAtLevel=1",  # it lives for a minute
            "-cp",
            "client/java/target/test-classes:client/java/target/classes:client/java/target/dependency/*",
            "dev.lockstitch.harness.Executor",
        ),
        plain_state=True,
    ),
)


def _names(languages: Iterable[Language]) -> list[Any]:
    return [pytest.param(language.name, marks=[pytest.mark.slow] if language.build else []) for language in languages]


NAMES = _names(LANGUAGES)
"""Of all languages, as parameters of tests."""
PLAIN_NAMES = _names(language for language in LANGUAGES if language.plain_state)
"""Of those whose client has plain state."""


class Executables:
    """Builds each executor once, the first time that somebody asks how to start it."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="lockstitch-polyglot-")
        self._commands: dict[str, list[str]] = {}

    def command(self, language: Language) -> list[str]:
        """The command that starts the executor. Ends the test where a tool is missing or a build fails."""
        if language.name not in self._commands:
            self._commands[language.name] = self._build(language)
        return self._commands[language.name]

    def close(self) -> None:
        """Remove what was built, but for the caches."""
        self._directory.cleanup()

    def _build(self, language: Language) -> list[str]:
        for tool in language.tools:
            if shutil.which(tool) is None:
                missing(f"no {language.name}: {tool} is not installed")
        out, cache = Path(self._directory.name, language.name), CACHE / language.name
        out.mkdir()
        cache.mkdir(parents=True, exist_ok=True)

        def filled(command: Sequence[str]) -> list[str]:
            return [word.replace("{out}", str(out)).replace("{cache}", str(cache)) for word in command]

        for command in language.build:
            run_command(filled(command), ROOT / language.directory)
        return filled(language.run)


def run_command(command: Sequence[str], directory: Path) -> str:
    """What a command prints. Raises AssertionError with all of it when the command fails."""
    done = subprocess.run(
        command,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)} (in {directory})\n{done.stdout}"
    return done.stdout
