"""The program of the explorer beside a server.

Its standard input brings a line of JSON, an `Order`, and then nothing. The end of it tells the program to stop: it
comes when the server stops, and when the server's process is no more. To standard output goes a line: `ready`, or what
keeps the explorer from starting.
"""

import json
import os
import sys
import threading
from collections.abc import Callable
from typing import TypedDict

READY = "ready"
CANNOT_START = 2
INSTALL = "the session explorer needs packages of its own: pip install 'lockstitch[server,ui]'"


class Order(TypedDict):
    """What to show, where, and how to reach the server. "": none."""

    target: str
    ca: str
    certificate: str
    private_key: str
    server_name: str
    listen: str
    listen_certificate: str
    listen_private_key: str
    insecure: bool
    allow_changes: bool
    trace_url: str
    host_names: list[str]


def main() -> None:
    """Serve until standard input ends."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    line = sys.stdin.buffer.readline()
    if not line:
        return
    try:
        _serve(json.loads(line))
    except _NotStarted as error:
        print(str(error), flush=True)
        sys.exit(CANNOT_START)


class _NotStarted(Exception):
    """The message is one line for operators."""


def _serve(order: Order) -> None:
    try:
        from lockstitch_ui.serving import Listen, ListenInvalid, create_server
    except ModuleNotFoundError as error:
        raise _NotStarted(INSTALL) from error
    from lockstitch import Tls
    from lockstitch_server.cli.explorer import host_names
    from lockstitch_ui.settings import ExplorerSettings

    address = Listen(order["listen"], order["listen_certificate"], order["listen_private_key"])
    try:
        address.check(order["insecure"])
        listening = address.bind()
    except ListenInvalid as error:
        raise _NotStarted(str(error)) from error
    encryption = None
    if order["ca"]:
        shown = (order["certificate"] or None, order["private_key"] or None)
        encryption = Tls(order["ca"], *shown, order["server_name"])
    public = not address.is_loopback or bool(order["host_names"])
    settings = ExplorerSettings(
        target=order["target"],
        credentials=encryption,
        insecure=order["insecure"],
        public=public,
        open_to_all=order["insecure"],
        secure=bool(order["listen_certificate"]),
        host_names=host_names(address.host, public, order["host_names"], secure=bool(order["listen_certificate"])),
        port=listening.getsockname()[1],
        allow_changes=order["allow_changes"],
        trace_url=order["trace_url"],
    )
    server = create_server(settings, address, lambda: print(READY, flush=True))
    threading.Thread(target=_stop_at_end_of_input, args=(server.stop,), daemon=True).start()
    server.run(sockets=[listening])


def _stop_at_end_of_input(stop: Callable[[], None]) -> None:
    while sys.stdin.buffer.read(1024):
        pass
    stop()


if __name__ == "__main__":
    main()
