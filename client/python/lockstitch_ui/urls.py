"""Paths of the explorer's pages. Ids of sessions and checkpoints hold any characters, "/", "." and ".." included.

An id is one segment of a path: percent-encoded, with "~" before it where it is empty, ".", "..", or begins with "~".
Browsers resolve "." and ".." segments, encoded ones too.
"""

from collections.abc import Mapping
from urllib.parse import quote, unquote, urlencode

from starlette.convertors import Convertor, register_url_convertor

_SPECIAL = ("", ".", "..")


def encode_id(text: str) -> str:
    """An id as a segment of a path.

    >>> encode_id("a/b"), encode_id(".."), encode_id("")
    ('a%2Fb', '~..', '~')
    """
    prefix = "~" if text in _SPECIAL or text.startswith("~") else ""
    return prefix + quote(text, safe="")


def decode_id(segment: str) -> str:
    """The id of a segment. Raises ValueError for bytes that are no UTF-8."""
    return unquote(segment.removeprefix("~"), errors="strict")


def session_url(session_id: str, **query: object) -> str:
    """The page of a session."""
    return with_query(f"/sessions/{encode_id(session_id)}", query)


def checkpoint_url(session_id: str, checkpoint_id: str, namespace: str = "", **query: object) -> str:
    """The page of a checkpoint."""
    path = f"/sessions/{encode_id(session_id)}/checkpoints/{encode_id(checkpoint_id)}"
    return with_query(path, {"namespace": namespace, **query})


def change_url(session_id: str, action: str, **query: object) -> str:
    """The form of a change: fork, edit, rewind, prune, label, break-lease, delete."""
    return with_query(f"/sessions/{encode_id(session_id)}/change/{action}", query)


def with_query(path: str, query: Mapping[str, object]) -> str:
    """A path with the parameters that are not empty."""
    text = urlencode([(name, str(value)) for name, value in query.items() if value not in ("", None)])
    return f"{path}?{text}" if text else path


class _IdConvertor(Convertor[str]):
    regex = "[^/]+"

    def convert(self, value: str) -> str:
        return decode_id(value)

    def to_string(self, value: str) -> str:
        return encode_id(value)


register_url_convertor("id", _IdConvertor())
