"""The table of exit codes in docs/cli.md: each of its cases, by the commands that it is about."""

import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

import lockstitch
from lockstitch_server.core.format.archive import FIRST_LINE
from tests.cli.commands import FIXTURE, Command
from tests.support.paths import ROOT
from tests.support.server import LockstitchServer

AWAY = ("--target", "127.0.0.1:1")
CALLS = (
    ["sessions"],
    ["checkpoints", "s"],
    ["show", "s"],
    ["diff", "s", "1", "2"],
    ["health"],
    ["session", "show", "s"],
    ["session", "delete", "s", "--yes"],
    ["session", "watch", "s"],
    ["import", "weavegraph", str(FIXTURE)],
)
"""Commands that call a server, of each kind."""


class World:
    """A store with one session, and a server on it."""

    def __init__(self, directory: Path, target: str) -> None:
        self.directory, self.target = directory, target
        self.store = f"sqlite:///{directory}/lockstitch.db"

    def path(self, name: str, content: bytes = b"") -> str:
        path = self.directory / name
        path.write_bytes(content)
        return str(path)

    def with_step_left_out(self) -> str:
        path = self.path("weavegraph.db", FIXTURE.read_bytes())
        with closing(sqlite3.connect(path)) as file:
            file.execute("UPDATE steps SET state_json = '{}' WHERE session_id = 'errors' AND step = 2")
            file.commit()
        return path

    def damaged(self) -> str:
        path = self.directory / "damaged.db"
        path.unlink(missing_ok=True)
        with closing(sqlite3.connect(self.directory / "lockstitch.db")) as file:
            file.execute("VACUUM INTO ?", (str(path),))
        with closing(sqlite3.connect(path)) as file:
            file.execute("UPDATE checkpoints SET record = x'00'")
            file.commit()
        return f"sqlite:///{path}"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("world")
    with LockstitchServer(f"sqlite:///{directory}/lockstitch.db") as server:
        with lockstitch.Client(server.target) as client:
            client.save(lockstitch.Checkpoint(session_id="s", step=1))
        yield World(directory, server.target)


