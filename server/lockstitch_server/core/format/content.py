"""Checksums of a session's content, kept in its row, by which reads notice that rows are missing.

Each row has a checksum of its own, which says nothing about a row that is not found: a row whose key columns, or whose
index entry, are damaged. So the row of the session keeps, in `content`:

- the XOR of a checksum of the name of each checkpoint;
- for up to MOST namespaces (the root, and those that changed last): the checksum of the latest checkpoint's row, and
  the XOR of the checksums of the rows of its pending writes.

A namespace without an entry is not compared. All functions take and give the bytes of the column.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache, reduce
from operator import xor
from typing import NamedTuple, Protocol, TypeVar

from blake3 import blake3

from lockstitch_server.core.format import checksum

MOST = 8
"""Namespaces that have an entry."""
NAMESPACE_BYTES = 8
_NAMES = struct.Struct(">i")
_ENTRY = struct.Struct(">8sii")

EMPTY = _NAMES.pack(0)
"""Of a session without checkpoints."""


class Latest(NamedTuple):
    """The latest checkpoint of a namespace."""

    checkpoint: int
    """The checksum of its row."""
    writes: int
    """The XOR of the checksums of the rows of its pending writes."""


class _Checkpoint(Protocol):
    @property
    def namespace(self) -> str: ...
    @property
    def checkpoint_id(self) -> str: ...
    @property
    def revision(self) -> int: ...
    @property
    def crc(self) -> int: ...


AnyCheckpoint = TypeVar("AnyCheckpoint", bound=_Checkpoint)


class _Write(Protocol):
    @property
    def namespace(self) -> str: ...
    @property
    def checkpoint_id(self) -> str: ...
    @property
    def crc(self) -> int: ...


def latest_in(content: bytes, namespace: str) -> Latest | None:
    """The entry of a namespace."""
    digest = _digest(namespace)
    for found, checkpoint, writes in _entries(content):
        if found == digest:
            return Latest(checkpoint, writes)
    return None


def with_latest(content: bytes, namespace: str, latest: Latest) -> bytes:
    """The content once a namespace has this latest checkpoint."""
    digest = _digest(namespace)
    others = _others(content, digest)
    if len(others) >= MOST * _ENTRY.size:
        oldest = _ENTRY.size if others.startswith(_digest("")) else 0
        others = others[:oldest] + others[oldest + _ENTRY.size :]
    # Damage can have made a stored checksum larger than its 32 bits on SQLite. It fits nothing either way.
    return content[: _NAMES.size] + others + _ENTRY.pack(digest, *map(checksum.signed, latest))


def without_latest(content: bytes, namespace: str) -> bytes:
    """The content without the entry of a namespace."""
    return content[: _NAMES.size] + _others(content, _digest(namespace))


def with_name(content: bytes, namespace: str, checkpoint_id: str) -> bytes:
    """The content with one more checkpoint; or with one less, where it had this one."""
    (names,) = _NAMES.unpack_from(content)
    return _NAMES.pack(names ^ _name(namespace, checkpoint_id)) + content[_NAMES.size :]


def has_names(content: bytes, names: Iterable[tuple[str, str]]) -> bool:
    """Whether these are the namespaces and ids of all checkpoints."""
    (expected,) = _NAMES.unpack_from(content)
    return bool(expected == _all_names(names))


def content_of(checkpoints: Iterable[_Checkpoint], writes: Iterable[_Write]) -> bytes:
    """The content of a session out of its checkpoints, and the rows of pending writes of the latest ones at least."""
    rows = list(checkpoints)
    checksums = writes_checksums(writes)
    content = _NAMES.pack(_all_names((row.namespace, row.checkpoint_id) for row in rows))
    for row in latest_rows(rows):
        written = checksums.get((row.namespace, row.checkpoint_id), 0)
        content = with_latest(content, row.namespace, Latest(row.crc, written))
    return content


def latest_rows(rows: Iterable[AnyCheckpoint]) -> list[AnyCheckpoint]:
    """The latest checkpoints that get an entry, in the order in which they were saved, the root's last."""
    return sorted(_latest_rows(rows).values(), key=lambda row: (row.namespace == "", row.revision))[-MOST:]


def wrong_namespaces(
    content: bytes, checkpoints: Iterable[_Checkpoint], writes: Iterable[_Write]
) -> Iterator[tuple[str | None, str]]:
    """Namespaces whose latest checkpoint, or its pending writes, are not what was saved, and which of both.

    None stands for a namespace of which no checkpoint is left.
    """
    latest = {_digest(namespace): row for namespace, row in _latest_rows(checkpoints).items()}
    checksums = writes_checksums(writes)
    for digest, checkpoint, written in _entries(content):
        row = latest.get(digest)
        if row is None:
            yield None, "checkpoint"
        elif row.crc != checkpoint:
            yield row.namespace, "checkpoint"
        elif checksums.get((row.namespace, row.checkpoint_id), 0) != written:
            yield row.namespace, "writes"


def writes_checksums(writes: Iterable[_Write]) -> Mapping[tuple[str, str], int]:
    """The XOR of the checksums of the rows of pending writes, by namespace and id of their checkpoint."""
    found: dict[tuple[str, str], int] = {}
    for write in writes:
        name = (write.namespace, write.checkpoint_id)
        found[name] = found.get(name, 0) ^ write.crc
    return found


def xor_of(checksums: Iterable[int]) -> int:
    """The XOR of checksums."""
    return reduce(xor, checksums, 0)


def _others(content: bytes, digest: bytes) -> bytes:
    """The entries of all other namespaces."""
    for start in range(_NAMES.size, len(content), _ENTRY.size):
        if content.startswith(digest, start):
            return content[_NAMES.size : start] + content[start + _ENTRY.size :]
    return content[_NAMES.size :]


def _entries(content: bytes) -> Iterable[tuple[bytes, int, int]]:
    """Damage may have left an odd number of bytes, of which the checksum of the session's row tells."""
    end = len(content) - (len(content) - _NAMES.size) % _ENTRY.size
    return _ENTRY.iter_unpack(content[_NAMES.size : end]) if end > _NAMES.size else ()


def _latest_rows(rows: Iterable[AnyCheckpoint]) -> dict[str, AnyCheckpoint]:
    latest: dict[str, AnyCheckpoint] = {}
    for row in rows:
        other = latest.get(row.namespace)
        if other is None or other.checkpoint_id < row.checkpoint_id:  # strings compare as their UTF-8 bytes do
            latest[row.namespace] = row
    return latest


def _all_names(names: Iterable[tuple[str, str]]) -> int:
    return xor_of(_name(*name) for name in names)


def _name(namespace: str, checkpoint_id: str) -> int:
    return checksum.crc(f"{namespace}\0{checkpoint_id}".encode())


@lru_cache(maxsize=1024)
def _digest(namespace: str) -> bytes:
    """8 bytes: with fewer, two namespaces of one session might share an entry."""
    return blake3(namespace.encode()).digest(NAMESPACE_BYTES)
