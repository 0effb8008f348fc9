"""Whether the bytes of a log are those that checkpoints say."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from blake3 import blake3

from lockstitch_server.core.format import checksum
from lockstitch_server.core.format.parts import Segment
from lockstitch_server.core.ids import DIGEST_BYTES

Digests = Mapping[int, bytes]
"""By how many bytes of a log they are of."""


def joined(segments: Sequence[Segment]) -> tuple[bytes, str]:
    """The bytes of rows up to the first fault, and what that fault is; "" if there is none."""
    data = bytearray()
    for start, piece, crc in segments:
        if start != len(data):
            return bytes(data), f"a row that begins at {len(data)} is missing"
        if checksum.crc(piece) != crc:
            return bytes(data), f"the row at {start} is damaged"
        data.extend(piece)
    return bytes(data), ""


def wrong_lengths(data: bytes, digests: Iterable[tuple[int, bytes]]) -> Iterator[int]:
    """Lengths whose first bytes have not the digest that they should have. One pass over the data."""
    wanted: dict[int, set[bytes]] = defaultdict(set)
    for length, digest in digests:
        wanted[length].add(digest)
    hasher, done = blake3(), 0
    for length in sorted(wanted):
        hasher.update(data[done:length])
        done = length
        if wanted[length] != {hasher.digest(DIGEST_BYTES)}:
            yield length
