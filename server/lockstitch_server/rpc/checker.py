"""Checks requests against the rules.

Rules are compiled once into plain functions. A message is then checked by its fields that are set: what is absent,
empty or zero keeps to every rule but those that demand something, which are asked first.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from lockstitch.v1 import session_service_pb2
from lockstitch_server.config import Limits
from lockstitch_server.rpc.conditions import id_text, json_text, short_text
from lockstitch_server.rpc.rules import (
    RULES,
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
from lockstitch_server.rpc.swift import compile_rules
from lockstitch_server.rpc.violation import Violation

DESCRIPTORS = session_service_pb2.DESCRIPTOR.pool

Check = Callable[[Any], None]
"""Looks at a value; raises Violation."""


class _MessageCheck:
    """Checks messages of one type."""

    def __init__(self) -> None:
        self.demands: list[Check] = []
        """Of the whole message."""
        self.fields: dict[int, list[Check]] = {}
        """Of a value that is set, by field number."""

    def __call__(self, message: Any) -> None:
        for demand in self.demands:
            demand(message)
        fields = self.fields
        for descriptor, value in message.ListFields():
            for check in fields.get(descriptor.number, ()):
                try:
                    check(value)
                except Violation as violation:
                    raise violation.under(descriptor.name) from None


class Checker:
    """Checks messages against the rules, with an operator's limits."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._keeps = compile_rules(RULES, DESCRIPTORS, limits)
        self._checks = {name: _MessageCheck() for name in RULES}
        for name, rules in RULES.items():
            self._compile(DESCRIPTORS.FindMessageTypeByName(name), rules)

    def check(self, message: Message) -> None:
        """Fails with INVALID_FIELD or NOT_JSON, naming the field and the limit."""
        name = message.DESCRIPTOR.full_name
        keeps = self._keeps.get(name)
        if keeps is not None and not keeps(message):
            self.explain(message)

    def explain(self, message: Message) -> None:
        """As `check`, slowly."""
        try:
            self._checks[message.DESCRIPTOR.full_name](message)
        except Violation as violation:
            raise violation.failure() from None

    def _compile(self, message: Descriptor, rules: Mapping[str, Sequence[Rule]]) -> None:
        compiled = self._checks[message.full_name]
        for name, field_rules in rules.items():
            for rule in field_rules:
                field = message.fields_by_name.get(name)
                compiled.demands.extend(self._demand(name, field, rule))
                if field is not None:
                    compiled.fields.setdefault(field.number, []).append(self._value(rule, field))

    def _demand(self, name: str, field: FieldDescriptor | None, rule: Rule) -> list[Check]:
        """Checks of a message as a whole: rules about several fields, and what must be there."""
        limits = self._limits
        match rule:
            case Custom(check):
                return [lambda message: check(message, limits)]
            case OneOf():
                return [lambda message: _one_of(message, name)]
            case Required():
                return [lambda message: _required(message, name)]
            case Id(_, least) | Count(_, least) if least and field is not None:
                value_check, in_oneof = self._value(rule, field), field.has_presence
                return [lambda message: _demanded(message, name, value_check, in_oneof=in_oneof)]
        return []

    def _value(self, rule: Rule, field: FieldDescriptor) -> Check:
        match rule:
            case Id(most, least):
                limit = self._limit(most)
                return lambda value: id_text(value, least, limit)
            case Text(most):
                limit = self._limit(most)
                return lambda value: short_text(value, limit)
            case Number(high, low):
                return lambda value: _number(value, low, high)
            case Json(optional):
                return json_text if not optional else _optional_json
            case Count(most, least):
                limit = self._limit(most)
                return lambda value: _count(value, least, limit)
            case Known():
                return _known
            case Sub() | Required():
                return self._checks[_type_of(field).full_name]
            case Each(item):
                return _each(self._value(item, field))
            case Keys(item):
                return _keys(self._value(item, _type_of(field).fields_by_name["key"]))
            case Values(item):
                return _values(self._value(item, _type_of(field).fields_by_name["value"]))
        raise TypeError(rule)

    def _limit(self, most: int | str) -> int:
        return getattr(self._limits, most) if isinstance(most, str) else most


def _type_of(field: FieldDescriptor) -> Descriptor:
    """The message type of a field; of a map, that of its entries."""
    assert field.message_type is not None
    return field.message_type


def _each(check: Check) -> Check:
    def run(items: Any) -> None:
        for number, item in enumerate(items):
            try:
                check(item)
            except Violation as violation:
                raise violation.under(f"[{number}]") from None

    return run


def _keys(check: Check) -> Check:
    def run(entries: Any) -> None:
        for key in entries:
            try:
                check(key)
            except Violation as violation:
                raise violation.under(" key") from None

    return run


def _values(check: Check) -> Check:
    def run(entries: Any) -> None:
        for key in entries:
            try:
                check(entries[key])
            except Violation as violation:
                raise violation.under(f"[{key!r}]") from None

    return run


def _one_of(message: Any, field: str) -> None:
    if message.WhichOneof(field) is None:
        names = ", ".join(choice.name for choice in message.DESCRIPTOR.oneofs_by_name[field].fields)
        raise Violation(f"one of its fields must be set: {names}", field=field)


def _required(message: Any, field: str) -> None:
    if not message.HasField(field):
        raise Violation("must be set", field=field)


def _demanded(message: Any, field: str, check: Check, *, in_oneof: bool) -> None:
    """Check a value that is empty; a member of a oneof only where it is chosen."""
    value = getattr(message, field)
    if value or (in_oneof and not message.HasField(field)):
        return
    try:
        check(value)
    except Violation as violation:
        raise violation.under(field) from None


def _number(value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise Violation(f"must be {least} to {most}; it is {value}", most)


def _count(value: Any, least: int, most: int) -> None:
    if not least <= len(value) <= most:
        raise Violation(f"must have {least} to {most} entries; it has {len(value)}", most)


def _known(value: int) -> None:
    if value == 0:
        raise Violation("must not be unspecified")


def _optional_json(text: str) -> None:
    if text:
        json_text(text)
