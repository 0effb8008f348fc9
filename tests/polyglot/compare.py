"""Whether an answer is what a scenario expects."""

from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message as ProtobufMessage

from tests.polyglot.messages import MESSAGES, decode, exactly, to_message


class Mismatch(AssertionError):
    """An answer is not what was expected."""


def compare(expected: Any, actual: Any, key: str = "", path: str = "") -> None:
    """Raise Mismatch unless the answer is as expected, in the terms of README.md.

    key: under which key both stand; path: where, for the message.
    """
    if isinstance(expected, ProtobufMessage) or (key in MESSAGES and isinstance(expected, dict)):
        _compare_message(expected, actual, key, path)
    elif isinstance(expected, dict):
        _require(isinstance(actual, dict), expected, actual, path)
        if key == "error":
            compare_error(expected, actual)
            return
        for name, value in expected.items():
            compare(value, actual.get(name), name, f"{path}.{name}")
    elif isinstance(expected, list):
        _require(isinstance(actual, list) and len(actual) == len(expected), expected, actual, path)
        for number, (one, other) in enumerate(zip(expected, actual, strict=True)):
            compare(one, other, key, f"{path}[{number}]")
    else:
        _require(_plain(expected, actual), expected, actual, path)


def compare_error(expected: dict[str, Any], actual: dict[str, Any]) -> None:
    """Raise Mismatch unless an error is the expected one. `code` may be a list of those that will do."""
    codes = expected.get("code")
    if isinstance(codes, list):
        _require(actual.get("code") in codes, codes, actual, ".code")
        expected = {name: value for name, value in expected.items() if name != "code"}
    compare(expected, actual)


def _plain(expected: Any, actual: Any) -> bool:
    if isinstance(expected, int) and not isinstance(expected, bool) and isinstance(actual, str):
        return actual == str(expected)
    return type(expected) is type(actual) and bool(expected == actual)


def _compare_message(expected: Any, actual: Any, key: str, path: str) -> None:
    _require(isinstance(actual, str), "a message", actual, path)
    found = decode(key, actual)
    if isinstance(expected, dict) and "$has" in expected:
        _compare_fields(expected["$has"], found, path)
    elif isinstance(expected, dict) and "$lacks" in expected:
        for name in expected["$lacks"]:
            _require(not found.HasField(name), f"no {name}", found, path)
    else:
        wanted = to_message(key, expected)
        if exactly(wanted) != exactly(found):
            raise Mismatch(f"{path or key}: expected\n{_shown(wanted)}\n and got\n{_shown(found)}")


def _compare_fields(expected: dict[str, Any], found: ProtobufMessage, path: str) -> None:
    """Only the fields given; of a message within that has `$has`, again only those given."""
    for name, value in expected.items():
        if isinstance(value, dict) and "$has" in value:
            _require(found.HasField(name), name, found, path)
            _compare_fields(value["$has"], getattr(found, name), f"{path}.{name}")
        else:
            wanted = json_format.ParseDict({name: value}, type(found)())
            present = not wanted.DESCRIPTOR.fields_by_name[name].has_presence or found.HasField(name)
            _require(present and getattr(found, name) == getattr(wanted, name), f"{name}: {value}", found, path)


def _shown(message: ProtobufMessage) -> str:
    text = json_format.MessageToJson(message, preserving_proto_field_name=True, ensure_ascii=False, sort_keys=True)
    return f"{text}\n{exactly(message).hex()}"[:20_000]


def _require(condition: bool, expected: Any, actual: Any, path: str) -> None:
    if not condition:
        raise Mismatch(f"{path or 'answer'}: expected {expected!r} and got {actual!r}"[:20_000])
