"""What a client shows of itself, and to whom."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

import grpc

from lockstitch._target import is_local

AUTHORIZATION = "authorization"
TENANT = "lockstitch-tenant"

Pem = str | PathLike[str] | bytes
"""The name of a PEM file, or what it holds."""
Token = str | Callable[[], str]
"""A bearer key or token; or what gives the one of now, and is asked for every call: it should be quick."""
Metadata = tuple[tuple[str, str | bytes], ...]


@dataclass(frozen=True, slots=True)
class Tls:
    """An encrypted connection. Files are read when the client is made.

    ca: the roots that the server's certificate must come from; None: those that the system trusts.
    certificate, private_key: what the client shows of itself, where the server wants to see it (mTLS).
    server_name: the name in the server's certificate, where that is not the one in the target.
    """

    ca: Pem | None = None
    certificate: Pem | None = field(default=None, repr=False)
    private_key: Pem | None = field(default=None, repr=False)
    server_name: str = ""

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("certificate and private_key go together")

    def credentials(self) -> grpc.ChannelCredentials:
        """As gRPC has it. Raises OSError."""
        return grpc.ssl_channel_credentials(_pem(self.ca), _pem(self.private_key), _pem(self.certificate))


def _pem(value: Pem | None) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    return Path(value).read_bytes()


def bearer(token: str) -> str:
    """The value of a call's entry `authorization`. Raises ValueError, which does not show it."""
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError("a key is ASCII without spaces, and not empty")
    return f"Bearer {token}"


def shown(metadata: Sequence[tuple[str, str | bytes]], token: Token | None, tenant: str) -> Metadata:
    """The metadata that is the same in every call."""
    entries = tuple(metadata)
    if isinstance(token, str):
        entries = (*entries, (AUTHORIZATION, bearer(token)))
    return (*entries, (TENANT, tenant)) if tenant else entries


def check_secrecy(target: str, metadata: Metadata, token: Token | None) -> None:
    """Raises ValueError for a key that would be sent to another machine for all in between to read."""
    secret = token is not None or any(name.lower() == AUTHORIZATION for name, _ in metadata)
    if secret and not is_local(target):
        raise ValueError(
            f"a key would be sent to {target} unencrypted: use TLS (credentials=Tls()), or insecure=True where "
            "something else encrypts the connection"
        )
