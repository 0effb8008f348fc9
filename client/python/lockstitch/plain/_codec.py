"""How one value of a plain state is written."""

from typing import Protocol

from lockstitch import _json
from lockstitch.v1.checkpoint_pb2 import TypedBlob

Path = tuple[str | int, ...]
"""Where a value stands in the state: keys and list indexes."""


class Codec(Protocol):
    """Writes and reads the values of a state: its lists item by item, its dicts key by key."""

    def encode(self, value: object, path: Path) -> TypedBlob:
        """Raises TypeError or ValueError, with the path, where `decode` would not give back an equal value."""

    def decode(self, blob: TypedBlob, path: Path) -> object:
        """Raises ValueError, with the path."""


class JsonCodec:
    """JSON text: None, bool, int, float, str, lists, and dicts with text keys.

    >>> JsonCodec().encode({"size": "XL"}, ()).data
    b'{"size":"XL"}'
    """

    TYPE = "json"

    def encode(self, value: object, path: Path) -> TypedBlob:
        return TypedBlob(type=self.TYPE, data=_json.text(value, path).encode())

    def decode(self, blob: TypedBlob, path: Path) -> object:
        if blob.type != self.TYPE:
            raise ValueError(f"{_json.at(path)} is stored as {blob.type!r}, not as {self.TYPE!r}: give its codec")
        return _json.value(blob.data.decode(), path)
