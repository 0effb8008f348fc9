"""A checkpoint's metadata: scalars can be searched by, the rest goes along in the header.

So does the step, another one for every checkpoint: the contract has a field for it, which can be searched by too.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, TypeGuard

MOST_ENTRIES = 64
MOST_KEY_BYTES = 255

COUNTERS = "counters_since_delta_snapshot"
"""LangGraph's entry about DeltaChannels whose values lie with an ancestor."""
STEP = "step"


def split(metadata: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """Scalars as JSON texts; and the rest, with what JSON has no exact words for, or there is no room for."""
    texts: dict[str, str] = {}
    rest: dict[str, Any] = {}
    for key, value in metadata.items():
        searchable = is_scalar(value) and len(key.encode(errors="replace")) <= MOST_KEY_BYTES
        searchable = searchable and not (key == STEP and is_step(value))
        text = exact_json(value) if searchable else None
        if text is None or len(texts) == MOST_ENTRIES:
            rest[key] = value
        else:
            texts[key] = text
    return texts, rest


def joined(texts: Mapping[str, str], rest: Mapping[str, Any]) -> dict[str, Any]:
    """What was split."""
    return {**{key: json.loads(text) for key, text in texts.items()}, **rest}


def is_step(value: object) -> TypeGuard[int]:
    """Whether the field for steps is set by this value."""
    return type(value) is int and -1 <= value < 2**63


def step_field(metadata: Mapping[str, Any]) -> int:
    """What the field for steps is set to: 0 for the input's -1, and for what is no step."""
    step = metadata.get(STEP)
    return max(step, 0) if is_step(step) else 0


def is_scalar(value: object) -> bool:
    """Whether entries can be searched for by this value on the server."""
    return value is None or isinstance(value, str | int | float)


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
        return all(map(is_exact, value))  # type: ignore[call-overload]  # it is a list
    if kind is dict:
        return all(type(key) is str and is_exact(item) for key, item in value.items())  # type: ignore[attr-defined]
    return False
