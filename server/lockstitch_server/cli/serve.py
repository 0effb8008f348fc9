"""Commands that run a server, or prepare and watch one: serve, migrate, config, health."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from lockstitch_server.cli import options
from lockstitch_server.cli.connection import Connection, connecting
from lockstitch_server.cli.output import FAILED, UNUSABLE, fail

if TYPE_CHECKING:
    from lockstitch_server.cli.settings import Loaded
    from lockstitch_server.config import Settings


def serve(
    config: options.ConfigFile = None,
    assignments: options.Assignments = None,
    listen: options.Listen = None,
    http_listen: options.HttpListen = None,
    store: options.Store = None,
    migrate: options.Migrate = None,
    workers: options.Workers = None,
    pool_size: options.PoolSize = None,
    insecure: options.Insecure = None,
    reflection: options.Reflection = None,
    drain_seconds: options.DrainSeconds = None,
    metrics_listen: options.MetricsListen = None,
    ui_listen: options.UiListen = None,
    log_level: options.LogLevel = None,
    log_format: options.LogFormat = None,
) -> None:
    """Serve until SIGTERM or SIGINT.

    Settings come from these options, else from LOCKSTITCH_* variables, else from the configuration file.
    """
    settings = effective(
        config,
        assignments,
        listen=listen,
        http_listen=http_listen,
        store=store,
        migrate=migrate,
        workers=workers,
        pool_size=pool_size,
        insecure=insecure,
        reflection=reflection,
        drain_seconds=drain_seconds,
        metrics_listen=metrics_listen,
        ui_listen=ui_listen,
        log_level=log_level,
        log_format=log_format,
    ).settings
    # What gRPC's core would write past our log says nothing that is not told in a better way.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from lockstitch_server.runtime.startup import StartupError
    from lockstitch_server.telemetry import logging

    logging.configure(settings.log_level, settings.log_format)
    from lockstitch_server.cli.explorer_beside import explorer_beside

    try:
        with explorer_beside(settings):
            _serve(settings)
    except StartupError as error:
        fail(str(error), UNUSABLE)


def _serve(settings: "Settings") -> None:
    if settings.workers > 1:
        from lockstitch_server.runtime.workers import supervisor

        supervisor.serve(settings)
    else:
        from lockstitch_server.runtime import server

        server.serve(settings)


def migrate(
    config: options.ConfigFile = None,
    assignments: options.Assignments = None,
    store: options.Store = None,
    sql: Annotated[
        bool, typer.Option("--sql", help="Only print the SQL for Postgres, for another role to run. Changes nothing.")
    ] = False,
    distributed: Annotated[
        bool,
        typer.Option(
            "--distributed",
            help="Experimental: also distribute the tables over the nodes of Citus. Stop servers first.",
        ),
    ] = False,
    shards: Annotated[
        int | None, typer.Option(metavar="N", help="Shards of each table, from 1 to 256. Default: 32.")
    ] = None,
) -> None:
    """Create or upgrade the store's schema.

    Can be repeated, by several at a time, and while servers are running. On Postgres, the role must own the schema
    `lockstitch`, or be allowed to create it.
    """
    settings = effective(config, assignments, store=store).settings
    from lockstitch_server.storage import StoreError, factory

    if shards is not None and not distributed:
        fail("--shards is for --distributed", UNUSABLE)
    if sql and distributed:
        fail("--distributed moves rows to other nodes, so --sql cannot print it; run it without --sql", UNUSABLE)
    try:
        if sql:
            typer.echo(factory.migration_script(settings.store), nl=False)
            return
        for warning in factory.warnings_about(settings.store):
            typer.echo(f"lockstitch: {warning}", err=True)
        typer.echo(factory.distribute(settings.store, shards) if distributed else factory.migrate(settings.store))
    except StoreError as error:
        fail(str(error), UNUSABLE)


def config(
    config: options.ConfigFile = None,
    assignments: options.Assignments = None,
    as_json: options.AsJson = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of the configuration file.")] = False,
) -> None:
    """Show the settings in effect and where each comes from. Secrets are hidden."""
    from lockstitch_server.cli import settings_view

    if schema:
        typer.echo(settings_view.schema())
        return
    loaded = effective(config, assignments)
    typer.echo(settings_view.as_json(loaded) if as_json else settings_view.as_toml(loaded))


def effective(config: str | None, assignments: Sequence[str] | None, **flags: object) -> "Loaded":
    """The settings that result from these options. Wrong ones end the command."""
    from lockstitch_server.cli import settings

    try:
        return settings.load(settings.from_command_line(assignments or (), flags), config)
    except settings.SettingsInvalid as error:
        fail(error.lines, UNUSABLE)


@connecting(timeout=3.0)
def health(
    connection: Connection,
    service: Annotated[str, typer.Option(help="Check one service. Default: the whole server.")] = "",
    local: Annotated[
        bool,
        typer.Option(
            "--local", help="Check the server that the settings describe: LOCKSTITCH_* variables, lockstitch.toml."
        ),
    ] = False,
    every: Annotated[
        bool, typer.Option("--all", help="Check the servers at all addresses of the target, and print a line for each.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show the versions of the server and of this command.")
    ] = False,
) -> None:
    """Check whether a server is serving. Exit code 0 if it is, else 1.

    With --local, address and TLS files are those of the server that runs with the same settings on this machine.
    """
    from lockstitch_server.cli import health_check

    if local:
        from lockstitch_server.cli.local import to_this_server

        connection = to_this_server(connection, effective(None, None).settings)
    if every:
        states = health_check.of_all(connection, service, verbose=verbose)
        width = max(len(address) for address in states)
        for address, state in states.items():
            typer.echo(f"{address:<{width}}  {state}")
    else:
        states = {connection.target: health_check.of_one(connection, service, verbose=verbose)}
        typer.echo(states[connection.target])
    if {state.status for state in states.values()} != {health_check.SERVING}:
        raise typer.Exit(FAILED)
