"""The contract's rules for requests, as data, and the checker that reads them.

`RULES` names, for every message that has any, what its fields must keep to. `Checker` compiles them once into plain
functions, so that a check costs about a microsecond a message.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import orjson
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from lockstitch.v1 import checkpoint_service_pb2
from lockstitch_server.config import Limits
from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.ids import MAX_STEP

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
MAX_CAUSES = 90
NANOS = 1_000_000_000
EARLIEST, LATEST = -62_135_596_800, 253_402_300_799
"""Seconds of the years 1 to 9999, which is what a Timestamp may hold."""
LONGEST_TTL = 100 * 366 * 24 * 3600

DESCRIPTORS = checkpoint_service_pb2.DESCRIPTOR.pool

Check = Callable[[Any, str], None]
"""Looks at a value whose path is given; fails with what is wrong."""


@dataclass(frozen=True)
class Id:
    """Text without control characters, of `least` to `most` bytes; `most` may name a limit."""

    most: int | str
    least: int = 0


@dataclass(frozen=True)
class Text:
    """Any text of at most `most` bytes; `most` may name a limit."""

    most: int | str


@dataclass(frozen=True)
class Number:
    """A number of `least` to `most`."""

    most: int
    least: int = 0


@dataclass(frozen=True)
class Json:
    """JSON text; empty text too where `optional`."""

    optional: bool = False


@dataclass(frozen=True)
class Count:
    """At least `least` and at most `most` items; `most` names a limit."""

    most: str
    least: int = 0


@dataclass(frozen=True)
class Each:
    """Every item keeps to a rule."""

    rule: "Rule"


@dataclass(frozen=True)
class Keys:
    """Every key of a map keeps to a rule."""

    rule: "Rule"


@dataclass(frozen=True)
class Values:
    """Every value of a map keeps to a rule."""

    rule: "Rule"


@dataclass(frozen=True)
class Sub:
    """A message, if it is there, keeps to the rules of its type."""


@dataclass(frozen=True)
class Required:
    """A message that must be there, and keep to the rules of its type."""


@dataclass(frozen=True)
class OneOf:
    """One of a oneof's fields is set. Stands under the oneof's name."""


@dataclass(frozen=True)
class Known:
    """An enum value other than 0."""


@dataclass(frozen=True)
class Custom:
    """Whatever a function says of the message. Stands under ""."""

    check: Callable[[Any, str, Limits], None]


Rule = Id | Text | Number | Json | Count | Each | Keys | Values | Sub | Required | OneOf | Known | Custom


def _causes(error: Any, path: str, limits: Limits) -> None:
    depth, cause = 0, error
    while cause.HasField("cause"):
        cause, depth = cause.cause, depth + 1
        _json(cause.details, f"{path}.cause.details", optional=True)
    if depth > MAX_CAUSES:
        raise _invalid(path, f"has {depth} causes; the limit is {MAX_CAUSES}", MAX_CAUSES)


def _timestamp(value: Any, path: str, limits: Limits) -> None:
    if not (EARLIEST <= value.seconds <= LATEST and 0 <= value.nanos < NANOS):
        raise _invalid(path, "must be a time of the years 1 to 9999 with 0 to 999999999 nanos")


def _ttl(value: Any, path: str, limits: Limits) -> None:
    if not (1 <= value.seconds <= LONGEST_TTL and 0 <= value.nanos < NANOS):
        raise _invalid(path, f"must be 1 to {LONGEST_TTL} seconds", LONGEST_TTL)


def _save(request: Any, path: str, limits: Limits) -> None:
    has_delta = request.HasField("delta")
    if has_delta and request.checkpoint.HasField("state"):
        raise _invalid("delta", "must be absent where checkpoint.state is set; send one of the two")
    if has_delta and not request.base_checkpoint_id:
        raise _invalid("base_checkpoint_id", "must name the checkpoint that delta starts from")
    if not has_delta and (request.base_checkpoint_id or request.base_revision):
        field = "base_checkpoint_id" if request.base_checkpoint_id else "base_revision"
        raise _invalid(field, "must be empty without delta")


def _delta(delta: Any, path: str, limits: Limits) -> None:
    for name in delta.removed_custom:
        if name in delta.custom:
            raise _invalid(f"{path}.removed_custom", f"names {name!r}, which is in custom too")
    for name in delta.extra.remove:
        if name in delta.extra.set:
            raise _invalid(f"{path}.extra.remove", f"names {name!r}, which is in extra.set too")
    _parts(len(delta.extra.set) + len(delta.custom), path, limits)


def _state(state: Any, path: str, limits: Limits) -> None:
    _parts(len(state.extra.entries) + len(state.custom), path, limits)


def _parts(count: int, path: str, limits: Limits) -> None:
    if count > limits.max_parts:
        raise _invalid(
            path, f"has {count} extra entries and custom channels; the limit is {limits.max_parts}", limits.max_parts
        )


def _expected(expected: Any, path: str, limits: Limits) -> None:
    if expected.WhichOneof("expected") == "none" and not expected.none:
        raise _invalid(f"{path}.none", "must be true where it is set")


def _list(request: Any, path: str, limits: Limits) -> None:
    if request.page_size < 0:
        raise _invalid("page_size", "must be 0 or more", 0)


def _checkpoints(request: Any, path: str, limits: Limits) -> None:
    _list(request, path, limits)
    if request.before_checkpoint_id and not request.session_id:
        raise _invalid("before_checkpoint_id", "needs session_id")


SESSION_ID = Id("max_session_id_bytes", 1)
NAMESPACE = Id("max_namespace_bytes")
CHECKPOINT_ID = Id("max_checkpoint_id_bytes")
KEY = Text("max_key_bytes")
STEP = Number(MAX_STEP)
NODES = (Each(Sub()),)

RULES: Mapping[str, Mapping[str, Sequence[Rule]]] = {
    "google.protobuf.Timestamp": {"": [Custom(_timestamp)]},
    "google.protobuf.Duration": {"": [Custom(_ttl)]},
    "lockstitch.v1.NodeKind": {"kind": [OneOf()], "endpoint": [Known()], "custom": [KEY]},
    "lockstitch.v1.TypedBlob": {"type": [Text(255)]},
    "lockstitch.v1.BlobList": {"items": [Each(Sub())]},
    "lockstitch.v1.CustomChannel": {"version": [Text(255)], "blob": [Sub()], "list": [Sub()]},
    "lockstitch.v1.ExtrasChannel": {"entries": [Keys(KEY), Values(Json())]},
    "lockstitch.v1.WeaveError": {"details": [Json(optional=True)], "": [Custom(_causes)]},
    "lockstitch.v1.ErrorEvent": {"when": [Sub()], "error": [Sub()], "context": [Json(optional=True)]},
    "lockstitch.v1.ErrorsChannel": {"items": [Each(Sub())]},
    "lockstitch.v1.VersionedState": {
        "": [Custom(_state)],
        "extra": [Sub()],
        "errors": [Sub()],
        "custom": [Keys(KEY), Values(Sub())],
    },
    "lockstitch.v1.Checkpoint": {
        "session_id": [SESSION_ID],
        "namespace": [NAMESPACE],
        "checkpoint_id": [CHECKPOINT_ID],
        "parent_id": [CHECKPOINT_ID],
        "step": [STEP],
        "state": [Sub()],
        "frontier": NODES,
        "created_at": [Sub()],
        "ran_nodes": NODES,
        "skipped_nodes": NODES,
        "metadata": [Count("max_metadata_entries"), Keys(Text(255)), Values(Json())],
        "header": [Sub()],
    },
    "lockstitch.v1.PendingWrite": {
        "task_id": [Id(255, 1)],
        "task_path": [Id(1024)],
        "channel": [Id("max_key_bytes")],
        "value": [Sub()],
    },
    "lockstitch.v1.ExtrasDelta": {"set": [Keys(KEY), Values(Json())]},
    "lockstitch.v1.ErrorsDelta": {"append": [Each(Sub())]},
    "lockstitch.v1.CustomDelta": {"version": [Text(255)], "blob": [Sub()], "list": [Sub()], "append": [Sub()]},
    "lockstitch.v1.StateDelta": {
        "": [Custom(_delta)],
        "extra": [Sub()],
        "errors": [Sub()],
        "custom": [Keys(KEY), Values(Sub())],
    },
    "lockstitch.v1.ExpectedLatest": {
        "expected": [OneOf()],
        "checkpoint_id": [Id("max_checkpoint_id_bytes", 1)],
        "step": [STEP],
        "": [Custom(_expected)],
    },
    "lockstitch.v1.SaveRequest": {
        "checkpoint": [Required()],
        "": [Custom(_save)],
        "expected_latest": [Sub()],
        "base_checkpoint_id": [CHECKPOINT_ID],
        "delta": [Sub()],
        "writes": [Count("max_writes"), Each(Sub())],
        "ttl": [Sub()],
    },
    "lockstitch.v1.SaveWritesRequest": {
        "session_id": [SESSION_ID],
        "namespace": [NAMESPACE],
        "checkpoint_id": [Id("max_checkpoint_id_bytes", 1)],
        "writes": [Count("max_writes", 1), Each(Sub())],
    },
    "lockstitch.v1.LoadLatestRequest": {"session_id": [SESSION_ID], "namespace": [NAMESPACE]},
    "lockstitch.v1.LoadRequest": {
        "session_id": [SESSION_ID],
        "namespace": [NAMESPACE],
        "selector": [OneOf()],
        "checkpoint_id": [Id("max_checkpoint_id_bytes", 1)],
        "step": [STEP],
    },
    "lockstitch.v1.LoadLatestStreamRequest": {"requests": [Count("max_sessions_per_stream", 1), Each(Sub())]},
    "lockstitch.v1.ListSessionsRequest": {
        "": [Custom(_list)],
        "session_id_prefix": [Id("max_session_id_bytes")],
        "updated_since": [Sub()],
        "updated_before": [Sub()],
    },
    "lockstitch.v1.ListCheckpointsRequest": {
        "": [Custom(_checkpoints)],
        "session_id": [Id("max_session_id_bytes")],
        "namespace": [NAMESPACE],
        "min_step": [STEP],
        "max_step": [STEP],
        "ran_node": [Sub()],
        "skipped_node": [Sub()],
        "before_checkpoint_id": [CHECKPOINT_ID],
        "metadata": [Count("max_metadata_entries"), Keys(Text(255)), Values(Json())],
    },
    "lockstitch.v1.WalkAncestorsRequest": {
        "session_id": [SESSION_ID],
        "namespace": [NAMESPACE],
        "checkpoint_id": [CHECKPOINT_ID],
    },
}


class Checker:
    """Checks messages against the rules, with an operator's limits."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._compiled: dict[str, list[Callable[[Any, str], None]]] = {}
        for name in RULES:
            self._compiled[name] = []
        for name, fields in RULES.items():
            message = DESCRIPTORS.FindMessageTypeByName(name)
            for field, rules in fields.items():
                self._compiled[name].extend(self._field(message, field, rule) for rule in rules)

    def check(self, message: Message) -> None:
        """Fails with INVALID_FIELD or NOT_JSON, naming the field and the limit."""
        for check in self._compiled.get(message.DESCRIPTOR.full_name, ()):
            check(message, "")

    def _field(self, descriptor: Descriptor, field: str, rule: Rule) -> Callable[[Any, str], None]:
        """A function of (message, its path) that checks one field of it."""
        limits = self._limits
        if isinstance(rule, Custom):
            return lambda message, path: rule.check(message, path.rstrip("."), limits)
        if isinstance(rule, OneOf):
            return lambda message, path: _one_of(message, field, path)
        if isinstance(rule, Required):
            return lambda message, path: self._required(message, field, path)
        if isinstance(rule, Sub):
            return lambda message, path: self._sub(message, field, path)
        check = self._value(rule)
        if descriptor.fields_by_name[field].has_presence:
            return lambda message, path: _if_present(check, message, field, path)
        read = attrgetter(field)
        return lambda message, path: check(read(message), path + field)

    def _value(self, rule: Rule) -> Check:
        """A function of (value, its path)."""
        match rule:
            case Id(most, least):
                limit = self._limit(most)
                return lambda value, path: _id(value, path, least, limit)
            case Text(most):
                limit = self._limit(most)
                return lambda value, path: _text(value, path, limit)
            case Number(high, low):
                return lambda value, path: _number(value, path, low, high)
            case Json(optional):
                return lambda value, path: _json(value, path, optional=optional)
            case Count(most, least):
                limit = self._limit(most)
                return lambda value, path: _count(value, path, least, limit)
            case Known():
                return _known
            case Sub():
                return lambda value, path: self._message(value, f"{path}.")
            case Each(item_rule):
                return _each(self._value(item_rule))
            case Keys(item_rule):
                return _keys(self._value(item_rule))
            case Values(item_rule):
                return _values(self._value(item_rule))
        raise TypeError(rule)

    def _limit(self, most: int | str) -> int:
        return getattr(self._limits, most) if isinstance(most, str) else most

    def _message(self, message: Any, path: str) -> None:
        for check in self._compiled.get(message.DESCRIPTOR.full_name, ()):
            check(message, path)

    def _sub(self, message: Any, field: str, path: str) -> None:
        if message.HasField(field):
            self._message(getattr(message, field), f"{path}{field}.")

    def _required(self, message: Any, field: str, path: str) -> None:
        if not message.HasField(field):
            raise _invalid(f"{path}{field}", "must be set")
        self._message(getattr(message, field), f"{path}{field}.")


