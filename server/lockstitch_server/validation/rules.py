"""The kinds of rules, as data. `contract` says which rules the fields of each message keep.

`most` is a number, or the name of a setting in `config.Limits`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lockstitch_server.config import Limits


@dataclass(frozen=True)
class Id:
    """Text of `least` to `most` bytes of UTF-8, without control characters."""

    most: int | str
    least: int = 0


@dataclass(frozen=True)
class Text:
    """Any text of at most `most` bytes of UTF-8."""

    most: int | str


@dataclass(frozen=True)
class Number:
    """A number from `least` to `most`."""

    most: int | str
    least: int = 0


@dataclass(frozen=True)
class Json:
    """JSON text (RFC 8259); also empty text where `optional`."""

    optional: bool = False


@dataclass(frozen=True)
class Time:
    """A google.protobuf.Timestamp that every language can hold: the years 1 to 9999."""


@dataclass(frozen=True)
class Seconds:
    """A google.protobuf.Duration from `least` to `most` seconds."""

    most: int | str
    least: int = 1


@dataclass(frozen=True)
class Count:
    """A repeated field or map with `least` to `most` entries."""

    most: int | str
    least: int = 0


@dataclass(frozen=True)
class NonZero:
    """A value other than 0, false or an unspecified enum value."""


@dataclass(frozen=True)
class Each:
    """Every item of a repeated field keeps a rule."""

    rule: "Rule"


@dataclass(frozen=True)
class Entries:
    """Every key and every value of a map keeps a rule; None: any key, any value."""

    keys: "Rule | None"
    values: "Rule | None"


@dataclass(frozen=True)
class Sub:
    """A message, where it is set, keeps the rules of its type."""


@dataclass(frozen=True)
class Required:
    """A message is set and keeps the rules of its type."""


@dataclass(frozen=True)
class OneOf:
    """One field of a oneof is set. Stands under the name of the oneof."""


@dataclass(frozen=True)
class KnownFields:
    """A message holds no fields that this server does not know: nothing of a delta may be ignored.

    Of the message itself where it stands under "".
    """


@dataclass(frozen=True)
class MessageRule:
    """A function that raises the violation of a message as a whole. Stands under ""."""

    check: Callable[[Any, Limits], None]


Rule = (
    Id | Text | Number | Json | Time | Seconds | Count | NonZero | Each | Entries | Sub | Required | OneOf | KnownFields
)
FieldRule = Rule | MessageRule
