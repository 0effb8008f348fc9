"""Names and numbers that are computed, never looked up."""

from functools import lru_cache

from blake3 import blake3

DIGEST_BYTES = 16
MAX_STEP = 2**63 - 1


def digest(*chunks: bytes | memoryview) -> bytes:
    """BLAKE3 of the chunks in a row, 16 bytes."""
    hasher = blake3()
    for chunk in chunks:
        hasher.update(chunk)
    return hasher.digest(DIGEST_BYTES)


def framed(*texts: str) -> bytes:
    """The texts as bytes. Different lists of texts give different bytes."""
    encoded = [text.encode() for text in texts]
    return b"".join(len(text).to_bytes(4, "big") + text for text in encoded)


@lru_cache(maxsize=2048)
def session_key(tenant: str, session_id: str) -> bytes:
    """The key of all rows of a session, 16 bytes."""
    return digest(framed(tenant, session_id))


@lru_cache(maxsize=4096)
def tenant_hash(tenant: str) -> int:
    """A tenant as a signed 32-bit number, short enough for an index of many rows; not unique."""
    return int.from_bytes(digest(tenant.encode())[:4], "big", signed=True)


def default_checkpoint_id(step: int) -> str:
    """The id of a checkpoint that was saved without one. These ids sort as their steps do."""
    return f"{step:020d}"
