"""Messages made from the contract's rules: good ones, and others with a few flaws in any place."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

from lockstitch_server.config import Limits
from lockstitch_server.validation.contract import CONTRACT
from lockstitch_server.validation.rules import (
    Count,
    Each,
    Entries,
    FieldRule,
    Id,
    Json,
    NonZero,
    Number,
    Required,
    Seconds,
    Text,
    Time,
)

JSON = ("null", "1", '"é"', '{"a":[1.5e3]}', '"\\ud800"', "1e400", " [] ")
"""Texts that are JSON; some parsers refuse two of them."""
NO_JSON = ("", "{", "nul", "NaN", "[1,]", "\x00")
ODD = ("\n", "a\x7f", "\x85", "é\0")
UNKNOWN_FIELD = b"\x80\x7d\x01"
"""Field 2000, a number: invalid in deltas only."""
DEPTH = 4
FIRST_SECOND, LAST_SECOND = -62_135_596_800, 253_402_300_799
"""Of the years 1 to 9999."""

Draw = st.DrawFn


class Maker:
    """Makes one message. `flawed`: whether some of its values break a rule."""

    def __init__(self, draw: Draw, limits: Limits, *, flawed: bool) -> None:
        self._draw = draw
        self._limits = limits
        self._flawed = flawed

    def message(self, kind: Descriptor, depth: int = DEPTH) -> Message:
        """A message of a type."""
        message, rules = GetMessageClass(kind)(), CONTRACT.get(kind.full_name, {})
        chosen = {oneof.name: self._pick([field.name for field in oneof.fields]) for oneof in kind.oneofs}
        for field in kind.fields:
            oneof = field.containing_oneof
            wanted = rules.get(field.name, ())
            is_needed = any(isinstance(rule, Required | NonZero) or getattr(rule, "least", 0) for rule in wanted)
            if oneof is not None and len(oneof.fields) > 1:
                is_there = chosen[oneof.name] == field.name and not self._flaw()
            else:
                is_there = (is_needed and not self._flaw()) or self._one_in(2)
            if is_there:
                self._set(message, field, wanted, depth)
        if not self._flaw():
            repair(message)
        if self._flaw():
            message.MergeFromString(UNKNOWN_FIELD)
        return message

    def _set(self, message: Message, field: FieldDescriptor, rules: Sequence[FieldRule], depth: int) -> None:
        inner = field.message_type
        if inner is not None and inner.GetOptions().map_entry:
            self._fill(getattr(message, field.name), inner, rules, depth)
        elif field.is_repeated:
            least = max((rule.least for rule in rules if isinstance(rule, Count)), default=0)
            each = [rule.rule for rule in rules if isinstance(rule, Each)]
            for _ in range(self._draw(st.integers(least, 2))):
                self._append(getattr(message, field.name), field, each, depth)
        elif inner is not None:
            getattr(message, field.name).SetInParent()
            if any(isinstance(rule, Time | Seconds) for rule in rules):
                self._time(getattr(message, field.name), rules)
            elif depth:
                getattr(message, field.name).CopyFrom(self.message(inner, depth - 1))
        else:
            setattr(message, field.name, self._value(field, rules))

    def _fill(self, entries: Any, entry: Descriptor, rules: Sequence[FieldRule], depth: int) -> None:
        of_entries = [rule for rule in rules if isinstance(rule, Entries)]
        keys = [rule.keys for rule in of_entries if rule.keys is not None]
        values = [rule.values for rule in of_entries if rule.values is not None]
        value = entry.fields_by_name["value"]
        for _ in range(self._draw(st.integers(1, 2))):
            key = self._value(entry.fields_by_name["key"], keys)
            if value.message_type is None:
                entries[key] = self._value(value, values)
            elif depth:
                entries[key].CopyFrom(self.message(value.message_type, depth - 1))

    def _time(self, value: Any, rules: Sequence[FieldRule]) -> None:
        """A Timestamp or a Duration."""
        for rule in rules:
            match rule:
                case Seconds(most, least):
                    last = self._limit(most)
                    value.seconds = self._either([max(1, least), last - 1, last], [least - 1, last + 1, 2**40])
                case Time():
                    value.seconds = self._either([FIRST_SECOND, 0, LAST_SECOND], [FIRST_SECOND - 1, LAST_SECOND + 1])
        value.nanos = self._either([0], [-1, 1, 10**9 - 1, 10**9])

    def _append(self, items: Any, field: FieldDescriptor, rules: Sequence[FieldRule], depth: int) -> None:
        if field.message_type is None:
            items.append(self._value(field, rules))
        elif depth:
            items.append(self.message(field.message_type, depth - 1))

    def _value(self, field: FieldDescriptor, rules: Sequence[FieldRule]) -> Any:
        for rule in rules:
            match rule:
                case Id(most, least):
                    bad = [*ODD, "x" * (self._limit(most) + 1), "é" * (self._limit(most) // 2 + 1), "x" * (least - 1)]
                    return self._either(["a", "b", "é", "c" * max(least, self._limit(most))], bad)
                case Text(most):
                    return self._either(["", "a", "é\n", "x" * self._limit(most)], ["é" * (self._limit(most) // 2 + 1)])
                case Number(most, low):
                    high = self._limit(most)
                    is_signed = field.cpp_type == FieldDescriptor.CPPTYPE_INT32
                    return self._either([low, low + 1, high], [low - 1 if is_signed else high + 1])
                case Json(optional):
                    return self._either([*JSON, ""] if optional else JSON, NO_JSON[1:] if optional else NO_JSON)
                case NonZero():
                    return self._either([1], [0])
        if field.enum_type is not None:
            return self._pick([value.number for value in field.enum_type.values])
        if field.type == FieldDescriptor.TYPE_BYTES:
            return self._pick([b"", b"a"])
        return self._pick(PLAIN[field.cpp_type])

    def _limit(self, most: int | str) -> int:
        return int(getattr(self._limits, most)) if isinstance(most, str) else most

    def _either(self, good: Sequence[Any], bad: Sequence[Any]) -> Any:
        return self._pick(bad if self._flaw() else good)

    def _flaw(self) -> bool:
        return self._flawed and self._one_in(4)

    def _one_in(self, count: int) -> bool:
        return bool(self._draw(st.integers(0, count - 1)) == 0)

    def _pick(self, values: Sequence[Any]) -> Any:
        return self._draw(st.sampled_from(values))


PLAIN: Mapping[int, Sequence[Any]] = {
    FieldDescriptor.CPPTYPE_STRING: ["", "a"],
    FieldDescriptor.CPPTYPE_INT32: [0, 1],
    FieldDescriptor.CPPTYPE_INT64: [0, 1],
    FieldDescriptor.CPPTYPE_UINT32: [0, 1, 2**32 - 1],
    FieldDescriptor.CPPTYPE_UINT64: [0, 1, 2**64 - 1],
    FieldDescriptor.CPPTYPE_BOOL: [False, True],
    FieldDescriptor.CPPTYPE_DOUBLE: [0.0],
}
"""Values of fields without a rule."""


def save(request: Any) -> None:
    if request.HasField("delta"):
        request.checkpoint.ClearField("state")
        request.base_checkpoint_id = request.base_checkpoint_id or "base"
    else:
        request.ClearField("base_checkpoint_id")
        request.ClearField("base_revision")


def delta(value: Any) -> None:
    for removed, there in ((value.removed_custom, value.custom), (value.extra.remove, value.extra.set)):
        kept = [name for name in removed if name not in there]
        del removed[:]
        removed.extend(kept)


def update_session(request: Any) -> None:
    kept = [name for name in request.remove_labels if name not in request.set_labels]
    del request.remove_labels[:]
    request.remove_labels.extend(kept)
    for field in ("ttl", "retention"):
        if request.HasField(field):
            request.ClearField(f"clear_{field}")


def with_session(request: Any) -> None:
    request.session_id = request.session_id or "s"


def copy_session(request: Any) -> None:
    request.target_session_id = f"{request.source_session_id[:9]}2"


REPAIRS: Mapping[str, Callable[[Any], None]] = {
    "lockstitch.v1.StateDelta": delta,
    "lockstitch.v1.SaveRequest": save,
    "lockstitch.v1.SaveStreamRequest": lambda request: request.ClearField("batch"),
    "lockstitch.v1.UpdateSessionRequest": update_session,
    "lockstitch.v1.ListCheckpointsRequest": with_session,
    "lockstitch.v1.DeleteCheckpointsRequest": with_session,
    "lockstitch.v1.CopySessionRequest": copy_session,
}
"""What makes messages keep to the rules about several of their fields."""


def repair(message: Message) -> None:
    if message.DESCRIPTOR.full_name in REPAIRS:
        REPAIRS[message.DESCRIPTOR.full_name](message)


def messages(kind: Descriptor, limits: Limits, *, flawed: bool) -> st.SearchStrategy[Message]:
    """Messages of a type. flawed: whether some of their values may break a rule."""

    @st.composite
    def build(draw: Draw) -> Message:
        return Maker(draw, limits, flawed=flawed).message(kind)

    return build()


def submessages(message: Message) -> Iterator[str]:
    """The names of the fields that are set, at any depth."""
    for field, value in message.ListFields():
        yield field.name
        if field.message_type is not None and not field.is_repeated:
            yield from submessages(value)
