"""The rules compiled to code: it tells whether a request keeps to them. `checker` says what is wrong with the others.

The code is written out from the same rules, one function a message: nearly all requests are good, and reading fields is
what costs. A value that fails a quick test is looked at by the function that `checker` uses.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pool import DescriptorPool

from lockstitch_server.config import Limits
from lockstitch_server.rpc import conditions
from lockstitch_server.rpc.rules import (
    Count,
    Custom,
    Each,
    Id,
    Json,
    Keys,
    Known,
    Number,
    OneOf,
    Required,
    Rule,
    Sub,
    Text,
    Values,
)
from lockstitch_server.rpc.violation import Violation

Predicate = Callable[[Any], bool]


def compile_rules(
    rules: Mapping[str, Mapping[str, Sequence[Rule]]], pool: DescriptorPool, limits: Limits
) -> Mapping[str, Predicate]:
    """A function for each message type: whether a message keeps to its rules."""
    writer = _Writer(limits)
    source = "\n".join(
        line for name, fields in rules.items() for line in writer.function(pool.FindMessageTypeByName(name), fields)
    )
    exec(source, writer.names)  # noqa: S102 - written here, out of the rules
    return {name: _guarded(writer.names[_function(name)]) for name in rules}


def _guarded(check: Predicate) -> Predicate:
    def keeps(message: Any) -> bool:
        try:
            return check(message)
        except Violation:
            return False

    return keeps


class _Writer:
    """Writes functions; what they refer to is in `names`."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.names: dict[str, Any] = {
            "limits": limits,
            "id_text": conditions.id_text,
            "json_text": conditions.json_text,
            "short_text": conditions.short_text,
        }

    def function(self, message: Descriptor, fields: Mapping[str, Sequence[Rule]]) -> Iterator[str]:
        """The lines of a message's function."""
        yield f"def {_function(message.full_name)}(m):"
        for name, rules in fields.items():
            field = message.fields_by_name.get(name)
            for rule in rules:
                yield from self._field(name, field, rule)
        yield "    return True"

    def _field(self, name: str, field: FieldDescriptor | None, rule: Rule) -> Iterator[str]:
        if field is None:
            yield from self._whole(name, rule)
        elif isinstance(rule, Required):
            yield f"    if not m.HasField({name!r}): return False"
            yield from self._value(f"m.{name}", field, rule, "    ")
        elif field.has_presence:
            yield f"    if m.HasField({name!r}):"
            yield from self._value(f"m.{name}", field, rule, "        ")
        else:
            yield from self._value(f"m.{name}", field, rule, "    ")

    def _whole(self, name: str, rule: Rule) -> Iterator[str]:
        """Rules about the message, not one of its fields."""
        match rule:
            case OneOf():
                yield f"    if m.WhichOneof({name!r}) is None: return False"
            case Custom(check):
                yield f"    {self._named(check)}(m, limits)"
            case _:
                raise TypeError(rule)

    def _value(self, value: str, field: FieldDescriptor, rule: Rule, indent: str) -> Iterator[str]:
        match rule:
            case Each(item):
                yield f"{indent}for item in {value}:"
                yield from self._value("item", field, item, indent + "    ")
            case Keys(item):
                yield f"{indent}for key in {value}:"
                yield from self._value("key", _entry(field, "key"), item, indent + "    ")
            case Values(item):
                yield f"{indent}for entry in {value}.values():"
                yield from self._value("entry", _entry(field, "value"), item, indent + "    ")
            case Json(optional=False):
                yield f"{indent}json_text({value})"
            case Json():
                yield f"{indent}v = {value}"
                yield f"{indent}if v: json_text(v)"
            case Id(most, least):
                limit = self._limit(most)
                yield f"{indent}v = {value}"
                yield f"{indent}if not ({least} <= len(v) <= {limit} and v.isascii() and (v.isprintable() or not v)):"
                yield f"{indent}    id_text(v, {least}, {limit})"
            case Text(most):
                limit = self._limit(most)
                yield f"{indent}v = {value}"
                yield f"{indent}if not (len(v) <= {limit} and v.isascii()): short_text(v, {limit})"
            case _:
                yield f"{indent}v = {value}"
                yield f"{indent}if not ({self._condition(field, rule)}): return False"

    def _condition(self, field: FieldDescriptor, rule: Rule) -> str:
        match rule:
            case Number(high, low):
                return f"{low} <= v <= {high}"
            case Count(most, least):
                return f"{least} <= len(v) <= {self._limit(most)}"
            case Known():
                return "v != 0"
            case Sub() | Required():
                assert field.message_type is not None
                return f"{_function(field.message_type.full_name)}(v)"
        raise TypeError(rule)

    def _limit(self, most: int | str) -> int:
        return getattr(self._limits, most) if isinstance(most, str) else most

    def _named(self, thing: Any) -> str:
        name = f"custom_{thing.__name__}"
        self.names[name] = thing
        return name


def _function(message: str) -> str:
    return f"keeps_{message.replace('.', '_')}"


def _entry(field: FieldDescriptor, name: str) -> FieldDescriptor:
    """The field of a map's entries."""
    assert field.message_type is not None
    return field.message_type.fields_by_name[name]
