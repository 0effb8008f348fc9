"""Environment variables that nothing reads."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from lockstitch_server.cli.app import app
from lockstitch_server.cli.variables import OF_COMMANDS, PREFIX
from tests.cli.commands import Command


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("LOCKSTITCH_STOER", "LOCKSTITCH_STORE"),
        ("LOCKSTITCH_LIMITS_MAX_PARTS", "LOCKSTITCH_LIMITS__MAX_PARTS"),
        ("LOCKSTITCH_TARGETS", "LOCKSTITCH_TARGET"),
        ("LOCKSTITCH_LIMIT__MAX_PARTS", "LOCKSTITCH_LIMITS__MAX_PARTS"),
    ],
)
def test_a_mistyped_variable_is_named_with_the_nearest(tmp_path: Path, name: str, meant: str) -> None:
    done = Command("config").process(tmp_path, **{name: "x"})
    assert done.code == 0
    assert done.err == (
        f"lockstitch: warning: the environment variable {name} is not read by anything; did you mean {meant}?\n"
    )


@pytest.mark.parametrize("command", [("config",), ("serve", "--listen", "127.0.0.1:0"), ("migrate",)])
def test_one_inside_a_group_is_an_error(tmp_path: Path, command: tuple[str, ...]) -> None:
    Command(*command).process(tmp_path, LOCKSTITCH_AUTH__KEY="x").refused("LOCKSTITCH_AUTH__KEY", "'auth.keys'")
    assert not list(tmp_path.iterdir())


def test_others_are_let_pass(tmp_path: Path) -> None:
    """Those of Kubernetes, of other programs, and known ones."""
    variables = {
        "LOCKSTITCH_SERVICE_HOST": "10.0.0.1",
        "LOCKSTITCH_PORT": "tcp://10.0.0.1:50051",
        "LOCKSTITCH_PORT_50051_TCP_ADDR": "10.0.0.1",
        "LOCKSTITCH_STORE_SERVICE_PORT": "5432",
        "LOCKSTITCH_HOME_OF_SOMETHING": "x",
        "LOCKSTITCH_LIMITS__MAX_PARTS": "5",
        "LOCKSTITCH_QUEUE": '{"max_operations": 100}',
    }
    assert Command("config").process(tmp_path, **variables).err == ""


def commands(of: Any) -> Iterator[Any]:
    yield of
    if isinstance(of, TyperGroup):
        for each in of.commands.values():
            yield from commands(each)


def test_all_variables_of_options_are_known() -> None:
    found = {
        name.removeprefix(PREFIX)
        for command in commands(typer.main.get_command(app))
        for option in command.params
        for name in ([option.envvar] if isinstance(option.envvar, str) else option.envvar or ())
    }
    assert found == set(OF_COMMANDS)
