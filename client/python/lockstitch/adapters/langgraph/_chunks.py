"""Lists item by item, except runs of many small items: up to 4,096 of them are dumped together, as a list.

Such a chunk says in its type how many items it holds, as in "msgpack[4096]". Where a list goes on from one that was
dumped before, chunks end where they ended then: so what it begins with has the same bytes, and the server stores only
what is new. Other languages do not read LangGraph's msgpack anyway; what they do read (`serde="json"`) has no chunks.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from langgraph.checkpoint.serde.base import SerializerProtocol

from lockstitch.adapters.langgraph._dumped import Dump, to_blob
from lockstitch.adapters.langgraph._plain import is_known
from lockstitch.adapters.langgraph._revived import Load, from_blob
from lockstitch.v1.checkpoint_pb2 import TypedBlob

LEAST, MOST = 64, 4096
"""Items of a chunk."""
MOST_ITEM_BYTES = 64
"""Of an item of a chunk, on average: larger items gain nothing."""
_MSGPACK = "msgpack"
_PLAIN = frozenset({int, float, bool, type(None), str, list, dict, tuple})


def has_chunks(serde: SerializerProtocol) -> bool:
    """Whether small items are dumped together: by LangGraph's own serializer only."""
    return is_known(serde)


def dump_all(serde: SerializerProtocol, values: list[Any], dump: Dump, before: Sequence[TypedBlob]) -> list[TypedBlob]:
    """The items of a list. Raises what the serializer raises.

    before: those of a list that this one is likely to go on from. dump: how items are dumped that stand alone.
    """
    if len(values) < LEAST or not has_chunks(serde):
        return [dump(serde, value) for value in values]
    items = list(_same(serde, values, dump, before))
    start = sum(map(_size, items))
    while start < len(values):
        some = values[start : start + MOST]
        chunk = _chunk(serde, some) if len(some) >= LEAST else None
        items.extend([chunk] if chunk else [dump(serde, value) for value in some])
        start += len(some)
    return items


def load_all(serde: SerializerProtocol, items: Sequence[TypedBlob], load: Load) -> list[Any]:
    """The list that these are the items of. Raises what the serializer raises. load: how single items are loaded."""
    values: list[Any] = []
    for item in items:
        if _is_chunk(item):
            values.extend(from_blob(serde, TypedBlob(type=_MSGPACK, data=item.data)))
        else:
            values.append(load(serde, item))
    return values


def _same(serde: SerializerProtocol, values: list[Any], dump: Dump, before: Sequence[TypedBlob]) -> Iterator[TypedBlob]:
    """The items with which the list begins as the one before did."""
    start = 0
    for old in before:
        some = values[start : start + _size(old)]
        if len(some) < _size(old):
            return
        new = _chunk(serde, some) if _is_chunk(old) else dump(serde, some[0])
        if new is None or (new.type, new.data) != (old.type, old.data):
            return
        yield old
        start += len(some)


def _chunk(serde: SerializerProtocol, values: list[Any]) -> TypedBlob | None:
    """Items as one blob; None: they are not small or plain enough."""
    if not set(map(type, values)) <= _PLAIN or not _are_small(values[: LEAST // 4]):
        return None
    try:
        blob = to_blob(serde, values)
    except Exception:  # whatever a serializer raises; it raises it again for the item
        return None
    if blob.type != _MSGPACK or len(blob.data) > len(values) * MOST_ITEM_BYTES:
        return None
    return TypedBlob(type=f"{_MSGPACK}[{len(values)}]", data=blob.data)


def _are_small(values: list[Any]) -> bool:
    """By a look at some of them, so that large ones are not dumped in vain."""
    return (
        sum(len(value) for value in values if isinstance(value, str | list | dict | tuple))
        <= len(values) * MOST_ITEM_BYTES
    )


def _is_chunk(item: TypedBlob) -> bool:
    return item.type.startswith(f"{_MSGPACK}[")


def _size(item: TypedBlob) -> int:
    """How many items of the list it holds."""
    return int(item.type[len(_MSGPACK) + 1 : -1]) if _is_chunk(item) else 1
