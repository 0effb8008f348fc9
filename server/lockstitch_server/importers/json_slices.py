"""Takes a JSON text apart without touching the parts: each is the very text that stood there.

Parsing and writing again would change numbers (1e16, 1.0, integers above 2^53) and escapes.
"""

import json
import re
from collections.abc import Iterator
from typing import NoReturn

_SPACE = re.compile(r"[ \t\n\r]*")


class NotJson(ValueError):
    """The text is not JSON, or not the kind of value that was wanted."""


def members(text: str) -> dict[str, str]:
    """The members of an object, each value as the text it is. Of equal keys the last one counts."""
    return {json.loads(key): value for key, value in _split(text, "{", "}")}


def elements(text: str) -> list[str]:
    """The elements of an array, each as the text it is."""
    return [value for _, value in _split(text, "[", "]")]


def _refuse(name: str) -> NoReturn:
    raise NotJson(f"{name} is not JSON")


# Numbers stay text: they are not looked at, and an integer may have more digits than Python converts.
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_refuse)


def _split(text: str, opening: str, closing: str) -> Iterator[tuple[str, str]]:
    """Key and value of each item of the object or array that is the whole text. Elements have the key ""."""
    at = _expect(text, _space(text, 0), opening)
    if text.startswith(closing, at):
        return _finish(text, at + 1)
    while True:
        key = ""
        if opening == "{":
            key, at = _string(text, at)
            at = _expect(text, at, ":")
        value, at = _value(text, at)
        yield key, value
        if not text.startswith(",", at):
            return _finish(text, _expect(text, at, closing))
        at = _space(text, at + 1)


def _value(text: str, start: int) -> tuple[str, int]:
    """The text of the value that begins there, and where the next thing begins."""
    try:
        _, end = _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise NotJson(str(error)) from None
    except RecursionError:
        raise NotJson("nested too deeply") from None
    return text[start:end], _space(text, end)


def _string(text: str, start: int) -> tuple[str, int]:
    if not text.startswith('"', start):
        raise NotJson(f"no key at character {start}")
    return _value(text, start)


def _expect(text: str, at: int, char: str) -> int:
    if not text.startswith(char, at):
        raise NotJson(f"no {char!r} at character {at}")
    return _space(text, at + 1)


def _finish(text: str, at: int) -> None:
    if _space(text, at) != len(text):
        raise NotJson(f"more text at character {at}")


def _space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found
    return found.end()
