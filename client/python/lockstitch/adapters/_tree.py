"""A tree of JSON values as channels, so that a save sends and stores what changed.

Each value of LARGE bytes or more has a custom channel of its own, named by its path: `/state/log`. A list is a list
channel with one blob an item, so a list that grew costs its new items. `split` returns the rest of the tree, with a
mark in place of each such value.
"""

import json
from collections.abc import Mapping

from lockstitch.v1.checkpoint_pb2 import CustomChannel, TypedBlob, VersionedState

JSON = "json"
LARGE = 256
"""Bytes of JSON from which on a value has a channel of its own."""
WIDE = 100
"""A dict with more keys is stored as one value, so that a tree does not have thousands of channels."""
NAME_BYTES = 512

MARK = "$channel"
"""The only key of a dict that stands for a channel. Keys of a caller that look like it get another `$`."""
REST, WHOLE = "rest", "whole"
"""What a channel holds: a value with marks in it, or a value as it is."""


def text(value: object) -> bytes:
    """A value as JSON text. NaN and infinities are written as Python does."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # half a surrogate pair has no UTF-8
        return json.dumps(value, separators=(",", ":")).encode()


def blob(value: object) -> TypedBlob:
    """A value as a blob of JSON."""
    return TypedBlob(type=JSON, data=text(value))


def split(tree: object, state: VersionedState, name: str = "") -> object:
    """Move the large values of a tree into channels of a state. Returns the rest.

    >>> split({"log": ["a" * 300], "step": 1}, state)
    {'log': {'$channel': 'whole'}, 'step': 1}
    """
    has_channel = _names_channel(name)
    if isinstance(tree, dict) and (len(tree) <= WIDE or not has_channel):
        rest: object = {_escaped(key): split(value, state, _below(name, key)) for key, value in tree.items()}
        kind = REST
    else:
        rest, kind = tree, WHOLE
    if not has_channel or (len(text(rest)) < LARGE and not (kind == WHOLE and isinstance(rest, dict))):
        return rest
    return apart(rest, state, name, kind)


def apart(value: object, state: VersionedState, name: str, kind: str = WHOLE) -> object:
    """Put a value into a channel of its own, whatever its size. Returns its mark."""
    channel = state.custom[name]
    if isinstance(value, list):
        channel.list.items.extend(map(blob, value))
    else:
        channel.blob.CopyFrom(blob(value))
    return {MARK: kind}


def join(rest: object, channels: Mapping[str, CustomChannel], name: str = "") -> object:
    """The tree of which `split` returned this rest. Raises KeyError if one of its channels is missing."""
    if not isinstance(rest, dict):
        return rest
    if rest.keys() == {MARK}:
        if name not in channels:
            raise KeyError(name)
        channel = channels[name]
        if channel.HasField("list"):
            return [json.loads(item.data) for item in channel.list.items]
        value = json.loads(channel.blob.data)
        if rest[MARK] == WHOLE or not isinstance(value, dict):
            return value
        rest = value
    return {_plain(key): join(value, channels, _below(name, _plain(key))) for key, value in rest.items()}


def _names_channel(name: str) -> bool:
    try:
        return 0 < len(name.encode()) <= NAME_BYTES
    except UnicodeEncodeError:
        return False


def _below(name: str, key: str) -> str:
    return f"{name}/{key.replace('~', '~0').replace('/', '~1')}"


def _escaped(key: str) -> str:
    return f"${key}" if key.lstrip("$") == MARK[1:] and key.startswith("$") else key


def _plain(key: str) -> str:
    return key[1:] if key.startswith("$$") and key.lstrip("$") == MARK[1:] else key
