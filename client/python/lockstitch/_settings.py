"""From what a client is made with to what its channel needs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import grpc

from lockstitch._channel import ChannelSettings, Options, RetryPolicy
from lockstitch._security import Tls, Token, check_secrecy, shown
from lockstitch._target import parse_target

NAME_OPTION = "grpc.ssl_target_name_override"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client shows of itself; see `AsyncClient`."""

    credentials: grpc.ChannelCredentials | Tls | None
    key: Token | None
    tenant: str
    insecure: bool
    metadata: Sequence[tuple[str, str | bytes]]


def channel_settings(
    target: str, caller: Credentials, retry: RetryPolicy | bool, stream: bool, connect_timeout: float, options: Options
) -> ChannelSettings:
    """Raises ValueError for a target that is no address, and for a key that is malformed or that others could read;
    OSError for files of TLS."""
    address = parse_target(target, has_credentials=caller.credentials is not None)
    if connect_timeout <= 0:
        raise ValueError(f"connect_timeout is in seconds, above 0, not {connect_timeout}")
    metadata = shown(caller.metadata, caller.key, caller.tenant)
    credentials = Tls() if address.encrypted and caller.credentials is None else caller.credentials
    if credentials is None and not caller.insecure:
        check_secrecy(address.target, metadata, caller.key)
    tls = None
    if isinstance(credentials, Tls):
        if credentials.server_name:
            options = ((NAME_OPTION, credentials.server_name), *options)
        tls = replace(credentials, server_name=dict(options).get(NAME_OPTION, ""))
        credentials = credentials.credentials()
    policy = RetryPolicy() if retry is True else retry or None
    token = caller.key if callable(caller.key) else None
    return ChannelSettings(
        address.target, credentials, metadata, policy, tuple(options), stream, connect_timeout, token, tls=tls
    )
