"""Which items of a memory a search selects, and which namespaces a list."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from langgraph.store.base import MatchCondition

COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "$eq": lambda value, bound: bool(value == bound),
    "$ne": lambda value, bound: bool(value != bound),
    "$gt": lambda value, bound: bool(value > bound),
    "$gte": lambda value, bound: bool(value >= bound),
    "$lt": lambda value, bound: bool(value < bound),
    "$lte": lambda value, bound: bool(value <= bound),
}
ANY = "*"


def selects(wanted: Mapping[str, Any] | None, value: Mapping[str, Any]) -> bool:
    """Whether a filter of a search selects a value. Raises ValueError for an operator that does not exist."""
    return all(_is(value.get(key), each) for key, each in (wanted or {}).items())


def _is(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping) and any(str(key).startswith("$") for key in wanted):
        return all(_compares(value, operator, bound) for operator, bound in wanted.items())
    if isinstance(wanted, Mapping):
        return isinstance(value, Mapping) and selects(wanted, value)
    if isinstance(wanted, list | tuple):
        if not isinstance(value, list) or len(value) != len(wanted):
            return False
        return all(map(_is, value, wanted))
    return bool(value == wanted)


def _compares(value: Any, operator: str, bound: Any) -> bool:
    if operator not in COMPARISONS:
        raise ValueError(f"a filter has the operator {operator!r}; there are {', '.join(COMPARISONS)}")
    try:
        return COMPARISONS[operator](value, bound)
    except TypeError:  # a text and a number have no order
        return False


def lists(conditions: Iterable[MatchCondition] | None, namespace: tuple[str, ...]) -> bool:
    """Whether a list of namespaces has this one."""
    return all(_matches(condition, namespace) for condition in conditions or ())


def _matches(condition: MatchCondition, namespace: tuple[str, ...]) -> bool:
    path = tuple(condition.path)
    if len(path) > len(namespace):
        return False
    part = namespace[: len(path)] if condition.match_type == "prefix" else namespace[len(namespace) - len(path) :]
    return all(wanted in (ANY, label) for wanted, label in zip(path, part, strict=True))


def common_prefix(conditions: Iterable[MatchCondition] | None) -> tuple[str, ...]:
    """Labels that all namespaces of a list begin with."""
    for condition in conditions or ():
        path = tuple(condition.path)
        if condition.match_type == "prefix":
            return path[: path.index(ANY)] if ANY in path else path
    return ()
