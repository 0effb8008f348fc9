"""What the contract's rules say of a message, as plainly as possible: the measure for the compiled rules.

Nothing here is shared with the server but the rules themselves, and the functions that rules about whole messages are.
"""

import json
import unicodedata
from collections.abc import Iterator
from typing import Any

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from lockstitch_server.config import Limits
from lockstitch_server.validation import Violation
from lockstitch_server.validation.contract import CONTRACT
from lockstitch_server.validation.rules import (
    Count,
    Each,
    Entries,
    FieldRule,
    Id,
    Json,
    KnownFields,
    MessageRule,
    NonZero,
    Number,
    OneOf,
    Required,
    Seconds,
    Sub,
    Text,
    Time,
)

NS = 1_000_000_000


def broken(message: Message, limits: Limits, path: str = "") -> Iterator[str]:
    """The paths of everything that breaks a rule."""
    fields = message.DESCRIPTOR.fields_by_name
    for name, rules in CONTRACT[message.DESCRIPTOR.full_name].items():
        for rule in rules:
            if name in fields:
                yield from _field(message, fields[name], rule, limits, path)
            else:
                yield from _whole(message, name, rule, limits, path)


def _whole(message: Message, name: str, rule: FieldRule, limits: Limits, path: str) -> Iterator[str]:
    match rule:
        case OneOf():
            if not any(message.HasField(field.name) for field in message.DESCRIPTOR.oneofs_by_name[name].fields):
                yield _under(path, name)
        case MessageRule(check):
            try:
                check(message, limits)
            except Violation as violation:
                yield _under(path, violation.path)
        case KnownFields():
            if len(UnknownFieldSet(message)):
                yield path
        case _:
            raise TypeError(rule)


def _field(message: Any, field: Any, rule: FieldRule, limits: Limits, path: str) -> Iterator[str]:
    place = _under(path, field.name)
    if field.has_presence and not message.HasField(field.name):
        if isinstance(rule, Required):
            yield place
        return
    yield from _value(getattr(message, field.name), rule, limits, place)


def _value(value: Any, rule: FieldRule, limits: Limits, path: str) -> Iterator[str]:
    match rule:
        case Sub() | Required():
            yield from broken(value, limits, path)
        case Each(each):
            for number, item in enumerate(value):
                yield from _value(item, each, limits, f"{path}[{number}]")
        case Entries(keys, values):
            for key in value:
                if keys is not None:
                    yield from _value(key, keys, limits, f"{path} key")
                if values is not None:
                    yield from _value(value[key], values, limits, f"{path}[{key!r}]")
        case _:
            if not _keeps(value, rule, limits):
                yield path


def _keeps(value: Any, rule: FieldRule, limits: Limits) -> bool:
    match rule:
        case Id(most, least):
            size = len(value.encode())
            return least <= size <= _limit(most, limits) and all(unicodedata.category(c) != "Cc" for c in value)
        case Text(most):
            return bool(len(value.encode()) <= _limit(most, limits))
        case Number(most, least):
            return bool(least <= value <= _limit(most, limits))
        case Count(most, least):
            return least <= len(list(value)) <= _limit(most, limits)
        case NonZero():
            return bool(value != 0)
        case Time():
            return _has_nanos(value) and -62_135_596_800 * NS <= _ns(value) < 253_402_300_800 * NS
        case Seconds(most, least):
            return _has_nanos(value) and least * NS <= _ns(value) <= _limit(most, limits) * NS
        case Json(optional):
            return bool(optional and not value) or _is_json(value)
        case KnownFields():
            return len(UnknownFieldSet(value)) == 0
    raise TypeError(rule)


def _ns(value: Any) -> int:
    return int(value.seconds * NS + value.nanos)


def _has_nanos(value: Any) -> bool:
    return bool(0 <= value.nanos < NS)


def _is_json(text: str) -> bool:
    try:
        json.loads(text, parse_constant=_no_constant, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return False
    return True


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _limit(most: int | str, limits: Limits) -> int:
    return int(getattr(limits, most)) if isinstance(most, str) else most


def _under(path: str, name: str) -> str:
    return f"{path}.{name}" if path and name else path + name
