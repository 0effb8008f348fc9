"""Follow README.md as a newcomer does: in a fresh clone, from nothing, with nothing in the environment.

    python3 scripts/newcomer.py                    everything, `make test` too
    python3 scripts/newcomer.py --without-tests    only what README.md shows
    python3 scripts/newcomer.py --listen 127.0.0.1:50061    where port 50051 is taken
    python3 scripts/newcomer.py --passed FILE      note there which tests passed, for pytest's option --except-passed=

All blocks run in their order and then once more, each as a reader runs it. Ends with 0 if no command fails. Needs git,
make and Python, and nothing that is installed for developing. A package index that is configured for pip stays so.
"""

import argparse
import configparser
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ADDRESS = "127.0.0.1:50051"
PATH = "/usr/bin:/bin"
COMMAND_SECONDS = 900
TEST_SECONDS = 2400
START_SECONDS = 600  # `make run` installs what it needs
STOP_SECONDS = 60
NOT_FOLLOWED = ("make quick", "make test", "make ci", "make bench")
"""`make test` is run once, at the end, and has what `make quick` runs. The others take longer than a newcomer waits."""
KEPT_APART = ("elsewhere.db", "copy.db", "everything.archive")
"""Copies of a store. The commands that make them never overwrite an older one, so the second round begins without."""


@dataclass
class Newcomer:
    """A reader at a prompt: what was typed into the shell before still holds for the next command.

    directory: the clone. home: the home directory. listen: where the server of `make run` listens.
    """

    directory: Path
    home: Path
    listen: str = ADDRESS
    activated: bool = False
    _server: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def environment(self) -> dict[str, str]:
        elsewhere = {} if self.listen == ADDRESS else {"LOCKSTITCH_TARGET": self.listen}
        return {"PATH": PATH, "HOME": str(self.home), **elsewhere}

    def follow(self, text: str) -> None:
        """Do what a page shows, from its first block to its last."""
        for language, block in blocks(text):
            if language == "python":
                self.run("python", "-", source=block)
            for command in commands(language, block):
                self.type(command)
        self.stop_server()

    def type(self, command: str) -> None:
        """Type one line at the prompt."""
        if command in NOT_FOLLOWED:
            return
        if command == ". .venv/bin/activate":
            self.activated = True
        elif command == "make run":
            self.start_server(command if self.listen == ADDRESS else f"{command} LISTEN={self.listen}")
        elif command.startswith("lockstitch serve "):
            self.start_server(command)
        else:
            self.run("bash", "-c", command)

    def run(self, *command: str, source: str = "", seconds: float = COMMAND_SECONDS) -> None:
        """Run a program as the shell of this reader would. Raises CalledProcessError when it fails."""
        told = source.replace("\n", "\n    ").rstrip() if source else command[-1]
        print(f"\n--- {told}", flush=True)
        subprocess.run(
            self._shell(*command),
            input=self._addressed(source).encode(),
            cwd=self.directory,
            env=self.environment,
            timeout=seconds,
            check=True,
        )

    def start_server(self, command: str) -> None:
        """Start a server in the other terminal, and wait until it answers."""
        self.stop_server()
        print(f"\n--- {command}", flush=True)
        self._server = subprocess.Popen(
            self._shell("bash", "-c", self._addressed(command)),
            stdin=subprocess.DEVNULL,
            cwd=self.directory,
            env=self.environment,
            start_new_session=True,
        )
        deadline = time.monotonic() + START_SECONDS
        while not is_listened_on(self.listen):
            if self._server.poll() is not None:
                raise SystemExit(f"{command}: ended with {self._server.returncode}, and does not serve")
            if time.monotonic() > deadline:
                raise SystemExit(f"{command}: nothing listens on {self.listen} after {START_SECONDS} s")
            time.sleep(0.1)

    def stop_server(self) -> None:
        """Type Ctrl-C in the other terminal."""
        if self._server is None:
            return
        os.killpg(self._server.pid, signal.SIGINT)
        self._server.wait(STOP_SECONDS)
        self._server = None

    def _shell(self, *command: str) -> list[str]:
        prelude = ". .venv/bin/activate && " if self.activated else ""
        return ["bash", "-c", f'{prelude}exec "$@"', "bash", *command]

    def _addressed(self, text: str) -> str:
        return text.replace(ADDRESS, self.listen)


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """(language, content) of the fenced blocks of a page."""
    for found in re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield found[1], found[2]


