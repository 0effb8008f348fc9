"""The sockets that the HTTP door listens at."""

import errno
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from lockstitch_server.config import Settings
from lockstitch_server.runtime.places import NOT_HERE, WILDCARDS, places_of
from lockstitch_server.runtime.startup import StartupError

BACKLOG = 1024
LARGEST = 2**31 - 1
UNSENT_BYTES = 128 * 1024
"""Bytes of a connection that the kernel holds beside those that are on their way."""
KEEPALIVE_PROBES = 3
"""Probes without an answer after which the kernel closes a connection."""


@contextmanager
def http_sockets(settings: Settings, *, shared: bool) -> Iterator[tuple[str, list[socket.socket]]]:
    """Listen on `http_listen`. Yields the address, with the port that was chosen for port 0. Raises StartupError.

    shared: whether other workers listen there, too.
    """
    listen = settings.http_listen
    with ExitStack() as stack:
        try:
            if listen.startswith("unix:"):
                address, sockets = listen, [_unix(listen.removeprefix("unix:"), stack)]
            else:
                address, sockets = _tcp(listen, stack, shared=shared)
            for each in sockets:
                _set_options(each, settings)
                each.listen(BACKLOG)  # fails where a server that has started at the same time was quicker
                each.setblocking(False)
        except OSError as error:
            why = "the port is in use" if error.errno == errno.EADDRINUSE else error.strerror
            raise StartupError(f"cannot listen on {listen} (http_listen): {why}") from error
        yield address, sockets


def _unix(path: str, stack: ExitStack) -> socket.socket:
    with suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.stat(path).st_mode):  # of a server that has ended without removing it
            os.unlink(path)
    bound = stack.enter_context(socket.socket(socket.AF_UNIX))
    bound.bind(path)
    stack.callback(_remove, path, os.stat(path).st_ino)
    return bound


def _remove(path: str, inode: int) -> None:
    """Remove a socket's file, unless another server's has taken its place."""
    with suppress(FileNotFoundError):
        if os.stat(path).st_ino == inode:
            os.unlink(path)


def _tcp(listen: str, stack: ExitStack, *, shared: bool) -> tuple[str, list[socket.socket]]:
    """A socket on each address of the host, all on one port."""
    host, _, text = listen.rpartition(":")
    port = int(text)
    sockets: list[socket.socket] = []
    places = places_of(host.strip("[]"))
    for number, (family, address) in enumerate(places, 1):
        bound = stack.enter_context(socket.socket(family))
        try:
            _bind(bound, (address[0], port, *address[2:]), shared=shared)
        except OSError as error:
            if error.errno not in NOT_HERE or (number == len(places) and not sockets):
                raise
            continue
        port = bound.getsockname()[1]
        sockets.append(bound)
        if address[0] in WILDCARDS:  # the first of the two stands for both
            break
    return f"{host}:{port}", sockets


def _bind(bound: socket.socket, address: tuple[str | int, ...], *, shared: bool) -> None:
    if bound.family == socket.AF_INET6 and address[0] == WILDCARDS[1]:
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind(address)


def _set_options(bound: socket.socket, settings: Settings) -> None:
    """Let the kernel close connections of clients that are gone or read nothing. Connections inherit these options."""
    if bound.family == socket.AF_UNIX:
        return
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # It replaces the number of probes below, so it must not end before they do.
        probed = settings.keepalive_seconds + settings.keepalive_timeout_seconds
        stalled = max(settings.http.stall_seconds, probed)
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, min(LARGEST, round(stalled * 1000)))
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        between = max(1, round(settings.keepalive_timeout_seconds / KEEPALIVE_PROBES))
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, min(32_767, round(settings.keepalive_seconds)))
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, min(32_767, between))
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)
