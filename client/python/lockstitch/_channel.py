"""How a channel is set up: retries, limits and keepalive, as gRPC's own options."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc

from lockstitch._errors import Unauthenticated
from lockstitch._rpcs import SERVICE
from lockstitch._security import AUTHORIZATION, Metadata, bearer

Options = Sequence[tuple[str, Any]]

NO_LIMIT = -1
INT_MAX = 2**31 - 1
GRPC_ATTEMPTS = 5
"""gRPC's own maximum; when they are used up, `Caller` begins another round."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How calls are repeated that ended with UNAVAILABLE, until their deadline. Every call can be repeated safely.

    So are calls that the server has cancelled, a few times.

    initial_backoff, max_backoff: the first and the longest wait between attempts, in seconds, give or take 20%.
    multiplier: how much longer each wait is than the one before.

    While there is no connection at all, calls wait for one, and go out as soon as there is.
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
    token: gives the bearer key of now, where it is not always the same.
    """

    target: str
    credentials: grpc.ChannelCredentials | None
    metadata: Metadata = field(repr=False)  # it may hold a key
    retry: RetryPolicy | None
    options: Options
    stream: bool = True
    token: Callable[[], str] | None = None

    def call_metadata(self) -> Metadata:
        """What goes with a call. Raises Unauthenticated when there is no key to be had."""
        if self.token is None:
            return self.metadata
        try:
            return (*self.metadata, (AUTHORIZATION, bearer(self.token())))
        except Exception as error:
            raise Unauthenticated(f"no key: {error}", code=grpc.StatusCode.UNAUTHENTICATED) from error

    @property
    def all_options(self) -> list[tuple[str, Any]]:
        """gRPC's channel options; those of the caller come last and win."""
        return list({**_defaults(self.retry), **dict(self.options)}.items())


def _defaults(retry: RetryPolicy | None) -> dict[str, Any]:
    return {
        "grpc.service_config": json.dumps(_service_config(retry)),
        # What the server has accepted can be read back, whatever its limit; what it does not accept it answers clearly.
        "grpc.max_receive_message_length": NO_LIMIT,
        "grpc.max_send_message_length": NO_LIMIT,
        # A request over this size (256 KiB unless told) is never retried.
        "grpc.per_rpc_retry_buffer_size": INT_MAX,
        # gRPC waits up to two minutes between attempts to connect; a server that restarts is back in seconds.
        "grpc.initial_reconnect_backoff_ms": 100,
        "grpc.min_reconnect_backoff_ms": 5_000,  # in truth: how long one attempt may take
        "grpc.max_reconnect_backoff_ms": 1_000,
        # A peer that has vanished without a word is given up when it has not acknowledged what was sent for 10 s: with
        # keepalive on, gRPC sets TCP_USER_TIMEOUT to its timeout. The pings as such are of no use to calls with
        # deadlines, and servers end connections that ping more often than every five minutes.
        "grpc.keepalive_time_ms": 360_000,
        "grpc.keepalive_timeout_ms": 10_000,
    }


def _service_config(retry: RetryPolicy | None) -> dict[str, Any]:
    method: dict[str, Any] = {"name": [{"service": SERVICE}]}
    if retry is not None:
        method["retryPolicy"] = {
            "maxAttempts": GRPC_ATTEMPTS,
            "initialBackoff": f"{retry.initial_backoff:.9f}s",
            "maxBackoff": f"{retry.max_backoff:.9f}s",
            "backoffMultiplier": retry.multiplier,
            # CANCELLED, where nobody here has cancelled: a server that stops has reset what it had not begun.
            "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
        }
    # A name with many addresses is many replicas: spread the calls, leave out those that cannot be reached.
    # Streams of saves are not gRPC's to repeat: a lane knows which of their saves have been answered.
    streams = {"name": [{"service": SERVICE, "method": "SaveStream"}]}
    return {"loadBalancingConfig": [{"round_robin": {}}], "methodConfig": [method, streams]}
