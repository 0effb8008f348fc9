"""Dataclasses, pydantic's models and TypedDicts as dicts, and back."""

import dataclasses
import inspect
import types
from enum import Enum
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from lockstitch import _json
from lockstitch.plain._codec import Path

TOO_DEEP = f"the value is nested more than {_json.MAX_DEPTH} deep, or holds itself"


def to_plain(value: Any, path: Path = ()) -> Any:
    """A value with dicts in place of dataclasses and models, and with values in place of enums.

    Raises ValueError for a value that is nested too deep.

    >>> to_plain(Order(size="XL"))
    {'size': 'XL'}
    """
    try:
        return _plain(value, path)
    except RecursionError as error:  # the caller itself may be deep in calls
        raise ValueError(TOO_DEEP) from error


def _plain(value: Any, path: Path) -> Any:
    if len(path) > _json.MAX_DEPTH and isinstance(value, list | dict):
        raise ValueError(TOO_DEEP)
    if hasattr(value, "model_dump") and not isinstance(value, type):
        return value.model_dump(mode="json", round_trip=True, by_alias=_by_alias(value, path))
    members: dict[Any, Any] = {}  # filled by loops: a comprehension takes half of the depth that Python 3.11 allows
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        _check_arguments(type(value), path)
        for field in dataclasses.fields(value):
            members[field.name] = _plain(getattr(value, field.name), (*path, field.name))
        return members
    if isinstance(value, Enum):
        return value.value
    if type(value) is list:
        items: list[Any] = []
        for index, item in enumerate(value):
            items.append(_plain(item, (*path, index)))
        return items
    if type(value) is dict:
        for key, item in value.items():
            members[key] = _plain(item, (*path, key))
        return members
    return value


def from_plain(kind: Any, data: Any, path: Path = ()) -> Any:
    """A value of this type. Raises ValueError, with the path, where the type has no place for something.

    >>> from_plain(Order, {"size": "XL"})
    Order(size='XL')
    """
    if hasattr(kind, "model_validate"):
        model = kind.model_validate(data)
        by_alias = _by_alias(model, path)
        kept = model.model_dump(mode="json", round_trip=True, by_alias=by_alias)
        _check_kept(data, kept, model.model_dump(round_trip=True, by_alias=by_alias), path, kind)
        return model
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _dataclass(kind, data, path)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(data)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return data if data is None else _one_of(arguments, data, path)
    if origin is list and isinstance(data, list):
        return [from_plain(arguments[0], item, (*path, index)) for index, item in enumerate(data)]
    if origin is dict and isinstance(data, dict):
        return {key: from_plain(arguments[1], item, (*path, key)) for key, item in data.items()}
    return data


def check_comes_back(kind: Any, value: Any, plain: Any) -> None:
    """Raises ValueError, with the path, where this type makes something else of `plain` than what it was made of.

    For example a dict, of a dataclass in a field of type `Sequence[Item]`. A state of type `dict` has dicts in place of
    dataclasses and models, and a model has been checked already.
    """
    if kind is not dict and not (type(value) is kind and hasattr(kind, "model_validate")):
        _check_same(value, from_plain(kind, plain), ())


def _check_same(value: Any, again: Any, path: Path) -> None:
    if dataclasses.is_dataclass(value) and type(value) is type(again):
        for field in dataclasses.fields(value):
            _check_same(getattr(value, field.name), getattr(again, field.name), (*path, field.name))
    elif type(value) is list and type(again) is list and len(value) == len(again):
        for index, (item, other) in enumerate(zip(value, again, strict=True)):
            _check_same(item, other, (*path, index))
    elif type(value) is dict and type(again) is dict and value.keys() == again.keys():
        for key, item in value.items():
            _check_same(item, again[key], (*path, key))
    elif value is not again and value != again:
        kind = type(value).__name__
        raise ValueError(
            f"{_json.at(path)} is of type {kind}, and would come back as {type(again).__name__}: give the field the "
            f"type {kind}, list[{kind}] or dict[str, {kind}], or one of them or None"
        )


