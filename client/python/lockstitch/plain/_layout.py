"""Where the values of a plain state stand in a checkpoint, so that a save sends and stores what changed.

Every value has a custom channel of its own, with an empty version. A list is a list channel with one blob an item. A
dict of at most SPLIT_KEYS keys, one level below the state, has a channel for each key: `cart/size`. In the parts of a
name `~` is written `~0` and `/` is written `~1`, as in JSON Pointer. All other values are one blob.
"""

import json
from collections.abc import Mapping

from lockstitch import _json
from lockstitch.plain._codec import Codec, JsonCodec, Path
from lockstitch.v1.checkpoint_pb2 import CustomChannel, TypedBlob, VersionedState

PLAIN_STATE = TypedBlob(type="lockstitch.plain", data=b"1")
"""The header of a checkpoint that holds a plain state."""
SPLIT_KEYS = 100
NAME_BYTES = 512


def write(state: Mapping[str, object], codec: Codec, before: VersionedState | None = None) -> VersionedState:
    """A state as channels. Raises TypeError and ValueError, with the path.

    before: the channels that were loaded or saved last. Equal values keep their bytes: they are not stored again
        where another program has written them with another order of keys.
    """
    written, before = VersionedState(), before or VersionedState()
    for key, value in state.items():
        path = (_checked_key(key, ()),)
        if isinstance(value, dict) and _is_split(key, value):
            for inner, member in value.items():
                _put(written, (*path, inner), member, codec, before)
        else:
            _put(written, path, value, codec, before)
    return written


def read(state: VersionedState, codec: Codec) -> dict[str, object]:
    """The state of channels that `write` made; keys in the order of their names. Raises ValueError, with the path."""
    if state.HasField("messages") or state.HasField("extra") or state.HasField("errors"):
        raise ValueError("the channels messages, extra and errors are not those of a plain state")
    found: dict[str, object] = {}
    split: dict[str, dict[str, object]] = {}
    for name in sorted(state.custom):  # "a" stands before "a/b"
        path = _path(name)
        inside = found
        if len(path) > 1:
            inside = split.setdefault(path[0], {})
            found.setdefault(path[0], inside)
        taken = path[-1] in inside or (inside is not found and found[path[0]] is not inside)
        if len(path) > 2 or _name(path) != name or taken:
            raise ValueError(f"channel {name!r} is not one of a plain state")
        inside[path[-1]] = _get(state.custom[name], path, codec)
    return found


def append(state: VersionedState, key: str, items: list[object], codec: Codec) -> None:
    """Add items to a list of the state; a key that is not there begins with none. Raises TypeError and ValueError."""
    name = _name((_checked_key(key, ()),))
    if name not in state.custom and any(other.startswith(f"{name}/") for other in state.custom):
        raise TypeError(f"{_json.at((key,))} is a dict, not a list")
    if name in state.custom and not state.custom[name].HasField("list"):
        raise TypeError(f"{_json.at((key,))} is not a list")
    start = len(state.custom[name].list.items) if name in state.custom else 0
    blobs = [codec.encode(item, (key, start + index)) for index, item in enumerate(items)]
    channel = state.custom[name].list
    channel.SetInParent()
    channel.items.extend(blobs)


def _put(state: VersionedState, path: Path, value: object, codec: Codec, before: VersionedState) -> None:
    name = _name(path)
    if len(name.encode()) > NAME_BYTES:
        raise ValueError(f"{_json.at(path)}: the keys have more than {NAME_BYTES} bytes together")
    known = before.custom[name] if name in before.custom else CustomChannel()
    if not isinstance(value, list):
        state.custom[name].blob.CopyFrom(_kept(known.blob, codec.encode(value, path)))
        return
    blobs = [codec.encode(item, (*path, index)) for index, item in enumerate(value)]
    channel = state.custom[name].list
    channel.SetInParent()  # a list without items is a list, too
    channel.items.extend(map(_kept, known.list.items, blobs))
    channel.items.extend(blobs[len(channel.items) :])


def _kept(known: TypedBlob, blob: TypedBlob) -> TypedBlob:
    """The known blob if both have the same value."""
    if known.data == blob.data or not known.type == blob.type == JsonCodec.TYPE:
        return blob
    return known if _sorted(known.data) == _sorted(blob.data) else blob


def _sorted(data: bytes) -> str:
    return json.dumps(json.loads(data), sort_keys=True)


def _get(channel: CustomChannel, path: Path, codec: Codec) -> object:
    if channel.HasField("list"):
        return [codec.decode(blob, (*path, index)) for index, blob in enumerate(channel.list.items)]
    return codec.decode(channel.blob, path)


def _is_split(key: str, value: Mapping[object, object]) -> bool:
    """Whether a dict has a channel for each key. One whose keys are no text is refused by the codec, as a whole."""
    if not 0 < len(value) <= SPLIT_KEYS or not all(isinstance(inner, str) for inner in value):
        return False
    return all(len(_name((key, _checked_key(inner, (key,)))).encode()) <= NAME_BYTES for inner in value)


def _checked_key(key: object, path: Path) -> str:
    if not isinstance(key, str):
        raise TypeError(f"{_json.at(path)} has the key {key!r} of type {type(key).__name__}: keys are text")
    _json.check_text(key, path)
    return key


def _name(path: Path) -> str:
    return "/".join(str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _path(name: str) -> tuple[str, ...]:
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in name.split("/"))