def _if_present(check: Check, message: Any, field: str, path: str) -> None:
    if message.HasField(field):
        check(getattr(message, field), path + field)


def _each(check: Check) -> Check:
    def run(items: Any, path: str) -> None:
        for number, item in enumerate(items):
            check(item, f"{path}[{number}]")

    return run


def _keys(check: Check) -> Check:
    def run(entries: Any, path: str) -> None:
        for key in entries:
            check(key, f"{path} key")

    return run


def _values(check: Check) -> Check:
    def run(entries: Any, path: str) -> None:
        for key in entries:
            check(entries[key], f"{path}[{key!r}]")

    return run


def _one_of(message: Any, field: str, path: str) -> None:
    if message.WhichOneof(field) is None:
        names = ", ".join(choice.name for choice in message.DESCRIPTOR.oneofs_by_name[field].fields)
        raise _invalid(f"{path}{field}", f"one of its fields must be set: {names}")


def _id(value: str, path: str, least: int, most: int) -> None:
    size = len(value.encode())
    if not least <= size <= most:
        raise _invalid(path, f"must have {least} to {most} bytes; it has {size}", most)
    if CONTROL.search(value):
        raise _invalid(path, "must hold no control characters")


def _text(value: str, path: str, most: int) -> None:
    size = len(value.encode())
    if size > most:
        raise _invalid(path, f"must have at most {most} bytes; it has {size}", most)


def _number(value: int, path: str, least: int, most: int) -> None:
    if not least <= value <= most:
        raise _invalid(path, f"must be {least} to {most}; it is {value}", most)


def _count(value: Any, path: str, least: int, most: int) -> None:
    if not least <= len(value) <= most:
        raise _invalid(path, f"must have {least} to {most} entries; it has {len(value)}", most)


def _known(value: int, path: str) -> None:
    if value == 0:
        raise _invalid(path, "must not be unspecified")


def _json(text: str, path: str, *, optional: bool) -> None:
    if optional and not text:
        return
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        # It refuses some texts that are JSON: escaped lone surrogates, numbers beyond a double's range.
        if not _is_json(text):
            raise Failure(Reason.NOT_JSON, f"{path}: must be JSON text, nested at most 1000 deep", field=path) from None


def _is_json(text: str) -> bool:
    try:
        json.loads(text, parse_constant=_refuse, parse_float=str, parse_int=str)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(name: str) -> None:
    raise ValueError(name)


def _invalid(field: str, problem: str, limit: int | None = None) -> Failure:
    metadata = {"field": field} if limit is None else {"field": field, "limit": limit}
    return Failure(Reason.INVALID_FIELD, f"{field}: {problem}", **metadata)
