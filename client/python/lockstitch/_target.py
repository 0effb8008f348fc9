"""Where a server is: the forms of an address that are accepted, and whether only this machine is there."""

import ipaddress
from collections.abc import Iterator
from typing import NamedTuple

DEFAULT_PORT = 50051
HTTP, HTTPS = "http", "https"
OTHER_URL_SCHEMES = ("grpc", "grpcs", "tcp", "ssl", "tls")
UNIX_SCHEMES = ("unix:", "unix-abstract:")
ADDRESS_SCHEMES = ("dns:", "ipv4:", "ipv6:")
OTHER_SCHEMES = ("vsock:", "xds:", "google-c2p:")
LARGEST_PORT = 65535


class Address(NamedTuple):
    """An address that gRPC takes as it is.

    encrypted: what a URL says of TLS; None: the target is no URL.
    """

    target: str
    encrypted: bool | None = None


def parse_target(target: str, *, has_credentials: bool = False) -> Address:
    """Raises ValueError for an address that gRPC would complete by guessing, such as one without a port, and for a URL
    that contradicts the credentials."""
    if not target:
        raise ValueError(f'target is empty: write host:port, such as "127.0.0.1:{DEFAULT_PORT}"')
    scheme, separator, rest = target.partition("://")
    scheme = scheme.lower()
    if separator and scheme in (HTTP, HTTPS):
        return _parse_url(target, scheme, rest, has_credentials)
    if separator and scheme in OTHER_URL_SCHEMES:
        address = _with_port(rest)
        raise ValueError(f'target "{target}" has an unknown scheme: write "{address}", or "https://{address}" for TLS')
    if not target.startswith((*UNIX_SCHEMES, *OTHER_SCHEMES)) and (target.startswith("dns:") or not separator):
        for address in _addresses(target):
            _check_port(target, address)
    return Address(target)


def _parse_url(target: str, scheme: str, rest: str, has_credentials: bool) -> Address:
    address = rest.removesuffix("/")
    if "@" in address:
        raise ValueError(f"target is a URL with a user name: write {scheme}://host:port, and pass key=")
    if any(end in address for end in "/?#,"):
        raise ValueError(f'target "{target}" has more than host and port: write "{scheme}://{_with_port(address)}"')
    _check_port(target, address)
    if scheme == HTTP and has_credentials:
        raise ValueError(f'target "{target}" is not encrypted, but there are credentials: write "https://{address}"')
    return Address(address, encrypted=scheme == HTTPS)


def is_local(target: str) -> bool:
    """Whether only this machine is at a target."""
    if target.startswith(UNIX_SCHEMES):
        return True
    return all(map(_is_loopback, _addresses(target)))


def _addresses(target: str) -> Iterator[str]:
    address = target.rpartition("/")[2]
    for scheme in ADDRESS_SCHEMES:
        address = address.removeprefix(scheme)
    yield from address.split(",")


def _check_port(target: str, address: str) -> None:
    host, separator, port = address.rpartition(":")
    bare_ipv6 = ":" in host and not host.startswith("[")
    if not separator or bare_ipv6 or address.endswith("]"):
        raise ValueError(f'target "{target}" has no port: write host:port, such as "{_with_port(address)}"')
    if not (port.isascii() and port.isdecimal() and 0 < int(port) <= LARGEST_PORT):
        raise ValueError(f'target "{target}": the port is a number from 1 to {LARGEST_PORT}, not "{port}"')
    if not host:
        raise ValueError(f'target "{target}" has no host: write host:port, such as "127.0.0.1:{port}"')


def _with_port(rest: str) -> str:
    """The address that the caller has probably meant."""
    address = rest.partition("/")[0]
    if address.count(":") > 1 and not address.startswith("["):
        address = f"[{address}]"
    host, _, port = address.rpartition(":")
    return address if host and port.isdecimal() else f"{address.rstrip(':') or 'localhost'}:{DEFAULT_PORT}"


def _is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]") if ":" in address else address
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
