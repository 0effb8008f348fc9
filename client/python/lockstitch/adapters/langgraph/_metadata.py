"""A checkpoint's metadata: what can be searched by is the contract's metadata, the rest goes along in the header.

An entry alone decides where it lives (`search_text`), so that a list searches where a put has stored. The exception is
a checkpoint with more entries than the server takes: it says so by an entry of ours, `SPILLED`.
"""

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from itertools import accumulate
from numbers import Real
from typing import Any, SupportsInt

MOST_ENTRIES = 64
MOST_KEY_BYTES = 255
MOST_VALUE_BYTES = 4096
MOST_BYTES = 60_000
"""Of all entries that can be searched by, below what a server takes by default (`limits.max_metadata_bytes`)."""

COUNTERS = "counters_since_delta_snapshot"
"""LangGraph's entry about DeltaChannels whose values lie with an ancestor."""
STEP = "step"
"""Another one for every checkpoint: the contract has a field for it, which can be searched by too."""
RUN_ID = "run_id"
FIRST = (RUN_ID, "source")
"""Entries that are always among those that can be searched by."""
SPILLED = {"lockstitch.spilled": "true"}
"""Entries of a checkpoint that could be searched by are in the header, for lack of room."""
_OURS = {*SPILLED, "lockstitch.delta"}


def split(metadata: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """What can be searched by, as JSON texts; and the rest, with all that the texts do not give back exactly."""
    found = {key: search_text(key, metadata[key]) for key in sorted(metadata, key=lambda key: key not in FIRST)}
    texts = {key: text for key, text in found.items() if text is not None}
    sizes = accumulate(len(key.encode()) + len(text.encode()) for key, text in texts.items())
    fitting = sum(size <= MOST_BYTES for size in sizes)
    if len(texts) > MOST_ENTRIES or len(texts) > fitting:
        texts = dict(list(texts.items())[: min(fitting, MOST_ENTRIES - 1)]) | SPILLED
    return texts, {key: value for key, value in metadata.items() if key not in texts or not is_exact(value)}


def joined(texts: Mapping[str, str], rest: Mapping[str, Any]) -> dict[str, Any]:
    """What was split."""
    return {**{key: json.loads(text) for key, text in texts.items() if key not in _OURS}, **rest}


def search_text(key: str, value: object) -> str | None:
    """The JSON text by which an entry is searched for on the server; None: it is in the header only.

    Values that are equal have equal texts, be they of classes of their own.
    """
    if key in _OURS or (key == STEP and step_of(value) is not None) or not is_scalar(value):
        return None
    text, key_bytes = exact_json(_plain(value)), key.encode(errors="surrogatepass")
    if text is None or len(key_bytes) > MOST_KEY_BYTES or key_bytes != key.encode(errors="replace"):
        return None
    return text if len(text.encode()) <= MOST_VALUE_BYTES else None


def step_of(value: object) -> int | None:
    """What the field for steps is set to by this value: 0 for the input's -1. None: it is no step."""
    with suppress(ValueError, OverflowError):
        number = int(value) if isinstance(value, Real) and isinstance(value, SupportsInt) else None
        if number is not None and number == value and -1 <= number < 2**63:
            return max(number, 0)
    return None


def is_scalar(value: object) -> bool:
    """Whether entries can be searched for by this value on the server."""
    return value is None or isinstance(value, str | int | float)


def _plain(value: object) -> object:
    """The same scalar, not of a class of its own."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float):
        return float.__float__(value)
    return int.__int__(value) if isinstance(value, int) and not isinstance(value, bool) else value


_NUMBERS = {float, bool}


def exact_json(value: object) -> str | None:
    """A value as JSON text that gives the same value again, of the same types; None if there is no such text."""
    if not is_exact(value):
        return None
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        text.encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError):
        return None
    return text


def is_exact(value: object) -> bool:
    """Whether JSON can hold a value and all in it."""
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return True
    if kind is float:
        return math.isfinite(value)  # type: ignore[arg-type]  # it is a float
    if kind is list:
        items: list[Any] = value  # type: ignore[assignment]  # it is one
        if set(map(type, items)) <= _NUMBERS:  # so that long lists of them take a tenth of the time
            return all(map(math.isfinite, items))
        return all(map(is_exact, items))
    if kind is dict:
        return all(type(key) is str and is_exact(item) for key, item in value.items())  # type: ignore[attr-defined]
    return False
