"""All commands. Their modules import little, so that `lockstitch --help` and shell completion are quick."""

import os
from collections.abc import Callable
from inspect import getdoc
from typing import Annotated

import typer

from lockstitch_server.cli import explorer, imports, inspect, keys, maintenance, serve, session
from lockstitch_server.cli.variables import warn_of_mistyped

app = typer.Typer(
    name="lockstitch",
    help="A gRPC checkpoint server for agent workflows.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        from lockstitch_server import __version__

        typer.echo(f"lockstitch {__version__}")
        raise typer.Exit


@app.callback()
def lockstitch(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """A gRPC checkpoint server for agent workflows."""
    warn_of_mistyped(os.environ)


_PANELS: dict[str, list[Callable[..., None]]] = {
    "Run a server": [serve.serve, serve.migrate, serve.config, serve.health],
    "Maintain a store": [maintenance.check, maintenance.backup, maintenance.export],
    "Inspect sessions": [explorer.ui, inspect.sessions, inspect.checkpoints, inspect.show, inspect.diff],
}
for panel, commands in _PANELS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)
app.add_typer(session.app, name="session", rich_help_panel="Inspect sessions")
app.add_typer(keys.app, name="keys", rich_help_panel="Run a server")
imports.app.command()(maintenance.archive)
app.add_typer(imports.app, name="import", rich_help_panel="Import")


def _escape(group: typer.Typer) -> None:
    """Keep the brackets of help texts: rich takes them for markup."""
    for command in group.registered_commands:
        text = command.help or getdoc(command.callback) or ""
        command.help = text.replace("[", r"\[")
    for inner in group.registered_groups:
        if inner.typer_instance is not None:
            _escape(inner.typer_instance)


_escape(app)
