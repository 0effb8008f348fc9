"""Opaque values as plain data."""

import base64
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from lockstitch.inspect import _msgpack
from lockstitch.inspect._instance import Instance
from lockstitch.v1.checkpoint_pb2 import CustomChannel, TypedBlob

MAX_BYTES = 1024 * 1024
"""Larger values are not decoded, unless the caller asks for it."""
MAX_NESTING = 200
"""Values that are nested deeper are not decoded: code that walks through one would run out of stack."""

_CHUNK = re.compile(r"msgpack\[(\d{1,9})\]", re.ASCII)
_SEQUENCES = frozenset({list, tuple})
_CONTAINERS = frozenset({list, tuple, dict, Instance})  # exactly: isinstance() with Mapping takes fifty times as long

Plain: TypeAlias = Any
"""None, bool, int, float, str, bytes, lists, dicts; an `Instance` stands for an object of a class."""

_HALF_PAIR = re.compile("[\ud800-\udfff]")


class Encoding(StrEnum):
    """How a value turned out to be encoded."""

    JSON = "json"
    TEXT = "text"
    MSGPACK = "msgpack"
    NULL = "null"
    BYTES = "bytes"


@dataclass(frozen=True, slots=True)
class Decoded:
    """A value that was decoded.

    value: the bytes themselves where `encoding` is BYTES.
    problem: why a value of a known encoding was not decoded; "" where it was, or where its encoding is not known.
    """

    encoding: Encoding
    value: Plain
    problem: str = ""


def decode(blob: TypedBlob, *, max_bytes: int = MAX_BYTES) -> Decoded:
    """The value of a blob as plain data. Never raises: what cannot be decoded stays bytes, with the problem.

    max_bytes: a larger value is not decoded.

        >>> decode(TypedBlob(type="json", data=b'{"a": 1}')).value
        {'a': 1}
    """
    encoding = _encoding(blob.type)
    if encoding is Encoding.BYTES:
        return Decoded(encoding, blob.data)
    if encoding is Encoding.NULL:
        return Decoded(encoding, None)
    if len(blob.data) > max_bytes:
        return Decoded(Encoding.BYTES, blob.data, f"it has {len(blob.data)} bytes; up to {max_bytes} are decoded")
    try:
        value = _read(encoding, blob.data)
    except (ValueError, RecursionError) as error:
        return Decoded(Encoding.BYTES, blob.data, f"it is no {encoding}: {error}")
    if is_nested_deeper(value, MAX_NESTING):
        return Decoded(Encoding.BYTES, blob.data, f"it is nested more than {MAX_NESTING} deep")
    return Decoded(encoding, value)


def items(channel: CustomChannel, *, max_bytes: int = MAX_BYTES) -> Iterator[Decoded]:
    """The items of a channel that is a list; of another channel its value, and nothing where it has none.

    Several small items that `LockstitchSaver` stored together come one by one.
    """
    if channel.WhichOneof("value") == "blob":
        yield decode(channel.blob, max_bytes=max_bytes)
    for blob in channel.list.items:
        found = decode(blob, max_bytes=max_bytes)
        if is_chunk(blob) and isinstance(found.value, list):
            yield from (Decoded(found.encoding, value) for value in found.value)
        else:
            yield found


def is_chunk(blob: TypedBlob) -> bool:
    """Whether an item of a list stands for several, as in "msgpack[4096]"."""
    return _CHUNK.fullmatch(blob.type) is not None


def chunk_size(blob: TypedBlob) -> int:
    """How many items of the list a chunk stands for. Raises ValueError for what is no chunk.

    >>> chunk_size(TypedBlob(type="msgpack[4096]"))
    4096
    """
    found = _CHUNK.fullmatch(blob.type)
    if found is None:
        raise ValueError(f"no chunk of a list: {blob.type!r}")
    return int(found[1])


def is_nested_deeper(value: Plain, depth: int) -> bool:
    """Whether a value has containers within containers, more than `depth`. Does not recurse."""
    level = [value]
    for _ in range(depth):
        inner: list[Plain] = []
        for each in level:
            if type(each) is Instance:
                inner.append(each.value)
            elif type(each) is dict:
                inner.extend(each.values())
            elif type(each) in _SEQUENCES:
                inner.extend(each)
        level = [each for each in inner if type(each) in _CONTAINERS]
        if not level:
            return False
    return True


def read_json(text: str) -> Plain:
    """The value of a JSON text, as they stand in `extra` and `metadata`. What cannot be decoded stays text.

    >>> read_json('{"a": [1]}'), read_json("[" * 1000 + "]" * 1000)[:3]
    ({'a': [1]}, '[[[')
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return text if is_nested_deeper(value, MAX_NESTING) else value


def to_json(value: Plain, *, sort_keys: bool = False) -> str:
    """A value as JSON text for people and programs: bytes as {"$bytes": base64}, objects with their class as "$class".

    Numbers that JSON does not have, and keys that are no text, are written as text. Halves of surrogate pairs, which
    UTF-8 does not have, are escaped.

        >>> to_json({"a": Instance("uuid", "UUID", "00000000")})
        '{"a": {"$class": "uuid.UUID", "$value": "00000000"}}'
    """
    found = _jsonable(value)
    text = json.dumps(found, ensure_ascii=False, sort_keys=sort_keys)
    return json.dumps(found, sort_keys=sort_keys) if _HALF_PAIR.search(text) else text


def _encoding(kind: str) -> Encoding:
    base = kind.partition(";")[0].strip().lower()
    if base in ("json", "application/json") or base.endswith("+json"):
        return Encoding.JSON
    if base in ("text", "str") or base.startswith("text/"):
        return Encoding.TEXT
    if base in ("msgpack", "application/msgpack", "application/vnd.msgpack") or _CHUNK.fullmatch(base):
        return Encoding.MSGPACK
    return Encoding.NULL if base == "null" else Encoding.BYTES


def _read(encoding: Encoding, data: bytes) -> Plain:
    if encoding is Encoding.MSGPACK:
        return _msgpack.read(data)
    text = data.decode()
    return json.loads(text) if encoding is Encoding.JSON else text


def _jsonable(value: Plain) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, Instance):
        inner = _jsonable(value.value)
        return {"$class": value.name, **(inner if isinstance(inner, dict) else {"$value": inner})}
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    return value
