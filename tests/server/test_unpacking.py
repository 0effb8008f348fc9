"""Packed messages: which of them are unpacked in the event loop."""

import gzip

from lockstitch_server.rpc.transport.receiving import FEW_FIELDS_BYTES
from lockstitch_server.rpc.transport.unpacking import INLINE_BYTES


def test_what_is_unpacked_at_once_has_few_fields() -> None:
    """1,004 bytes can hold a million, which take more than a second to count."""
    assert len(gzip.compress(b"\x78\x01" * (FEW_FIELDS_BYTES // 2), 9)) > INLINE_BYTES
