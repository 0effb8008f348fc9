"""The commands as a whole."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from lockstitch_server import __version__
from lockstitch_server.__main__ import main
from tests.cli.commands import Command
from tests.support.paths import ROOT

COMMANDS = ["serve", "migrate", "config", "health", "sessions", "checkpoints", "show", "diff", "import weavegraph"]
COMMANDS += ["check", "backup", "export", "import archive", "keys create", "keys list", "keys revoke"]


def help_of(command: str) -> str:
    done = Command(*command.split(), "--help").in_process()
    assert done.code == 0
    return done.out


def test_the_version(tmp_path: Path) -> None:
    done = Command("--version").process(tmp_path)
    assert (done.code, done.out) == (0, f"lockstitch {__version__}\n")


def test_help_names_every_command() -> None:
    shown = help_of("")
    assert all(command.split()[0] in shown for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_is_in_the_manual(command: str) -> None:
    manual = (ROOT / "docs" / "cli.md").read_text()
    assert f"`{command}" in manual or f"lockstitch {command} " in manual
    options = set(re.findall(r"--[a-z][a-z-]+", help_of(command))) - {"--help"}
    assert not [option for option in options if option not in manual]


def test_an_unknown_command_is_wrong_usage() -> None:
    done = Command("banana").in_process()
    assert (done.code, done.out) == (2, "")
    assert "banana" in done.err


def test_help_needs_little() -> None:
    """What takes long to import is imported by the command that needs it."""
    program = "import lockstitch_server.cli.app, sys; print(*sys.modules)"
    modules = set(subprocess.check_output([sys.executable, "-c", program], text=True).split())
    assert "typer" in modules
    assert not modules & {"grpc", "pydantic", "structlog", "sqlalchemy", "aiosqlite", "asyncpg", "google.protobuf"}


@pytest.mark.parametrize(("command", "extra"), [("serve", "server"), ("sessions", "cli")])
def test_without_an_extra_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, extra: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["lockstitch", command])
    monkeypatch.setitem(sys.modules, "typer", None)
    for name in [name for name in sys.modules if name.startswith("lockstitch_server.cli")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    line = capsys.readouterr().err
    assert line == f"lockstitch: this needs the Python package 'typer': pip install 'lockstitch[{extra}]'\n"


def test_a_module_of_our_own_that_is_missing_is_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lockstitch_server.cli.app", None)
    with pytest.raises(ModuleNotFoundError):
        main()
