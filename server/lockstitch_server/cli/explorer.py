"""The command `ui`: the session explorer."""

import secrets
import socket
from collections.abc import Sequence
from typing import Annotated

import typer

from lockstitch_server.cli.connection import Connection, connecting
from lockstitch_server.cli.output import UNUSABLE, fail

INSTALL = "the session explorer needs packages of its own: pip install 'lockstitch[cli,ui]'"


@connecting(timeout=30.0)
def ui(
    connection: Connection,
    listen: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where browsers reach it: host:port.")
    ] = "127.0.0.1:8233",
    allow_changes: Annotated[
        bool, typer.Option("--allow-changes", help="Let pages fork, edit, rewind, prune, label and delete sessions.")
    ] = False,
    listen_certificate: Annotated[
        str, typer.Option(metavar="FILE", help="The explorer's own certificate, to serve https.")
    ] = "",
    listen_private_key: Annotated[str, typer.Option(metavar="FILE", help="Its private key.")] = "",
    host_name: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A name that browsers reach it by, as behind a proxy. Can be repeated."),
    ] = None,
    trace_url: Annotated[
        str, typer.Option(metavar="URL", help="Where traces can be looked at, with {trace_id} in it.")
    ] = "",
) -> None:
    """Show sessions in a browser: their status, messages, state and history.

    Read-only without --allow-changes. Other machines need --listen-certificate or --insecure, and log in with a key of
    the server's. With --key, the command prints a link that logs in with that key.
    """
    try:
        from lockstitch_ui.serving import Listen, ListenInvalid, create_server
    except ModuleNotFoundError as error:
        if (error.name or "").startswith(("lockstitch_ui", "lockstitch.")):
            raise
        fail(INSTALL, UNUSABLE)
    from lockstitch_ui.settings import ExplorerSettings

    if trace_url and (trace_url.count("{trace_id}") != 1 or not trace_url.startswith(("http://", "https://"))):
        fail("--trace-url takes a URL with {trace_id} in it, such as https://jaeger.example/trace/{trace_id}", UNUSABLE)
    arguments = connection.arguments()
    address = Listen(listen, listen_certificate, listen_private_key)
    public = not address.is_loopback or bool(host_name)
    try:
        address.check(connection.insecure)
        listening = address.bind()
    except ListenInvalid as error:
        fail(str(error).replace("set a certificate and its private key", "set --listen-certificate"), UNUSABLE)
    port = listening.getsockname()[1]
    settings = ExplorerSettings(
        **{**arguments, "key": arguments["key"] or ""},
        ticket=secrets.token_urlsafe(24) if connection.key or connection.certificate else "",
        public=public,
        open_to_all=connection.insecure,
        secure=bool(listen_certificate),
        host_names=host_names(address.host, public, host_name or (), secure=bool(listen_certificate)),
        port=port,
        allow_changes=allow_changes,
        trace_url=trace_url,
    )
    path = f"/open/{settings.ticket}" if settings.ticket else ""
    lines = f"The sessions of {connection.target} are at {address.url(port)}{path}\n(CTRL+C ends it)"
    create_server(settings, address, lambda: typer.echo(lines)).run(sockets=[listening])


def host_names(host: str, public: bool, further: Sequence[str], *, secure: bool) -> frozenset[str]:
    """The names in Host headers that are answered, besides IP addresses; none: all. These stop DNS rebinding.

    Over TLS the certificate does: it is for no name of another site.
    """
    if public and secure and not further:
        return frozenset()
    own = {"localhost", host, *further}
    if public:
        machine = socket.gethostname()
        own |= {machine, machine.partition(".")[0]}
    return frozenset(name.lower() for name in own if name)