def commands(language: str, block: str) -> Iterator[str]:
    """What a block has a reader type into the shell."""
    for line in block.splitlines():
        command = re.sub(r"\s+# .*", "", line).strip()
        if language == "sh" and command:
            yield command
        elif language == "console" and command.startswith("$ "):
            yield command.removeprefix("$ ")


def is_listened_on(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def pip_configuration(environment: Mapping[str, str], home: Path) -> configparser.RawConfigParser:
    """What pip is configured with by a user's variables and files, as one file. It may name the only index in reach."""
    config = configparser.RawConfigParser()
    files = [home / ".pip" / "pip.conf", home / ".config" / "pip" / "pip.conf"]
    config.read([*files, environment.get("PIP_CONFIG_FILE", os.devnull)])
    options = {
        name.removeprefix("PIP_").lower().replace("_", "-"): value
        for name, value in environment.items()
        if name.startswith("PIP_") and name != "PIP_CONFIG_FILE"
    }
    if proxy := environment.get("https_proxy") or environment.get("HTTPS_PROXY"):
        options.setdefault("proxy", proxy)
    config.read_dict({"global": options})
    return config


def arrive(directory: Path, listen: str) -> Newcomer:
    """A newcomer with a home directory and a clone of the last commit, and a weavegraph database to bring along."""
    newcomer = Newcomer(directory / "lockstitch", directory / "home", listen)
    configuration = newcomer.home / ".config" / "pip" / "pip.conf"
    configuration.parent.mkdir(parents=True)
    with configuration.open("w") as file:
        pip_configuration(os.environ, Path.home()).write(file)
    subprocess.run(["git", "clone", "--quiet", ROOT, newcomer.directory], check=True)
    shutil.copy(ROOT / "tests" / "fixtures" / "weavegraph" / "weavegraph.db", newcomer.directory)
    return newcomer


def run_tests(newcomer: Newcomer) -> None:
    """`make test`; a test that fails must pass by itself (see scripts/steady.py)."""
    try:
        newcomer.run("make", "test", seconds=TEST_SECONDS)
    except subprocess.CalledProcessError:
        newcomer.run(".venv/bin/python", "scripts/steady.py")


def note_passed(newcomer: Newcomer, file: Path) -> None:
    """Keep the list of the tests that passed. It is empty if the tree has changes that the clone does not have."""
    note = json.loads((newcomer.directory / ".pytest_cache" / "v" / "lockstitch" / "passed").read_text())
    changes = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    if changes:
        print(f"Not counted, since the clone is without these changes:\n{changes.decode()}", flush=True)
        note["tests"] = []
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(note))
    print(f"{len(note['tests'])} tests passed as a newcomer runs them.", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Follow README.md as a newcomer does.")
    parser.add_argument("--without-tests", action="store_true", help="leave out `make test`")
    parser.add_argument("--listen", default=ADDRESS, help="where `make run` is to listen")
    parser.add_argument("--passed", type=Path, metavar="FILE", help="note here which tests of `make test` passed")
    options = parser.parse_args()
    if options.passed:
        options.passed.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="lockstitch-newcomer-") as directory:
        newcomer = arrive(Path(directory), options.listen)
        readme = (newcomer.directory / "README.md").read_text()
        try:
            for _ in range(2):
                for name in KEPT_APART:
                    (newcomer.directory / name).unlink(missing_ok=True)
                newcomer.follow(readme)
            if not options.without_tests:
                run_tests(newcomer)
                if options.passed:
                    note_passed(newcomer, options.passed)
        except subprocess.CalledProcessError as error:
            raise SystemExit(f"A command of README.md fails: {error}") from None
        finally:
            newcomer.stop_server()
    print("\nREADME.md keeps its promises.")


if __name__ == "__main__":
    main()
