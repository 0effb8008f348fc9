"""Messages as protocols carry them: protobuf, or JSON as protobuf defines it."""

import json
import re
from functools import partial
from typing import Protocol

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import EncodeError
from google.protobuf.message_factory import GetMessageClass

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.rpc.fair_threads import FairThreads
from lockstitch_server.rpc.field_count import FieldCounter
from lockstitch_server.rpc.transport.http.body import SizeLimit
from lockstitch_server.rpc.transport.unpacking import GZIP, unpack

INLINE_JSON_BYTES = 8 * 1024
"""JSON up to this size is parsed at once; longer JSON in a thread. So is the JSON of responses."""
JSON = json.JSONEncoder(separators=(",", ":"))
MAX_JSON_DEPTH = 100
"""How deep objects and lists may be nested, as in protobuf's own parsers."""
THREADS = 2
STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
"""A string, or one without an end. Possessive, so that it takes linear time."""
NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
JSON_SPACE = b" \t\r\n"
OPENING = frozenset(b"[{")
PARSE_ERRORS = (json_format.ParseError, ValueError, TypeError, AttributeError, KeyError, RecursionError, EncodeError)
"""What protobuf's parser raises for JSON that is no such message."""
MAX_VALUES = "http.max_json_values"
USE_PROTOBUF = "use protobuf, such as application/proto, or smaller states and pages, or fewer channels"
MAX_REASON = 300
"""Characters of the parser's own words in an error."""


class Codec(Protocol):
    """Reads and writes messages in one format.

    name: the subtype of media types, such as `json`.
    weight: bytes of memory that each byte of a response may take until it is in this format.
    """

    name: str
    weight: int

    def limit(self, messages: SizeLimit) -> SizeLimit:
        """Bytes that a message of a request may have here, given what it may have in protobuf."""
        ...

    async def decode(self, kind: Descriptor, data: bytes, limit: SizeLimit, tenant: str) -> bytes:
        """A message of a request in protobuf, still packed if it is. Fails with INVALID_FIELD, TOO_LARGE.

        limit: bytes that it may have in this format when unpacked. tenant: whose turn it takes where others wait, too.
        """
        ...

    async def encode(self, kind: Descriptor, message: bytes, tenant: str) -> bytes:
        """A message of a response in this format. Fails with TOO_LARGE."""
        ...


class ProtoCodec:
    """Protobuf: messages are passed on as they are."""

    name = "proto"
    weight = 1

    def limit(self, messages: SizeLimit) -> SizeLimit:
        return messages

    async def decode(self, kind: Descriptor, data: bytes, limit: SizeLimit, tenant: str) -> bytes:
        return data

    async def encode(self, kind: Descriptor, message: bytes, tenant: str) -> bytes:
        return message


class JsonCodec:
    """Protobuf's JSON: names in lowerCamelCase or as in the contract, 64-bit integers as texts, bytes as base64.

    Fields that the contract does not have are refused: a misspelled one must not be dropped without a word.
    """

    name = "json"
    weight = 6
    """A message, its values (texts may take several bytes for each of theirs), their JSON, and all of it in one."""

    def __init__(self, limit: SizeLimit, max_values: int, responses: SizeLimit) -> None:
        """limit: of a request's JSON. max_values: values of all objects and lists that a message may have.

        responses: the limit of a response's message in protobuf.
        """
        self._fields = FieldCounter(max_values, MAX_VALUES)
        self._limit = limit
        self._responses = responses
        self._max_values = max_values
        self._threads = FairThreads(THREADS, 1, "lockstitch-json")

    def limit(self, messages: SizeLimit) -> SizeLimit:
        return min(messages, self._limit, key=lambda limit: limit.bytes)

    async def decode(self, kind: Descriptor, data: bytes, limit: SizeLimit, tenant: str) -> bytes:
        decode = partial(self._decode, limit, kind, data)
        is_short = len(data) <= INLINE_JSON_BYTES and not data.startswith(GZIP)
        return decode() if is_short else await self._threads.run(tenant, decode)

    async def encode(self, kind: Descriptor, message: bytes, tenant: str) -> bytes:
        if len(message) > self._responses.bytes:
            raise _long_response(len(message), self._responses)
        if len(message) <= INLINE_JSON_BYTES:
            return _to_json(kind, message)
        return await self._threads.run(tenant, partial(self._encode, kind, message))

    def _encode(self, kind: Descriptor, message: bytes) -> bytes:
        _check_fields(self._fields, kind, message)
        return _to_json(kind, message)

    def _decode(self, limit: SizeLimit, kind: Descriptor, data: bytes) -> bytes:
        if data.startswith(GZIP):
            data = unpack(data, limit.bytes, limit.named)
        check_json(data, self._max_values)
        if not data.lstrip(JSON_SPACE).startswith(b"{"):  # protobuf's parser takes an empty list for an empty message
            raise _not_json("it is no object")
        message = GetMessageClass(kind)()
        try:
            json_format.Parse(data, message, max_recursion_depth=MAX_JSON_DEPTH)
            return message.SerializeToString()
        except PARSE_ERRORS as error:
            reason = str(error)[:MAX_REASON]
        # Outside of `except`: the failure would otherwise keep the parser's frames, and all that they have parsed.
        raise _not_json(reason.encode(errors="backslashreplace").decode())


def _check_fields(counter: FieldCounter, kind: Descriptor, message: bytes) -> None:
    """Fails with TOO_LARGE for a response that takes long to make, since it has many values."""
    try:
        counter.check(kind, message)
    except Failure:
        most = counter.most
        raise Failure(
            Reason.TOO_LARGE,
            f"response: has more than {most} values; the limit for JSON is {most} ({MAX_VALUES}); {USE_PROTOBUF}",
            field="response",
            limit=most,
        ) from None


def check_json(data: bytes, max_values: int) -> None:
    """Make sure that JSON can be parsed at little cost. Fails with INVALID_FIELD."""
    outline = STRING.sub(b"", data)
    values = outline.count(b",") + outline.count(b"{") + outline.count(b"[")
    if values > max_values:
        raise Failure(
            Reason.INVALID_FIELD,
            f"request: the JSON has more than {max_values} values; that is the limit ({MAX_VALUES}); {USE_PROTOBUF}",
            field="request",
            limit=max_values,
        )
    depth = 0
    for bracket in outline.translate(None, NOT_BRACKETS):
        depth += 1 if bracket in OPENING else -1
        if depth > MAX_JSON_DEPTH:
            raise _not_json(f"it is nested deeper than {MAX_JSON_DEPTH} levels")


def _to_json(kind: Descriptor, message: bytes) -> bytes:
    """No step keeps what the step before it has made: each of them may be larger than the message."""
    return JSON.encode(json_format.MessageToDict(GetMessageClass(kind).FromString(message))).encode()


def _long_response(size: int, limit: SizeLimit) -> Failure:
    return Failure(
        Reason.TOO_LARGE,
        f"response: has {size} bytes; the limit for JSON is {limit.bytes} bytes ({limit.named}); {USE_PROTOBUF}",
        field="response",
        size=size,
        limit=limit.bytes,
    )


def _not_json(why: str) -> Failure:
    return Failure(Reason.INVALID_FIELD, f"request: is not the JSON of this message: {why}", field="request")
