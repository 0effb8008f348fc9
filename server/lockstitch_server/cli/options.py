"""Options that several commands have."""

from typing import Annotated

import typer

from lockstitch_server.cli.output import UNUSABLE, fail

DEFAULT_TARGET = "127.0.0.1:50051"

TARGET = typer.Option(
    "--target", "--server", envvar="LOCKSTITCH_TARGET", metavar="ADDRESS", help="The server: host:port or unix:path."
)
Timeout = Annotated[
    float, typer.Option("--timeout", min=0.001, metavar="SECONDS", help="Maximum time to wait for each response.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Namespace = Annotated[str, typer.Option("--namespace", help="Path of a subgraph inside the session.")]

# Settings of the server. They are read as text and checked with all the others: see `settings`.
ConfigFile = Annotated[
    str | None,
    typer.Option(
        "--config",
        envvar="LOCKSTITCH_CONFIG",
        metavar="FILE",
        help="TOML file with settings. Default: lockstitch.toml, if it exists.",
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
    typer.Option(metavar="ADDRESS", help="Address to serve: host:port or unix:path."),
]
Store = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Database: memory://, sqlite:///path or postgresql://..."),
]
Migrate = Annotated[
    bool | None,
    typer.Option("--migrate/--no-migrate", help="Create or upgrade the Postgres schema first."),
]
Workers = Annotated[str | None, typer.Option(metavar="N", help="Number of processes that share the address.")]
PoolSize = Annotated[str | None, typer.Option(metavar="N", help="Connections of a worker to Postgres for reading.")]
Reflection = Annotated[
    bool | None,
    typer.Option("--reflection/--no-reflection", help="Let clients read the contract by gRPC reflection."),
]
Insecure = Annotated[
    bool | None,
    typer.Option(
        "--insecure", help="Serve other machines without TLS or authentication, for example where a mesh provides both."
    ),
]
DrainSeconds = Annotated[
    str | None,
    typer.Option(metavar="SECONDS", help="Maximum time for running calls to finish after SIGTERM or SIGINT."),
]
MetricsListen = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Address of the Prometheus endpoint: host:port.")
]
HttpListen = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Address of the HTTP door: host:port, or unix:path.")
]
UiListen = Annotated[str | None, typer.Option(metavar="ADDRESS", help="Address of the session explorer: host:port.")]
LogLevel = Annotated[str | None, typer.Option(metavar="LEVEL", help="debug, info, warning or error.")]
LogFormat = Annotated[str | None, typer.Option(metavar="FORMAT", help="auto, console or json.")]


def pair(text: str) -> tuple[str, str]:
    """Name and value of a label. What is not NAME=VALUE ends the command."""
    name, equals, value = text.partition("=")
    if not equals:
        fail(f"a label is NAME=VALUE, not {text!r}", UNUSABLE)
    return name, value
