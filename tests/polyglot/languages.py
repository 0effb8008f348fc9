"""How each language's executor is built and started. README.md says what an executor is."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
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

    In commands, `{out}` is a directory for what is built, and `{cache}` one that stays from run to run and that several
    builds may use at once. Both are outside of the repository.
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
    """Builds each executor once, the first time that a test asks how to start it.

    directory: of a run of pytest. Its test processes share what one of them has built there, since some builds replace
    files of the repository that executors of the other processes use.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._commands: dict[str, list[str]] = {}

    def command(self, language: Language) -> list[str]:
        """The command that starts the executor. Ends the test where a tool is missing or a build fails."""
        if language.name not in self._commands:
            self._commands[language.name] = self._built(language)
        return self._commands[language.name]

    def _built(self, language: Language) -> list[str]:
        for tool in language.tools:
            if shutil.which(tool) is None:
                missing(f"no {language.name}: {tool} is not installed")
        out, cache = self._directory / language.name, CACHE / language.name
        out.mkdir(parents=True, exist_ok=True)
        cache.mkdir(parents=True, exist_ok=True)

        def filled(command: Sequence[str]) -> list[str]:
            return [word.replace("{out}", str(out)).replace("{cache}", str(cache)) for word in command]

        is_built = out / "is-built"
        with _locked(out / "lock"):
            if not is_built.exists():
                for command in language.build:
                    run_command(filled(command), ROOT / language.directory)
                is_built.touch()
        return filled(language.run)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """No other test process is within. The kernel frees the lock if this one ends."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


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
