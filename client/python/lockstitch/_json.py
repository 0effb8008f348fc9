"""JSON texts that say exactly what the values say, and values that say exactly what the texts say."""

import json
import math
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

MAX_DEPTH = 500
"""Nesting; the server takes twice as much, and Python's own limit is not far above that."""
EXACT_DIGITS = 17
"""Digits of a decimal number, as programs write floats, that is read as the nearest float."""


class _Loss:
    """Stands in a value for what would be lost, until its path is known."""

    def __init__(self, problem: str) -> None:
        self.problem = problem


class _Losses:
    """Builds values, and remembers whether anything of the text would be lost."""

    def __init__(self) -> None:
        self.any = False

    def loss(self, problem: str) -> Any:
        self.any = True
        return _Loss(problem)

    def pairs(self, pairs: list[tuple[str, Any]]) -> Any:
        found = dict(pairs)
        if len(found) < len(pairs):
            found[_first_repeated(key for key, _ in pairs)] = self.loss("stands twice in its object")
        return found

    def number(self, text: str) -> Any:
        value = float(text)
        if math.isinf(value):
            return self.loss(f"{_short(text)} is beyond the range of a float")
        exact = Decimal(text)
        many = len(exact.as_tuple().digits) > EXACT_DIGITS or value == 0
        if many and exact != Decimal(repr(value)):
            return self.loss(f"{_short(text)} has more digits than a float can hold")
        return value

    def constant(self, text: str) -> Any:
        return self.loss(f"{text} is not JSON")


def _first_repeated(keys: Iterable[str]) -> str:
    """The first key that has stood before."""
    seen = set[str]()
    for key in keys:
        if key in seen:
            return key
        seen.add(key)
    raise ValueError("no key is repeated")


def text(value: object, path: Sequence[str | int] = ()) -> str:
    """Raises TypeError and ValueError, with the path. path: of the value in something larger."""
    try:
        _check(value, list(path))
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except RecursionError as error:
        raise ValueError("the value is nested too deep, or holds itself") from error


def value(text: str, path: Sequence[str | int] = ()) -> object:
    """Raises ValueError; with the path, where it is about a part. path: of the value in something larger."""
    losses = _Losses()
    try:
        found = json.loads(
            text, object_pairs_hook=losses.pairs, parse_float=losses.number, parse_constant=losses.constant
        )
    except RecursionError as error:
        raise ValueError("the text is nested too deep") from error
    if losses.any:
        _raise_loss(found, list(path))
    return found


def _check(value: object, path: list[str | int]) -> None:
    """What JSON would give back as something else."""
    if isinstance(value, str):
        check_text(value, path)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{at(path)} is {value}, which JSON does not have")
    elif isinstance(value, int) or value is None:
        pass
    elif len(path) > MAX_DEPTH:
        raise ValueError(f"the value is nested more than {MAX_DEPTH} deep, or holds itself")
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"{at(path)} has the key {key!r} of type {type(key).__name__}: keys of JSON are text")
            check_text(key, path)
            _check(item, [*path, key])
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check(item, [*path, index])
    else:
        instead = ", and would come back as a list" if isinstance(value, tuple) else ""
        raise TypeError(f"{at(path)} is of type {type(value).__name__}, which JSON does not have{instead}")


def check_text(text: str, path: Sequence[str | int]) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{at(path)} holds {text[error.start]!r}, half of a surrogate pair: that is no text") from None


def _raise_loss(value: object, path: list[str | int]) -> None:
    if isinstance(value, _Loss):
        raise ValueError(f"{at(path)}: {value.problem}")
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        _raise_loss(item, [*path, name])


def at(path: Sequence[str | int]) -> str:
    return "value" + "".join(f"[{part!r}]" for part in path)


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}..."
