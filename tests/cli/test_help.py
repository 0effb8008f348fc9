"""What `--help` prints is what was written: nothing of it is taken for markup."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from rich.text import Text
from typer.core import TyperGroup
from typer.testing import CliRunner

from lockstitch_server.cli.app import app


def commands(of: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(of, TyperGroup):
        for name, each in of.commands.items():
            yield from commands(each, (*path, name))


def find(path: tuple[str, ...]) -> Any:
    found: Any = typer.main.get_command(app)
    for name in path:
        found = found.commands[name]
    return found


def words(text: str) -> list[str]:
    """Without the frames of tables and line ends, which are put anywhere."""
    return re.sub(r"[\u2500-\u257f\s]+", " ", text).split()


@pytest.mark.parametrize("path", list(commands(typer.main.get_command(app))), ids=" ".join)
def test_everything_is_printed(path: tuple[str, ...]) -> None:
    printed = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "300", "NO_COLOR": "1"}).stdout
    shown = " ".join(words(printed))
    command = find(path)
    texts = [command.help or "", *(getattr(option, "help", None) or "" for option in command.params)]
    for text in texts:
        # What rich would make of it must be all of it, but for the backslashes that save brackets.
        assert Text.from_markup(text).plain == text.replace("\\[", "[")
        for paragraph in text.replace("\\[", "[").split("\n\n"):
            assert " ".join(words(paragraph)) in shown


def test_brackets() -> None:
    printed = CliRunner().invoke(app, ["import", "langgraph", "--help"], env={"COLUMNS": "200"}).stdout
    assert "lockstitch[langgraph]" in printed
