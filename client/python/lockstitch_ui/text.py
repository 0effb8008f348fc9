"""Stored text for people's eyes: what would hide or reorder text is made visible."""

import unicodedata
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

_KEPT = "\n\t"
_HIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")


def visible(text: str) -> str:
    """A text whose control characters, bidi overrides and invisible characters can be seen. Line feeds and tabs stay.

    >>> visible("a\\x00b\\u202ec")
    'a⟨U+0000⟩b⟨U+202E⟩c'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_visible, text))


def _visible(character: str) -> str:
    if character.isprintable() or character in _KEPT:
        return character
    if unicodedata.category(character) in _HIDDEN_CATEGORIES:
        return f"\u27e8U+{ord(character):04X}\u27e9"
    return character


def size(count: float) -> str:
    """Bytes in a short form.

    >>> size(1536)
    '1.5 KiB'
    """
    if count < 1024:
        return f"{count:.0f} B"
    exponent = min((int(count).bit_length() - 1) // 10, len(_UNITS))
    return f"{count / 1024**exponent:.1f} {_UNITS[exponent - 1]}"


def duration(seconds: float) -> str:
    """A length of time by its two largest units.

    >>> duration(3700)
    '1 h 1 min'
    """
    if seconds < 1:
        return f"{max(0.0, seconds) * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    if minutes < 60:
        return _two(minutes, "min", int(seconds % 60), "s")
    if minutes < 48 * 60:
        return _two(minutes // 60, "h", minutes % 60, "min")
    return _two(minutes // 1440, "d", minutes // 60 % 24, "h")


def age(seconds: float) -> str:
    """How long ago, without seconds where they say nothing.

    >>> age(125)
    '2 min'
    """
    return duration(seconds) if seconds < 60 else duration(seconds // 60 * 60)


def _two(first: int, unit: str, second: int, smaller: str) -> str:
    return f"{first} {unit} {second} {smaller}" if second else f"{first} {unit}"


def moment(time: Timestamp) -> str:
    """A time in UTC, in the form of ISO 8601, to the second; "" for none."""
    if not time.seconds and not time.nanos:
        return ""
    try:
        return datetime.fromtimestamp(time.seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError):
        return f"{time.seconds} s"


def clock(at: float) -> str:
    """A time in seconds since the epoch, as date and time of day in UTC.

    >>> clock(60)
    '1970-01-01 00:01:00'
    """
    return moment(Timestamp(seconds=int(at)))


def seconds(time: Timestamp) -> float:
    """Seconds since the epoch."""
    return time.seconds + time.nanos / 1e9
