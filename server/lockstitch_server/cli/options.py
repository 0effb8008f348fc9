"""Options that several commands have."""

from typing import Annotated

import typer

from lockstitch_server.cli.completion import session_ids
from lockstitch_server.cli.output import UNUSABLE, fail

DEFAULT_TARGET = "127.0.0.1:50051"

TARGET = typer.Option(
    "--target", "--server", envvar="LOCKSTITCH_TARGET", metavar="ADDRESS", help="The server: host:port or unix:path."
)
Timeout = Annotated[
    float, typer.Option("--timeout", min=0.001, metavar="SECONDS", help="How long to wait for an answer.")
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON for programs, exact and complete.")]
Namespace = Annotated[str, typer.Option("--namespace", help="Path of a subgraph inside the session.")]
Session = Annotated[str, typer.Argument(metavar="SESSION", help="Id of the session.", autocompletion=session_ids)]

# Settings of the server. They are read as text and checked with all the others: see `settings`.
ConfigFile = Annotated[
    str | None,
    typer.Option(
        "--config",
        envvar="LOCKSTITCH_CONFIG",
        metavar="FILE",
        help="TOML file with settings; without it lockstitch.toml, if there is one.",
    ),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="Any setting, such as limits.max_message_bytes=16MiB. Can be repeated."
    ),
]
Listen = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Where to serve: host:port or unix:path."),
]
Store = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Where checkpoints are kept: memory://, sqlite:///path or postgresql://..."),
]
Migrate = Annotated[
    bool | None,
    typer.Option("--migrate/--no-migrate", help="Whether to create or upgrade a Postgres schema first."),
]
Workers = Annotated[str | None, typer.Option(metavar="N", help="Processes that serve the address together.")]
PoolSize = Annotated[str | None, typer.Option(metavar="N", help="Connections to Postgres for reading.")]
Reflection = Annotated[
    bool | None,
    typer.Option("--reflection/--no-reflection", help="Whether clients may ask for the contract."),
]
Insecure = Annotated[
    bool | None,
    typer.Option("--insecure", help="Let other machines in without TLS and credentials, as in a mesh that has both."),
]
DrainSeconds = Annotated[
    str | None,
    typer.Option(metavar="SECONDS", help="How long running calls may take after SIGTERM or SIGINT."),
]
MetricsListen = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Where Prometheus finds the metrics: host:port.")
]
UiListen = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Where browsers reach the session explorer: host:port.")
]
LogLevel = Annotated[str | None, typer.Option(metavar="LEVEL", help="debug, info, warning or error.")]
LogFormat = Annotated[str | None, typer.Option(metavar="FORMAT", help="auto, console or json.")]


def pair(text: str) -> tuple[str, str]:
    """Name and value of a label. What is not NAME=VALUE ends the command."""
    name, equals, value = text.partition("=")
    if not equals:
        fail(f"a label is NAME=VALUE, not {text!r}", UNUSABLE)
    return name, value
