"""Entries of a framework as JSON, as its own stores write them."""

import json
from typing import Any

from lockstitch.v1.checkpoint_pb2 import TypedBlob

TYPE = "json"


def to_item(entry: object) -> TypedBlob:
    """An entry as an item of a list channel. Raises TypeError where `json.dumps` does.

    >>> to_item({"role": "user"}).data
    b'{"role":"user"}'
    """
    try:
        data = json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can escape and UTF-8 cannot write
        data = json.dumps(entry, separators=(",", ":")).encode()
    return TypedBlob(type=TYPE, data=data)


def from_item(item: TypedBlob) -> Any:
    """The entry of an item. Raises ValueError for an item of another type."""
    if item.type != TYPE:
        raise ValueError(f"an item is stored as {item.type!r}, not as {TYPE!r}: another program has saved here")
    return json.loads(item.data)
