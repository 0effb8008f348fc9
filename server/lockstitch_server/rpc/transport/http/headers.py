"""Headers of HTTP as metadata of gRPC, and back."""

import base64
import binascii
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TypeAlias
from urllib.parse import quote

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.rpc.transport.http.asgi_types import Headers

Entries: TypeAlias = tuple[tuple[str, str | bytes], ...]
Named: TypeAlias = Mapping[bytes, bytes]
"""The headers of a request by their names, which are in lower case."""
BINARY = "-bin"
SINGLE = frozenset(
    {
        b"connect-content-encoding",
        b"connect-protocol-version",
        b"connect-timeout-ms",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"grpc-encoding",
        b"grpc-timeout",
        b"origin",
    }
)
"""Headers that decide how a request is read, or whether it is."""
UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
GRPC_TIMEOUT = re.compile(r"(\d{1,8})([HMSmun])")
CONNECT_VERSION = "1"
CONNECT_TIMEOUT = re.compile(r"\d{1,10}")
UNQUOTED = " !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"
"""Beside letters and digits, what stands in a grpc-message as it is: all that can be printed, except %."""


def by_name(headers: Headers) -> Named:
    """The first value of each header."""
    named = dict(headers)
    return named if len(named) == len(headers) else dict(reversed(headers))


def repeated(headers: Headers, named: Named) -> str:
    """A header that a request may have once and has twice; empty: there is none. named: the same by name.

    Somebody in between may go by the other one: what was checked there would not be what is done here.
    """
    if len(named) == len(headers):
        return ""
    counts = Counter(name for name, _ in headers)
    return next((name.decode() for name in counts if counts[name] > 1 and name in SINGLE), "")


def first(named: Named, name: bytes) -> str:
    """The value of a header; empty: it is not there."""
    return named.get(name, b"").decode("latin-1")


def metadata_of(headers: Headers) -> tuple[Entries, Failure | None]:
    """All headers as metadata, with binary entries decoded; and what is wrong with the first that is left out."""
    entries: list[tuple[str, str | bytes]] = []
    failure = None
    for key, value in headers:
        name = key.decode("latin-1")
        if not name.endswith(BINARY):
            entries.append((name, value.decode("latin-1")))
            continue
        try:
            entries += [(name, _unpacked(name, part)) for part in value.split(b",")]
        except Failure as error:
            failure = failure or error
    return tuple(entries), failure


def grpc_timeout(value: str) -> float | None:
    """The seconds that `grpc-timeout` grants; None: no limit. Fails with INVALID_FIELD."""
    if not value:
        return None
    if found := GRPC_TIMEOUT.fullmatch(value):
        return int(found[1]) * UNITS[found[2]]
    raise _invalid("grpc-timeout", "1 to 8 digits and one of the units H, M, S, m, u and n")


def connect_timeout(value: str) -> float | None:
    """The seconds that `connect-timeout-ms` grants; None: no limit. Fails with INVALID_FIELD."""
    if not value:
        return None
    if CONNECT_TIMEOUT.fullmatch(value):
        return int(value) / 1000
    raise _invalid("connect-timeout-ms", "1 to 10 digits")


def check_connect_version(value: str) -> None:
    """Fails with INVALID_FIELD for a version of Connect that is not served."""
    if value not in ("", CONNECT_VERSION):
        raise _invalid("connect-protocol-version", CONNECT_VERSION)


def percent_encoded(message: str) -> bytes:
    """A text as `grpc-message` has it."""
    return quote(message, safe=UNQUOTED, errors="replace").encode("ascii")


def binary(value: bytes) -> bytes:
    """The value of a binary entry, without padding, as gRPC has it."""
    return base64.b64encode(value).rstrip(b"=")


def peer_of(client: Iterable[object] | None) -> str:
    """The address at the other end, spelled as gRPC does."""
    if client is None:
        return "unix:"
    host, port = client
    text = str(host)
    return f"ipv6:%5B{text}%5D:{port}" if ":" in text else f"ipv4:{text}:{port}"


def _unpacked(name: str, value: bytes) -> bytes:
    value = value.strip()
    try:
        return base64.b64decode(value + b"=" * (-len(value) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _invalid(name, "base64, since its name ends in -bin") from error


def _invalid(name: str, rule: str) -> Failure:
    return Failure(Reason.INVALID_FIELD, f"{name}: this header must be {rule}", field=name)
