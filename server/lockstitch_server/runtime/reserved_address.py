"""Reserves an address for several servers that share it: those of one process, or the workers of one supervisor."""

import errno
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from lockstitch_server.config import Settings
from lockstitch_server.runtime.places import NOT_HERE, WILDCARDS, places_of
from lockstitch_server.runtime.startup import StartupError


@contextmanager
def reserved_addresses(settings: Settings) -> Iterator[Settings]:
    """Hold all addresses of a server. Yields the settings, with the ports that were chosen. Raises StartupError.

    Of a Unix socket, only its directory is checked: what is there may be the socket of a server that has ended.
    """
    with ExitStack() as stack:
        held = {}
        for name in ("listen", "http_listen"):
            listen = getattr(settings, name)
            if listen.startswith("unix:"):
                _check_directory(listen)
            elif listen:
                held[name] = stack.enter_context(reserved(listen))
        yield settings.model_copy(update=held)


def _check_directory(listen: str) -> None:
    directory = Path(listen.removeprefix("unix:")).absolute().parent
    if not directory.is_dir():
        raise StartupError(f"cannot listen on {listen}: there is no directory {directory}; create it")
    if not os.access(directory, os.W_OK | os.X_OK):
        raise StartupError(f"cannot listen on {listen}: the directory {directory} cannot be written")


@contextmanager
def reserved(listen: str) -> Iterator[str]:
    """Hold `host:port`. Yields the address, with the port that was chosen for port 0. Raises StartupError."""
    host, _, port = listen.rpartition(":")
    with ExitStack() as sockets:
        try:
            number = _hold(host.strip("[]"), int(port), sockets)
        except OSError as error:
            why = "the port is in use" if error.errno == errno.EADDRINUSE else error.strerror
            raise StartupError(f"cannot listen on {listen}: {why}") from error
        yield f"{host}:{number}"


def _hold(host: str, port: int, sockets: ExitStack) -> int:
    """Hold a socket on each address of the host, all on one port. Returns the port."""
    places = places_of(host)
    held = 0
    for number, (family, address) in enumerate(places, 1):
        try:
            taken = sockets.enter_context(_held(family, (address[0], port, *address[2:])))
        except OSError as error:
            if error.errno not in NOT_HERE or (number == len(places) and not held):
                raise
        else:
            port, held = taken.getsockname()[1], held + 1
            if host in WILDCARDS:  # the first of the two stands for both
                break
    return port


def _held(family: socket.AddressFamily, address: tuple[Any, ...]) -> socket.socket:
    """A socket that is bound and never listens.

    It is bound without SO_REUSEPORT, which fails where another socket has the port. Then it shares the port with the
    sockets of the same user that have SO_REUSEPORT.
    """
    try:
        return _bound(family, address, over_ended=False)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
    return _bound(family, address, over_ended=True)


def _bound(family: socket.AddressFamily, address: tuple[Any, ...], *, over_ended: bool) -> socket.socket:
    """over_ended: bind also where connections that have ended have the port for a while (TIME_WAIT).

    The option for that, SO_REUSEADDR, lets two sockets bind at once, as long as none listens. So this one listens for a
    moment, which fails beside another that does. Only Linux ends that on request; elsewhere the two are not noticed.
    """
    held = socket.socket(family)
    try:
        if family == socket.AF_INET6 and address[0] == WILDCARDS[1]:
            held.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(over_ended))
        held.bind(address)
        if over_ended and sys.platform == "linux":
            held.listen(1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        if over_ended and sys.platform == "linux":
            held.shutdown(socket.SHUT_RDWR)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except BaseException:
        held.close()
        raise
    return held
