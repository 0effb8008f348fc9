"""Where a server is: the forms of an address that are accepted, and whether only this machine is there."""

import ipaddress
from collections.abc import Iterator

DEFAULT_PORT = 50051
URL_SCHEMES = ("http", "https", "grpc", "grpcs", "tcp", "ssl", "tls")
UNIX_SCHEMES = ("unix:", "unix-abstract:")
ADDRESS_SCHEMES = ("dns:", "ipv4:", "ipv6:")
OTHER_SCHEMES = ("vsock:", "xds:", "google-c2p:")
LARGEST_PORT = 65535


def check_target(target: str) -> None:
    """Raises ValueError for an address that gRPC would complete by guessing: a URL, or one without a port."""
    if not target:
        raise ValueError(f'target is empty: write host:port, such as "127.0.0.1:{DEFAULT_PORT}"')
    scheme, separator, rest = target.partition("://")
    if separator and scheme.lower() in URL_SCHEMES:
        encryption = "; for TLS pass credentials=Tls()" if scheme.lower() in ("https", "grpcs", "ssl", "tls") else ""
        raise ValueError(f'target "{target}" is a URL: write host:port, such as "{_with_port(rest)}"{encryption}')
    if not target.startswith((*UNIX_SCHEMES, *OTHER_SCHEMES)) and (target.startswith("dns:") or not separator):
        for address in _addresses(target):
            _check_port(target, address)


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
