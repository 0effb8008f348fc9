"""The manual's tables and examples say what the code says."""

import re
import shlex

import pytest

from tests.cli.commands import Command
from tests.cli.settings_table import PAGE, with_table
from tests.support.paths import ROOT

MANUAL = ROOT / "docs" / "cli.md"
SHOWING = ("sessions", "checkpoints", "show", "diff")


def examples() -> dict[str, str]:
    """Commands that only show something, with their output, where the manual has one."""
    found = {}
    for block in re.findall(r"^```console\n(.*?)^```", MANUAL.read_text(), re.DOTALL | re.MULTILINE):
        for example in re.split(r"^\$ lockstitch ", block, flags=re.MULTILINE)[1:]:
            command, _, output = example.partition("\n")
            if command.split()[0] in SHOWING and "|" not in command:
                found[command] = output
    return found


def normal(output: str) -> str:
    """Output without what differs from run to run: ages, sizes, and so the widths of columns."""
    output = re.sub(r"\d+ \w+ ago|just now", "AGE", output)
    output = re.sub(r"[\d.]+ k?B\b", "SIZE", output)
    return re.sub(r" +", " ", output).strip()


def test_the_table_of_settings_is_up_to_date() -> None:
    page = PAGE.read_text()
    assert page == with_table(page), "run: python -m tests.cli.settings_table"


def test_there_are_examples() -> None:
    assert {command.split()[0] for command in examples()} == {"sessions", "checkpoints", "diff"}


@pytest.mark.parametrize("command", examples())
def test_examples_print_what_they_say(target: str, command: str) -> None:
    done = Command(*shlex.split(command)).in_process(target)
    assert (done.code, done.err) == (0, "")
    assert normal(done.out) == normal(examples()[command])
