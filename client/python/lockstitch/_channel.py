"""How a channel is set up: retries, limits and keepalive, as gRPC's own options."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc

from lockstitch._errors import Unauthenticated
from lockstitch._limiter import InFlightPolicy
from lockstitch._security import AUTHORIZATION, Metadata, Tls, bearer
from lockstitch._target import is_local
from lockstitch._tls_faults import Finding, find_tls_fault

# A name with many addresses is many replicas: spread the calls, leave out those that cannot be reached. Calls are
# repeated by `Caller`, whose errors name the cause.
SERVICE_CONFIG = json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})

Options = Sequence[tuple[str, Any]]

CONNECT_TIMEOUT = 1.5
"""Seconds. A connection over the slowest networks takes less; a wrong address is noticed before anybody wonders."""
PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")
"""Variables that have gRPC connect by a proxy."""
NO_LIMIT = -1
INT_MAX = 2**31 - 1


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How calls are repeated that ended with UNAVAILABLE, until their deadline. Every call can be repeated safely.

    Calls that a stopping server has reset count as such, too.

    initial_backoff, max_backoff: the first and the longest wait between attempts, in seconds, plus or minus 20%.
    multiplier: how much longer each wait is than the one before.

    Once a client has been connected, calls that find no connection wait for one. Before that, `connect_timeout` holds.
    """

    initial_backoff: float = 0.1
    max_backoff: float = 2.0
    multiplier: float = 3.0

    def __post_init__(self) -> None:
        if min(self.initial_backoff, self.max_backoff, self.multiplier) <= 0:
            raise ValueError("initial_backoff, max_backoff and multiplier must be above 0")


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """All that is needed to open a channel, and what goes with every call.

    stream: whether saves may share streams.
    connect_timeout: seconds that calls wait for a connection until there has been one.
    token: gives the bearer key of now, where it is not always the same.
    in_flight: how many saves may be under way.
    interceptors: gRPC's, of the kind that the channel takes; the first is the outermost.
    tls: what the credentials are made of; None: nothing is known of them, or there are none.
    """

    target: str
    credentials: grpc.ChannelCredentials | None
    metadata: Metadata = field(repr=False)  # it may hold a key
    retry: RetryPolicy | None
    options: Options
    stream: bool = True
    connect_timeout: float = CONNECT_TIMEOUT
    token: Callable[[], str] | None = None
    in_flight: InFlightPolicy = field(default_factory=InFlightPolicy)
    interceptors: Sequence[Any] = ()
    tls: Tls | None = None

    def call_metadata(self) -> Metadata:
        """What goes with a call. Raises Unauthenticated when there is no key to be had."""
        if self.token is None:
            return self.metadata
        try:
            return (*self.metadata, (AUTHORIZATION, bearer(self.token())))
        except Exception as error:
            raise Unauthenticated(f"no key: {error}", code=grpc.StatusCode.UNAUTHENTICATED) from error

    def find_tls_fault(self) -> Finding | None:
        """What is wrong with TLS, if that is why there is no connection. Blocks for seconds."""
        if not is_local(self.target) and any(map(os.environ.get, PROXIES)):
            return None  # gRPC has connected to a proxy
        return find_tls_fault(self.target, self.tls, encrypted=self.credentials is not None)

    @property
    def all_options(self) -> list[tuple[str, Any]]:
        """gRPC's channel options; those of the caller come last and win."""
        return list({**_defaults(is_local(self.target)), **dict(self.options)}.items())


def _defaults(local: bool) -> dict[str, Any]:
    return {
        "grpc.service_config": SERVICE_CONFIG,
        # A proxy (http_proxy) cannot reach what is on this machine only.
        "grpc.enable_http_proxy": 0 if local else 1,
        # What the server has accepted can be read back, whatever its limit; what it does not accept it answers clearly.
        "grpc.max_receive_message_length": NO_LIMIT,
        "grpc.max_send_message_length": NO_LIMIT,
        # gRPC sends a request again that has never left this machine, if it is no larger than this (else 256 KiB).
        "grpc.per_rpc_retry_buffer_size": INT_MAX,
        # A name whose address does not answer is looked up again, 30 s later unless told. Servers move.
        "grpc.dns_min_time_between_resolutions_ms": 500,
        # gRPC waits up to two minutes between attempts to connect; a server that restarts is back in seconds.
        "grpc.initial_reconnect_backoff_ms": 100,
        "grpc.min_reconnect_backoff_ms": 3_000,  # in truth: how long one attempt may take
        "grpc.max_reconnect_backoff_ms": 1_000,
        # A peer that has vanished is given up when it has not acknowledged what was sent for 10 s (TCP_USER_TIMEOUT,
        # which gRPC sets to this timeout), or has not answered a ping. Servers allow a ping every 10 s. Calls that run
        # out of time find silent connections earlier.
        "grpc.keepalive_time_ms": 30_000,
        "grpc.keepalive_timeout_ms": 10_000,
    }
