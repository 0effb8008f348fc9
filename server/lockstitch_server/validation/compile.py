"""Compiles rules to Python code: one function for each message type, which raises the first violation.

Reading fields is most of the cost of validation, so the code reads each field once, has no loop over rules, and passes
over lists and maps that are empty. A value that passes its rule's quick test is valid. A value that fails it goes to
`explain.refuse`, which decides.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.unknown_fields import UnknownFieldSet

from lockstitch_server.config import Limits
from lockstitch_server.validation.explain import parses_json, refuse
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
    Rule,
    Seconds,
    Sub,
    Text,
    Time,
)
from lockstitch_server.validation.violation import Violation

Check = Callable[[Any], None]
"""Checks a message. Raises Violation."""
FIRST_SECOND, LAST_SECOND = -62_135_596_800, 253_402_300_799
"""Of the years 1 to 9999, which a Timestamp may hold."""
NANOS = 1_000_000_000


def compile_rules(
    contract: Mapping[str, Mapping[str, Sequence[FieldRule]]], pool: DescriptorPool, limits: Limits
) -> Mapping[str, Check]:
    """A function for each message type of the contract, by the type's full name."""
    compiler = _Compiler(limits)
    source = "\n".join(
        line
        for name, fields in contract.items()
        for line in compiler.function(pool.FindMessageTypeByName(name), fields)
    )
    exec(source, compiler.names)  # noqa: S102 - the code is written here, from the rules
    return {name: compiler.names[_function(name)] for name in contract}


class _Compiler:
    """Writes functions; `names` holds what their code refers to."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.names: dict[str, Any] = {
            "limits": limits,
            "parses_json": parses_json,
            "refuse": refuse,
            "UnknownFieldSet": UnknownFieldSet,
            "Violation": Violation,
        }

    def function(self, message: Descriptor, fields: Mapping[str, Sequence[FieldRule]]) -> Iterator[str]:
        """The lines of a message type's function."""
        yield f"def {_function(message.full_name)}(m):"
        yield "    pass"
        for name, rules in fields.items():
            field = message.fields_by_name.get(name)
            if field is not None:
                yield from _indented(self._field(field, rules, _presence(field, fields)))
                continue
            for rule in rules:
                yield from _indented(self._message(message, name, rule))

    def _message(self, message: Descriptor, name: str, rule: FieldRule) -> Iterator[str]:
        """A rule about the message, not about one of its fields."""
        match rule:
            case OneOf():
                fields = [field.name for field in message.oneofs_by_name[name].fields]
                yield f"{_which(name)} = m.WhichOneof({name!r})"
                yield f"if {_which(name)} is None: {self._refuse(rule, repr(fields), repr(name))}"
            case MessageRule(check):
                yield f"{self._named('rule', check)}(m, limits)"
            case KnownFields():
                yield from self._value("m", None, rule, "''")
            case _:
                raise TypeError(rule)

    def _field(self, field: FieldDescriptor, rules: Sequence[FieldRule], presence: str) -> Iterator[str]:
        """The lines that check a field. presence: an expression that says whether it is set; empty: it always is."""
        path, lines = repr(field.name), [f"f = m.{field.name}"]
        for rule in rules:
            if isinstance(rule, Required):
                yield f"if not {presence}: {self._refuse(rule, 'None', path)}"
                presence = ""
        checks = [line for rule in rules for line in self._value("f", field, rule, path)]
        if field.is_repeated and not any(isinstance(rule, Count) and rule.least for rule in rules):
            checks = ["if f:", *_indented(checks)]
        lines += checks
        yield from [f"if {presence}:", *_indented(lines)] if presence else lines

    def _value(self, value: str, field: FieldDescriptor | None, rule: FieldRule, path: str) -> Iterator[str]:
        """The lines that check a value. value, path: Python expressions; `path` is evaluated for violations only."""
        match rule:
            case Each(item):
                yield f"for i, item in enumerate({value}):"
                yield from _indented(self._value("item", field, item, f"{path} + f'[{{i}}]'"))
            case Entries(keys, values):
                yield f"for key in {value}:"
                for name, each, expression, place in (
                    ("key", keys, "key", f"{path} + ' key'"),
                    ("value", values, f"{value}[key]", f"{path} + f'[{{key!r}}]'"),
                ):
                    if each is not None:
                        yield from _indented(self._value(expression, _type_of(field).fields_by_name[name], each, place))
            case Sub() | Required():
                yield f"try: {_function(_type_of(field).full_name)}({value})"
                yield f"except Violation as violation: raise violation.under({path}) from None"
            case MessageRule():
                raise TypeError(rule)
            case _:
                yield f"v = {value}"
                yield f"if not ({self._quick_test(rule)}): {self._refuse(rule, 'v', path)}"

    def _quick_test(self, rule: Rule) -> str:
        """An expression about `v` that is true for valid values only, and for nearly all of them."""
        match rule:
            case Id(_, least):
                return f"{least} <= len(v) <= {self._most(rule)} and v.isascii() and (v.isprintable() or not v)"
            case Text():
                return f"len(v) <= {self._most(rule)} and v.isascii()"
            case Number(_, least):
                return f"{least} <= v <= {self._most(rule)}"
            case Count(_, least):
                return f"{least} <= len(v) <= {self._most(rule)}"
            case NonZero():
                return "v"
            case Json(optional):
                return "not v or parses_json(v)" if optional else "parses_json(v)"
            case Time():
                return f"{FIRST_SECOND} <= v.seconds <= {LAST_SECOND} and 0 <= v.nanos < {NANOS}"
            case Seconds(_, least):
                most = self._most(rule)
                return f"{least} <= v.seconds <= {most} and 0 <= v.nanos < (1 if v.seconds == {most} else {NANOS})"
            case KnownFields():
                return "not len(UnknownFieldSet(v))"
        raise TypeError(rule)

    def _refuse(self, rule: Rule, value: str, path: str) -> str:
        return f"refuse({value}, {self._named('data', rule)}, {self._most(rule)}, {path})"

    def _most(self, rule: Rule) -> int:
        """The limit of a rule as a number; 0 where it has none."""
        most: int | str = getattr(rule, "most", 0)
        return getattr(self._limits, most) if isinstance(most, str) else most

    def _named(self, kind: str, thing: object) -> str:
        name = f"{kind}_{len(self.names)}"
        self.names[name] = thing
        return name


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"    {line}" for line in lines)


def _presence(field: FieldDescriptor, fields: Iterable[str]) -> str:
    """An expression that says whether a field is set; empty: it always has a value.

    fields: names that have rules. A oneof that has them is asked once, for all of its fields.
    """
    oneof = field.containing_oneof
    if oneof is not None and oneof.name in fields:
        return f"{_which(oneof.name)} == {field.name!r}"
    return f"m.HasField({field.name!r})" if field.has_presence else ""


def _which(oneof: str) -> str:
    return f"which_{oneof}"


def _function(message: str) -> str:
    return f"check_{message.replace('.', '_')}"


def _type_of(field: FieldDescriptor | None) -> Descriptor:
    """The message type of a field; of a map, the type of its entries."""
    assert field is not None
    assert field.message_type is not None
    return field.message_type
