"""The tests' own way to run commands."""

import logging
from pathlib import Path

import structlog

from tests.cli.commands import Command


def test_a_command_in_this_process_leaves_logging_as_it_was(tmp_path: Path) -> None:
    handlers, processors = logging.getLogger().handlers[:], structlog.get_config()
    done = Command("serve", "--store", f"sqlite:///{tmp_path / 'missing' / 'a.db'}").in_process()
    assert done.code != 0, done
    assert logging.getLogger().handlers == handlers
    assert structlog.get_config() == processors