Commands = Callable[[World], list[list[str]]]
CASES: dict[str, Commands] = {
    "done; nothing": lambda world: [
        ["sessions"],
        ["sessions", "--prefix", "none"],
        ["session", "lease", "s", "--release", "7"],
        ["session", "rewind", "s", "latest", "--yes"],
        ["check", "--store", world.store],
        ["backup", f"{world.directory}/copy.db", "--store", world.store],
        ["export", f"{world.directory}/all.archive", "--store", world.store],
        ["import", "archive", f"{world.directory}/all.archive", "--store", world.store],
        ["health"],
        ["config"],
    ],
    "no server": lambda _: [[*command, *AWAY] for command in CALLS],
    "no such session": lambda world: [
        ["show", "none"],
        ["show", "s", "--step", "9"],
        ["show", "s", "--namespace", "none"],
        ["session", "delete", "none", "--yes"],
        ["keys", "revoke", "none", "--file", world.path("keys.json", b'{"keys": []}')],
    ],
    "`health`": lambda _: [["health", "--service", "none"]],
    "`check`": lambda world: [["check", "--store", world.damaged()]],
    "`export`": lambda world: [
        ["export", f"{world.directory}/some.archive", "--store", world.damaged(), "--force"],
        ["import", "weavegraph", world.with_step_left_out()],
    ],
    "wrong options": lambda world: [
        ["banana"],
        ["sessions", "--banana"],
        ["show"],
        ["sessions", "--since", "yesterday"],
        ["sessions", "--label", "x"],
        ["session", "delete", "s"],
        ["session", "prune"],
        ["session", "rewind", "s", "1"],
        ["health", "--target", "nowhere"],
        ["config", "--set", "limits.x=1"],
        ["serve", "--store", "nowhere"],
        ["migrate", "--set", "x"],
        ["backup", f"{world.directory}/copy2.db", "--store", "memory://"],
        ["import", "archive", "-", "--replace", "--store", world.store],
        ["keys", "create", "p", "--right", "fly", "--file", f"{world.directory}/new.json"],
    ],
    "a store": lambda world: (
        [
            [*command, "--store", f"sqlite:///{world.path('other.db', b'no database')}"]
            for command in (
                ["serve", "--listen", "127.0.0.1:0"],
                ["migrate"],
                ["check"],
                ["check", "--repair"],
                ["backup", f"{world.directory}/copy3.db"],
                ["export", f"{world.directory}/other.archive"],
                ["import", "archive", world.path("empty.archive", FIRST_LINE)],
            )
        ]
        + [["import", "weavegraph", world.path("none.db")], ["import", "weavegraph", f"{world.directory}/nothing.db"]]
    ),
    "a file": lambda world: [
        ["backup", world.path("precious.db"), "--store", world.store],
        ["backup", f"{world.directory}/none/copy.db", "--store", world.store],
        ["export", world.path("precious.archive"), "--store", world.store],
        ["export", f"{world.directory}/none/all.archive", "--store", world.store],
        ["import", "archive", f"{world.directory}/none.archive", "--store", world.store],
        ["import", "archive", world.path("no.archive", b"no archive"), "--store", world.store],
        ["import", "archive", world.path("cut.archive", FIRST_LINE), "--store", world.store],
        ["keys", "list", "--file", f"{world.directory}/none.json"],
        ["keys", "revoke", "id", "--file", f"{world.directory}/none.json"],
        ["keys", "create", "p", "--file", f"{world.directory}/none/keys.json"],
        ["keys", "create", "p", "--file", world.path("no.json", b"no json")],
        ["sessions", "--ca", f"{world.directory}/none.pem"],
        ["config", "--config", f"{world.directory}/none.toml"],
    ],
    "an address": lambda world: [
        ["serve", "--listen", world.target, "--store", "memory://"],
        ["serve", "--listen", "203.0.113.1:50051", "--store", "memory://"],
        ["ui", "--listen", world.target],
    ],
}
"""How a row of the table begins -> commands that it is about."""
ELSEWHERE = {
    "a question": "test_session.py: test_nothing_is_deleted_unasked",
    "standard output": "test_output.py",
    "a package": "test_command_line.py: test_without_an_extra_it_says_what_to_install",
    "Ctrl-C": "test_ctrl_c",
}


def rows() -> dict[str, int]:
    """The table: case -> code."""
    section = (ROOT / "docs" / "cli.md").read_text().partition("## Exit codes")[2].partition("\n## ")[0]
    return {case: int(code) for case, code in re.findall(r"^\| (.+) \| (\d+) \|$", section, re.MULTILINE)}


def test_every_row_has_a_test() -> None:
    begins = [*CASES, *ELSEWHERE]
    assert len(rows()) == len(begins)
    assert all(sum(case.startswith(begin) for case in rows()) == 1 for begin in begins)


@pytest.mark.parametrize("begin", CASES)
def test_a_row(world: World, begin: str) -> None:
    (code,) = {code for case, code in rows().items() if case.startswith(begin)}
    for arguments in CASES[begin](world):
        done = Command(*arguments).in_process(world.target)
        assert done.code == code, (arguments, done)
        assert code == 0 or done.err or "check" in arguments or "health" in arguments, arguments


def test_what_is_missing_is_named(world: World) -> None:
    nowhere, store = world.directory / "none", ("--store", world.store)
    for command in (["backup", f"{nowhere}/copy.db", *store], ["export", f"{nowhere}/all.archive", *store]):
        Command(*command).in_process().refused(f"there is no directory {nowhere}; create it")
    Command("keys", "revoke", "id", "--file", f"{nowhere}.json").in_process().refused(f"no file {nowhere}.json")


def test_ctrl_c(world: World) -> None:
    watch = subprocess.Popen(
        [sys.executable, "-m", "lockstitch_server", "session", "watch", "s", "--target", world.target],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with watch:
        assert watch.stdout is not None
        assert watch.stderr is not None
        assert watch.stdout.readline().startswith("status ")
        watch.send_signal(signal.SIGINT)
        assert watch.wait(60) == rows()["Ctrl-C during a command other than `serve` and `ui`"]
        assert "Traceback" not in watch.stderr.read()
