"""The exact meaning of each rule about one value, and the text for a value that breaks it.

`compile` calls `refuse` only for values that fail a rule's quick test, which is stricter than the rule itself.
"""

import json
import re
from typing import Any, NoReturn

import orjson

from lockstitch_server.core.errors import Reason
from lockstitch_server.validation.rules import (
    Count,
    Id,
    Json,
    KnownFields,
    NonZero,
    Number,
    OneOf,
    Required,
    Rule,
    Seconds,
    Text,
    Time,
)
from lockstitch_server.validation.violation import Violation

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
MAX_JSON_DEPTH = 1000


def refuse(value: Any, rule: Rule, most: int, path: str) -> None:
    """Raise the violation of a rule by a value, or return where the value keeps the rule.

    most: the rule's limit as a number. path: the field of the value.
    """
    try:
        _refuse(value, rule, most)
    except Violation as violation:
        raise violation.under(path) from None


def is_id(text: str, most: int) -> bool:
    """Whether a text keeps the rule `Id(most)`."""
    try:
        _refuse_id(text, Id(most), most)
    except Violation:
        return False
    return True


def parses_json(text: str) -> bool:
    """Whether orjson parses a text. It refuses some that are JSON: lone surrogates, numbers beyond a double's range."""
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def refuse_json(text: str) -> None:
    """Raise the violation of a text that is not JSON (RFC 8259)."""
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if not _is_json(text):
            problem = f"is not JSON text: {error}; send JSON (RFC 8259) nested at most {MAX_JSON_DEPTH} deep"
            raise Violation(problem, reason=Reason.NOT_JSON) from None


def _refuse(value: Any, rule: Rule, most: int) -> None:
    match rule:
        case Id():
            _refuse_id(value, rule, most)
        case Text():
            _refuse_size(len(value.encode()), rule, most)
        case Json(optional):
            if value or not optional:
                refuse_json(value)
        case _:
            _refuse_quickly(value, rule, most)


def _refuse_quickly(value: Any, rule: Rule, most: int) -> NoReturn:
    """The violation of a rule whose quick test is exact."""
    match rule:
        case Number(_, least):
            raise Violation(
                f"is {value}; send a number from {least} to {most}{_setting(rule)}", min(max(value, least), most)
            )
        case Count(_, least):
            problem = f"has {len(value)} entries; send {least} to {most}{_setting(rule)}"
            raise Violation(problem, most)
        case Seconds(_, least):
            given = f"is {value.seconds} s and {value.nanos} ns"
            raise Violation(f"{given}; send {least} to {most} seconds{_setting(rule)}", most)
        case Time():
            given = f"is {value.seconds} s and {value.nanos} ns after 1970"
            raise Violation(f"{given}; send a time in the years 1 to 9999, with 0 to 999999999 nanos")
        case NonZero():
            raise Violation(f"is {value!r}, which stands for a missing value; set another one")
        case Required():
            raise Violation("is not set; set it")
        case OneOf():
            raise Violation(f"none of its fields is set; set one of: {', '.join(value)}")
        case KnownFields():
            problem = "holds fields that this server does not know; send the full state"
            raise Violation(problem, reason=Reason.DELTA_MISMATCH)
    raise TypeError(rule)


def _refuse_id(value: str, rule: Id, most: int) -> None:
    size = len(value.encode())
    if size < rule.least:
        raise Violation(f"has {size} bytes; send {rule.least} to {most}{_setting(rule)}", most)
    _refuse_size(size, rule, most)
    if found := CONTROL.search(value):
        problem = (
            f"holds the control character {found[0]!r} at position {found.start()}; control characters are refused"
        )
        raise Violation(f"{problem}: remove it")


def _refuse_size(size: int, rule: Id | Text, most: int) -> None:
    if size > most:
        raise Violation(f"has {size} bytes; the limit is {most} bytes{_setting(rule)}: shorten it", most)


def _setting(rule: Id | Text | Number | Count | Seconds) -> str:
    """Which setting the operator can change, where the limit is one."""
    return f" (limits.{rule.most})" if isinstance(rule.most, str) else ""


def _is_json(text: str) -> bool:
    try:
        json.loads(text, parse_constant=_no_constant, parse_float=str, parse_int=str)
    except (ValueError, RecursionError):
        return False
    return True


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)