def _dataclass(kind: type, data: Any, path: Path) -> Any:
    if not isinstance(data, dict):
        raise ValueError(f"{_json.at(path)} is of type {type(data).__name__}, not a dict for {kind.__name__}")
    hints = get_type_hints(kind)
    fields = {field.name: field.init for field in dataclasses.fields(kind)}
    if extra := sorted(data.keys() - fields.keys()):
        raise ValueError(f"{_json.at((*path, extra[0]))} is stored, and {kind.__name__} has no such field")
    values = {name: from_plain(hints[name], item, (*path, name)) for name, item in data.items()}
    try:
        made = kind(**{name: value for name, value in values.items() if fields[name]})
    except TypeError as error:
        raise ValueError(f"{_json.at(path)}: {error}") from error
    for name, value in values.items():
        if not fields[name]:
            object.__setattr__(made, name, value)  # it was computed, or set later; the class may be frozen
    return made


def _check_arguments(kind: type, path: Path) -> None:
    """Raises ValueError for a dataclass that cannot be made from its fields."""
    if (missing := _missing_arguments(kind)) is not None:
        raise ValueError(
            f"{_json.at((*path, missing))} is an argument of {kind.__name__} without a default, and no field of it: "
            "the value would not come back"
        )


@cache
def _missing_arguments(kind: type) -> str | None:
    """An argument that a dataclass needs and that its fields do not give, such as an InitVar."""
    fields = {field.name for field in dataclasses.fields(kind)}
    for name, parameter in inspect.signature(kind).parameters.items():
        needed = parameter.default is parameter.empty and parameter.kind not in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        )
        if needed and name not in fields:
            return name
    return None


def _one_of(kinds: tuple[Any, ...], data: Any, path: Path) -> Any:
    """A value of the only one of these types that is not None; as it is where there are several."""
    others = [kind for kind in kinds if kind is not types.NoneType]
    return from_plain(others[0], data, path) if len(others) == 1 else data


def _by_alias(model: Any, path: Path) -> bool:
    """Whether the model comes back from its JSON by its fields' aliases, or by their names.

    Raises ValueError, with the path, where it comes back by neither: subclasses in a field of their base, secrets.
    """
    difference: Path = path
    for by_alias in (False, True):
        try:
            again = type(model).model_validate(model.model_dump(mode="json", round_trip=True, by_alias=by_alias))
        except ValueError:
            continue
        # As what they are, not as what their fields are declared as: a subclass may have more.
        mine, other = (each.model_dump(round_trip=True, serialize_as_any=True) for each in (model, again))
        if (found := _difference(mine, other, path)) is None:
            return by_alias
        difference = found
    raise ValueError(f"{_json.at(difference)} does not come back from the JSON of {type(model).__name__}")


def _difference(one: Any, other: Any, path: Path) -> Path | None:
    """The path of the first place where two dumps differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in one.keys() | other.keys():
            if key not in one or key not in other:
                return (*path, key)
            if (found := _difference(one[key], other[key], (*path, key))) is not None:
                return found
        return None
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        places = (_difference(*pair, (*path, index)) for index, pair in enumerate(zip(one, other, strict=True)))
        return next((place for place in places if place is not None), None)
    return None if type(one) is type(other) and (one == other or one != one) else path


def _check_kept(data: Any, kept: Any, own: Any, path: Path, kind: Any) -> None:
    """A model that ignores or changes something would lose it at the next save. kept, own: as JSON, and as it is."""
    if isinstance(data, dict) and isinstance(kept, dict):
        values = dict(zip(kept, own.values(), strict=True)) if isinstance(own, dict) else kept
        for key, item in data.items():
            if key not in kept:
                raise ValueError(f"{_json.at((*path, key))} is stored, and {kind.__name__} does not keep it")
            _check_kept(item, kept[key], values[key], (*path, key), kind)
    elif isinstance(data, list) and isinstance(kept, list):
        if len(data) != len(kept):
            raise ValueError(f"{_json.at(path)}: {kind.__name__} keeps {len(kept)} of {len(data)} stored items")
        if isinstance(own, set | frozenset):
            return  # the order of a set is not kept
        items = own if isinstance(own, list | tuple) else kept
        for index, (item, again, one) in enumerate(zip(data, kept, items, strict=True)):
            _check_kept(item, again, one, (*path, index), kind)
    elif type(own) in _JSON_TYPES and data != own:  # other types, such as times, have several texts for a value
        raise ValueError(f"{_json.at(path)} is stored as {data!r}, and {kind.__name__} makes {own!r} of it")


_JSON_TYPES = (bool, int, float, str, type(None), list, dict)
