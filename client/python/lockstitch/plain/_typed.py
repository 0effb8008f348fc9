"""Dataclasses, pydantic's models and TypedDicts as dicts, and back."""

import dataclasses
import types
from collections.abc import Mapping
from enum import Enum
from typing import Any, Union, get_args, get_origin, get_type_hints

from lockstitch import _json
from lockstitch.plain._codec import Path


def to_plain(value: Any, path: Path = ()) -> Any:
    """A value with dicts in place of dataclasses and models, and with values in place of enums.

    >>> to_plain(Order(size="XL"))
    {'size': 'XL'}
    """
    if hasattr(value, "model_dump") and not isinstance(value, type):
        return value.model_dump(mode="json", round_trip=True)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: to_plain(getattr(value, name), (*path, name)) for name in names}
    if isinstance(value, Enum):
        return value.value
    if type(value) is list:
        return [to_plain(item, (*path, index)) for index, item in enumerate(value)]
    if type(value) is dict:
        return {key: to_plain(item, (*path, key)) for key, item in value.items()}
    return value


def from_plain(kind: Any, data: Any, path: Path = ()) -> Any:
    """A value of this type. Raises ValueError, with the path, where the type has no place for something.

    >>> from_plain(Order, {"size": "XL"})
    Order(size='XL')
    """
    if hasattr(kind, "model_validate"):
        model = kind.model_validate(data)
        _check_kept(data, to_plain(model), path, kind)
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


def _dataclass(kind: type, data: Any, path: Path) -> Any:
    if not isinstance(data, dict):
        raise ValueError(f"{_json.at(path)} is of type {type(data).__name__}, not a dict for {kind.__name__}")
    hints = get_type_hints(kind)
    fields = {field.name for field in dataclasses.fields(kind) if field.init}
    if extra := sorted(data.keys() - fields):
        raise ValueError(f"{_json.at((*path, extra[0]))} is stored, and {kind.__name__} has no such field")
    try:
        return kind(**{name: from_plain(hints[name], item, (*path, name)) for name, item in data.items()})
    except TypeError as error:
        raise ValueError(f"{_json.at(path)}: {error}") from error


def _one_of(kinds: tuple[Any, ...], data: Any, path: Path) -> Any:
    """A value of the only one of these types that is not None; as it is where there are several."""
    others = [kind for kind in kinds if kind is not types.NoneType]
    return from_plain(others[0], data, path) if len(others) == 1 else data


def _check_kept(data: Any, kept: Any, path: Path, kind: Any) -> None:
    """A model that ignores a key would lose it at the next save."""
    if isinstance(data, Mapping) and isinstance(kept, Mapping):
        for key, item in data.items():
            if key not in kept:
                raise ValueError(f"{_json.at((*path, key))} is stored, and {kind.__name__} does not keep it")
            _check_kept(item, kept[key], (*path, key), kind)
