"""The channel that calls use now, and whether anything comes over it."""

import time
from typing import Generic, TypeVar

import grpc

from lockstitch._errors import LockstitchError, Unavailable, from_rpc_error

C = TypeVar("C")

RENEW_SECONDS = 3.0
"""A channel is replaced at most this often: a server that is busy for a moment is not called again and again."""


class Link(Generic[C]):
    """A channel.

    calls: the channel to make calls on: the same, or one with interceptors in front of it.
    heard: the latest moment when a response came, by the monotonic clock; at first, when the channel was opened.
    replaced: whether another channel has taken its place, because nothing came over this one.
    """

    def __init__(self, channel: C, calls: C | None = None) -> None:
        self.channel = channel
        self.calls = calls or channel
        self.opened = self.heard = time.monotonic()
        self.replaced = False

    def hear(self) -> None:
        """A response came."""
        self.heard = time.monotonic()

    def is_silent(self, seconds: float) -> bool:
        """Whether nothing has come for this long, and the channel is old enough to be replaced."""
        now = time.monotonic()
        return now - self.heard >= seconds and now - self.opened >= min(seconds, RENEW_SECONDS)

    def error(self, error: grpc.RpcError, *, closed: bool) -> LockstitchError:
        """The exception for a call that failed on this channel."""
        if self.replaced and not closed and error.code() is grpc.StatusCode.CANCELLED:
            return silent()
        made = from_rpc_error(error, closed=closed)
        if made.reason:  # only a server gives one
            self.hear()
        return made


def silent() -> Unavailable:
    """The exception for calls on a channel that was replaced. They can be repeated on the next one."""
    return Unavailable("nothing came over the connection", code=grpc.StatusCode.UNAVAILABLE)


def options(given: list[tuple[str, object]], number: int) -> list[tuple[str, object]]:
    """Options of the channel that replaces `number` others. Channels with the same options share connections."""
    return [*given, ("lockstitch.channel", number)] if number else given
