"""Checksums of stored rows."""

import zlib


def crc(data: bytes, start: int = 0) -> int:
    """CRC-32 of `data`, going on from that of what stands before it; signed, as databases hold 32 bits."""
    return signed(zlib.crc32(data, start & 0xFFFFFFFF))


def signed(value: int) -> int:
    """The lowest 32 bits of a number, signed."""
    value &= 0xFFFFFFFF
    return value - 2**32 if value >= 2**31 else value
