"""Page sizes and page tokens, as AIP-158 has them.

A token is input like any field of a request: anybody can make one with this program. Its digest finds mistakes, such
as a token of another list, and protects nothing. So its position is checked as ids and numbers of requests are. It
moves within what the query finds; the tenant and the filters come from the request alone. Any server can read it.
"""

import base64
import binascii
import struct

from google.protobuf.message import DecodeError, Message

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.ids import DIGEST_BYTES, digest
from lockstitch_server.core.sessions.events import WatchCursor
from lockstitch_server.records.v1.record_pb2 import PageToken
from lockstitch_server.validation.explain import is_id

SEEN = struct.Struct(">qq")
MAX_TOKEN = 4096
"""Characters. The longest token has an id, a namespace, a key, a time and a digest: below 3,000."""
MAX_ID = 1024
"""Bytes that settings allow an id or a namespace at most."""


def page_size(asked: int, default: int, most: int) -> int:
    """How many items a page has."""
    return min(asked or default, most)


def fingerprint(request: Message, tenant: str) -> bytes:
    """What a token is bound to: the list and its filters, not the page."""
    same = type(request)()
    same.CopyFrom(request)
    same.ClearField("page_size")
    same.ClearField("page_token")
    name = request.DESCRIPTOR.full_name.encode()
    return digest(name, b"\0", tenant.encode(), b"\0", same.SerializeToString(deterministic=True))


def read_token(text: str, bound_to: bytes) -> PageToken | None:
    """A token as it was given out; None for the first page. Fails with INVALID_PAGE_TOKEN."""
    if not text:
        return None
    if len(text) > MAX_TOKEN:
        raise _invalid()
    try:
        token = PageToken.FromString(base64.b64decode(text.encode(), altchars=b"-_", validate=True))
    except (binascii.Error, DecodeError, ValueError) as error:
        raise _invalid() from error
    seal, token.request_digest = token.request_digest, bound_to
    if seal != _seal(token) or not _is_position(token):
        raise _invalid()
    return token


def _is_position(token: PageToken) -> bool:
    """Whether something could stand there in a list."""
    names_are_ids = is_id(token.id, MAX_ID) and is_id(token.namespace, MAX_ID)
    return names_are_ids and token.time >= 0 and len(token.key) in (0, DIGEST_BYTES)


def write_token(token: PageToken) -> str:
    """A token as clients hold it: its digest over the request is made one over the position too."""
    token.request_digest = _seal(token)
    return base64.urlsafe_b64encode(token.SerializeToString()).decode()


def read_resume_token(text: str, bound_to: bytes) -> WatchCursor | None:
    """What the watcher of a session has seen; None without a token. Fails with INVALID_FIELD."""
    try:
        token = read_token(text, bound_to)
        seen = WatchCursor(token.time, *SEEN.unpack(token.key)) if token is not None else None
        if seen is not None and min(seen) < 0:
            raise ValueError("a time below 0")
        return seen
    except (Failure, struct.error, ValueError) as error:
        problem = "it is not one that was given out for this session"
        raise Failure(Reason.INVALID_FIELD, f"resume_token: {problem}", field="resume_token") from error


def write_resume_token(seen: WatchCursor, bound_to: bytes) -> str:
    """The same as clients hold it."""
    return write_token(PageToken(request_digest=bound_to, time=seen.revision, key=SEEN.pack(*seen[1:])))


def _seal(token: PageToken) -> bytes:
    return digest(token.SerializeToString(deterministic=True))


def _invalid() -> Failure:
    return Failure(
        Reason.INVALID_PAGE_TOKEN,
        "page_token: it is not one that this list gave out for the same filters",
        field="page_token",
    )
