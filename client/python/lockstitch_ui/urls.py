"""Paths of the explorer's pages. Ids of sessions and checkpoints hold any characters, "/", "." and ".." included.

An id is one segment of a path: percent-encoded, with "~" before it where it is empty, ".", "..", or begins with "~".
Browsers resolve "." and ".." segments, encoded ones too.
"""

from collections.abc import Callable, Mapping
from urllib.parse import quote, unquote, urlencode

from starlette.convertors import Convertor, register_url_convertor

from lockstitch.v1.checkpoint_pb2 import Checkpoint

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


def value_url(session_id: str, checkpoint: Checkpoint, channel: str, at: str = "", start: object = "") -> str:
    """The page of a value. channel: as the server calls it. at: a JSON pointer into it. start: where to begin."""
    return _below(session_id, checkpoint, "value", channel=channel, at=at, start=start)


def download_url(session_id: str, checkpoint: Checkpoint, channel: str, at: str = "") -> str:
    """The bytes of a value; channel: "" means the whole checkpoint, as JSON."""
    return _below(session_id, checkpoint, "download", channel=channel, at=at)


def value_urls(session_id: str, checkpoint: Checkpoint, channel: str) -> Callable[..., str]:
    """The pages of the values of a channel: a function of a JSON pointer, and of where to begin."""
    return lambda at="", start="": value_url(session_id, checkpoint, channel, at, start)


def channel_urls(session_id: str, checkpoint: Checkpoint, tab: str) -> Callable[[str], str]:
    """The page of a checkpoint with a channel that is not shown unasked: a function of its name."""
    id, namespace = checkpoint.checkpoint_id, checkpoint.namespace
    return lambda channel: checkpoint_url(session_id, id, namespace, tab=tab, channel=channel)


def diff_url(session_id: str, **query: object) -> str:
    """The page that compares two checkpoints. query: old, new, old_session, old_namespace, old_step, ..."""
    return with_query(f"/sessions/{encode_id(session_id)}/diff", query)


def _below(session_id: str, checkpoint: Checkpoint, name: str, **query: object) -> str:
    path = f"/sessions/{encode_id(session_id)}/checkpoints/{encode_id(checkpoint.checkpoint_id)}/{name}"
    return with_query(path, {"namespace": checkpoint.namespace, **query})


def change_url(session_id: str, action: str, **query: object) -> str:
    """The form of a change: fork, edit, rewind, prune, label, break-lease, delete."""
    return with_query(f"/sessions/{encode_id(session_id)}/change/{action}", query)


def with_query(path: str, query: Mapping[str, object]) -> str:
    """A path with the parameters that are not empty."""
    text = urlencode([(name, str(value)) for name, value in query.items() if value not in ("", None)], errors="replace")
    return f"{path}?{text}" if text else path


class _IdConvertor(Convertor[str]):
    regex = "[^/]+"

    def convert(self, value: str) -> str:
        return decode_id(value)

    def to_string(self, value: str) -> str:
        return encode_id(value)


register_url_convertor("id", _IdConvertor())
