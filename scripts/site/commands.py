"""The reference of the command line, out of the commands themselves."""

from collections.abc import Iterator
from typing import Any

import typer

from lockstitch_server.cli.app import app

HIDDEN = {"help", "install_completion", "show_completion"}


def page() -> str:
    """All commands, with their options."""
    group = typer.main.get_command(app)
    context = group.make_context("lockstitch", [], resilient_parsing=True)
    head = ["# All commands", "[The command line](../cli.md) has a tour. This page is made from the commands."]
    return "\n\n".join([*head, *_commands(context, "lockstitch")]) + "\n"


def _commands(context: Any, name: str) -> Iterator[str]:
    group = context.command
    for each in group.list_commands(context):
        command = group.get_command(context, each)
        if command is None or command.hidden:
            continue
        full = f"{name} {each}"
        own = command.make_context(full, [], parent=context, resilient_parsing=True)
        if hasattr(command, "list_commands"):
            yield from _commands(own, full)
            continue
        yield f"## {full}"
        yield _prose(command.help or "")
        rows = [row for parameter in command.params if (row := _row(parameter, own))]
        if rows:
            yield "\n".join(["| option | default | meaning |", "| --- | --- | --- |", *rows])


def _prose(text: str) -> str:
    return "\n\n".join(" ".join(part.split()) for part in text.replace("\b", "").split("\n\n")).replace("<", "&lt;")


def _row(parameter: Any, context: Any) -> str:
    if parameter.name in HIDDEN or getattr(parameter, "hidden", False):
        return ""
    is_option = parameter.param_type_name == "option"
    names = ", ".join(f"`{name}`" for name in parameter.opts) if is_option else f"`{parameter.name.upper()}`"
    default = parameter.get_default(context, call=False)
    unsaid = default is None or default in ("", (), [], False) or callable(default)
    shown = "" if unsaid else f"`{getattr(default, 'value', default)}`"
    meaning = _prose(getattr(parameter, "help", "") or "").replace("|", "\\|")
    return f"| {names} | {shown} | {meaning} |"
