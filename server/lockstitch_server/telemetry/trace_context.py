"""Which trace a call belongs to, as its metadata say: W3C Trace Context, level 2. Needs no library."""

import re
from collections.abc import Mapping

TRACEPARENT = "traceparent"
ID_BYTES = 16

_FORM = re.compile(r"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_NO_TRACE = "0" * 32
_NO_SPAN = "0" * 16


def parse(traceparent: str) -> tuple[str, str, bool] | None:
    """Trace id and span id, in hexadecimal, and whether the caller samples the trace; None where it is malformed."""
    match = _FORM.fullmatch(traceparent)
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if trace_id == _NO_TRACE or span_id == _NO_SPAN or (more and version == "00"):  # later versions may have more
        return None
    return trace_id, span_id, bool(int(flags, 16) & 1)


def trace_id(traceparent: str | None) -> bytes:
    """The id of the trace, 16 bytes; empty where there is none."""
    parsed = parse(traceparent) if traceparent else None
    return bytes.fromhex(parsed[0]) if parsed is not None else b""


def trace_id_in(carrier: Mapping[str, str]) -> bytes:
    """The same of what a SaveStreamRequest carries."""
    return trace_id(carrier[TRACEPARENT]) if TRACEPARENT in carrier else b""
