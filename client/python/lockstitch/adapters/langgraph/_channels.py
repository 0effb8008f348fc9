"""Channel values as custom channels of the contract, and back.

A value is one blob, as the serializer dumps it. A list is dumped item by item, so that a list that has grown costs its
new items; many small items are dumped together (`_chunks`). The bytes of a channel alone say what it holds; its
version goes along for readers, and decides nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langgraph.checkpoint.serde.base import SerializerProtocol

from lockstitch.adapters.langgraph import _chunks
from lockstitch.adapters.langgraph._dumped import Dump, to_blob
from lockstitch.adapters.langgraph._revived import Load, from_blob
from lockstitch.v1.checkpoint_pb2 import CustomChannel, TypedBlob

MOST_ITEMS = 100_000
"""A list of more items, where they are not dumped together, is one blob: the server bounds the fields of a request."""

# Pickles of items would not share what the items share.
_WHOLE_ONLY = "pickle"


def to_channel(
    serde: SerializerProtocol,
    value: object,
    version: object,
    dump: Dump = to_blob,
    before: CustomChannel | None = None,
) -> CustomChannel:
    """A channel's value; `version` is LangGraph's, None for none. Raises what the serializer raises.

    dump: how items of a list are dumped. before: what the channel held, whose items the list is likely to begin with.
    """
    text = "" if version is None else str(version)
    items = _items(serde, value, dump, before.list.items if before else ()) if type(value) is list else None
    if items is not None:
        channel = CustomChannel(version=text)
        channel.list.SetInParent()
        channel.list.items.extend(items)
        return channel
    return CustomChannel(version=text, blob=to_blob(serde, value))


def from_channel(serde: SerializerProtocol, channel: CustomChannel, load: Load = from_blob) -> Any:
    """The value of a channel that has one. load: how items of a list are loaded."""
    if channel.HasField("list"):
        return _chunks.load_all(serde, channel.list.items, load)
    return from_blob(serde, channel.blob)


def has_value(channel: CustomChannel) -> bool:
    """Whether the channel holds anything."""
    return channel.WhichOneof("value") is not None


def from_channels(
    serde: SerializerProtocol, channels: Mapping[str, CustomChannel], order: Iterable[str], load: Load = from_blob
) -> dict[str, Any]:
    """The values of all channels that have one; those named by `order` first, in that order.

    load: how items of lists are loaded.
    """
    names = [name for name in order if name in channels]
    known = set(names)
    names.extend(name for name in sorted(channels) if name not in known)
    return {name: from_channel(serde, channels[name], load) for name in names if has_value(channels[name])}


def _items(
    serde: SerializerProtocol, values: list[object], dump: Dump, before: Sequence[TypedBlob]
) -> list[TypedBlob] | None:
    """None: an item cannot be dumped by itself, or there are too many; the whole list perhaps can be dumped."""
    if len(values) > MOST_ITEMS and not _chunks.has_chunks(serde):
        return None
    try:
        items = _chunks.dump_all(serde, values, dump, before)
    except Exception:  # whatever a serializer raises; dumping the whole list raises it again, if it must
        return None
    if len(items) > MOST_ITEMS or any(item.type.startswith(_WHOLE_ONLY) for item in items):
        return None
    return items
