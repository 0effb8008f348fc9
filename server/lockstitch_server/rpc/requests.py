"""From bytes to requests that keep to the rules."""

from collections.abc import Callable
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from lockstitch_server.config import Limits
from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.rpc.projection import not_a_message
from lockstitch_server.validation import Validator

M = TypeVar("M", bound=Message)


class Requests:
    """Reads requests, with an operator's limits."""

    def __init__(self, limits: Limits) -> None:
        self._max_bytes = limits.max_message_bytes
        self._query_limit = limits.query
        self.check: Callable[[Message], None] = Validator(limits).check
        """Fails with INVALID_FIELD, NOT_JSON or DELTA_MISMATCH, naming the field and the limit."""

    def read(self, kind: type[M], data: bytes) -> M:
        """A request of a kind. Fails with TOO_LARGE, INVALID_FIELD, NOT_JSON."""
        self.check_size(len(data))
        request = self.parse(kind, data)
        self.check(request)
        return request

    def check_size(self, size: int, most: int | None = None) -> None:
        """Fails with TOO_LARGE.

        most: how many bytes a request may have, if not as many as any message.
        """
        if size > (most or self._max_bytes):
            raise too_large(size, self._max_bytes, "max_message_bytes")

    def check_query_size(self, size: int) -> None:
        """Fails with TOO_LARGE."""
        most, name = self._query_limit
        if size > most:
            raise too_large(size, most, name)

    def parse(self, kind: type[M], data: bytes) -> M:
        """A message that may be anything. Fails with INVALID_FIELD where it is none."""
        try:
            return kind.FromString(data)
        except DecodeError as error:
            raise not_a_message(kind.DESCRIPTOR.name) from error


def too_large(size: int, limit: int, name: str) -> Failure:
    """The failure of a request that has more bytes than its limit. name: the setting that says so."""
    return Failure(
        Reason.TOO_LARGE,
        f"request: has {size} bytes; the limit is {limit} bytes ({name})",
        field="request",
        limit=limit,
        size=size,
    )
