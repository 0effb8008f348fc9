"""All commands. Their modules import little, so that `lockstitch --help` and shell completion are quick."""

import inspect
import os
from collections.abc import Callable
from typing import Annotated

import typer

from lockstitch_server.cli import bring, explorer, keys, look, operate, session, upkeep
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
    "Run a server": [operate.serve, operate.migrate, operate.config, operate.health],
    "Keep a store": [upkeep.check, upkeep.backup, upkeep.export],
    "Look at what it keeps": [explorer.ui, look.sessions, look.checkpoints, look.show, look.diff],
}
for panel, commands in _PANELS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)
app.add_typer(session.app, name="session", rich_help_panel="Look at what it keeps")
app.add_typer(keys.app, name="keys", rich_help_panel="Run a server")
bring.app.command()(upkeep.archive)
app.add_typer(bring.app, name="import", rich_help_panel="Bring in what others kept")


def _escape(group: typer.Typer) -> None:
    """Keep the brackets of help texts: rich takes them for markup."""
    for command in group.registered_commands:
        text = command.help or inspect.getdoc(command.callback) or ""
        command.help = text.replace("[", r"\[")
    for inner in group.registered_groups:
        if inner.typer_instance is not None:
            _escape(inner.typer_instance)


_escape(app)
