"""The addresses of this machine that a host's name stands for."""

import errno
import socket
from typing import Any

WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - names them, binds nothing
NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""Errors that say that this machine has no such address, as ::1 without IPv6."""


def places_of(host: str) -> list[tuple[socket.AddressFamily, tuple[Any, ...]]]:
    """Families and addresses as gRPC uses them: a wildcard is the one of IPv6, which includes IPv4's."""
    if host in WILDCARDS:
        return [(socket.AF_INET6, (WILDCARDS[1], 0)), (socket.AF_INET, (WILDCARDS[0], 0))]
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]
