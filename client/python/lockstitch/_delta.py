"""What changed between two states, as the contract's StateDelta.

States are compared as serialized bytes: a list has grown if its old bytes are a prefix of its new ones. That is exact,
unknown fields of items included, and a comparison of memory. Whatever a delta cannot carry is no delta at all.
"""

from dataclasses import dataclass
from typing import Self

from google.protobuf.message import Message as ProtobufMessage
from google.protobuf.unknown_fields import UnknownFieldSet

from lockstitch.v1.checkpoint_pb2 import (
    CustomChannel,
    CustomDelta,
    ErrorsChannel,
    ExtrasChannel,
    MessagesChannel,
    StateDelta,
    VersionedState,
)


class NotExpressible(Exception):
    """A state, or a change of one, that a delta cannot carry."""


@dataclass(frozen=True, slots=True)
class ListPart:
    """The `messages` or `errors` channel: `count` items, serialized one after the other."""

    version: int
    count: int
    items: bytes

    @classmethod
    def of(cls, channel: MessagesChannel | ErrorsChannel) -> Self:
        _refuse_unknown(channel)
        version = type(channel)(version=channel.version).SerializeToString()
        data = channel.SerializeToString()
        if not data.startswith(version):  # fields are written by number, but nobody has promised it
            raise NotExpressible
        return cls(channel.version, len(channel.items), data[len(version) :])


@dataclass(frozen=True, slots=True)
class ExtraPart:
    """The `extra` channel."""

    version: int
    entries: dict[str, str]

    @classmethod
    def of(cls, channel: ExtrasChannel) -> Self:
        _refuse_unknown(channel)
        return cls(channel.version, dict(channel.entries))

    @property
    def size(self) -> int:
        return sum(len(key) + len(text) for key, text in self.entries.items())


@dataclass(frozen=True, slots=True)
class CustomPart:
    """A custom channel. `data`: the serialized blob, or the `count` items of the list, one after the other."""

    version: str
    kind: str | None
    count: int
    data: bytes

    @classmethod
    def of(cls, channel: CustomChannel) -> Self:
        _refuse_unknown(channel)
        kind = channel.WhichOneof("value")
        if kind == "blob":
            return cls(channel.version, kind, 0, channel.blob.SerializeToString())
        if kind == "list":
            _refuse_unknown(channel.list)
            return cls(channel.version, kind, len(channel.list.items), channel.list.SerializeToString())
        return cls(channel.version, None, 0, b"")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A state as it was at one moment, in the form that is cheap to compare with another."""

    messages: ListPart | None
    extra: ExtraPart | None
    errors: ListPart | None
    custom: dict[str, CustomPart]

    @classmethod
    def of(cls, state: VersionedState) -> Self:
        """Raises NotExpressible for a state that a delta could neither start from nor lead to."""
        _refuse_unknown(state)
        return cls(
            ListPart.of(state.messages) if state.HasField("messages") else None,
            ExtraPart.of(state.extra) if state.HasField("extra") else None,
            ListPart.of(state.errors) if state.HasField("errors") else None,
            {name: CustomPart.of(channel) for name, channel in state.custom.items()},
        )

    @property
    def size(self) -> int:
        """About as many bytes as the state has."""
        lists = sum(len(part.items) for part in (self.messages, self.errors) if part)
        custom = sum(len(name) + len(part.data) for name, part in self.custom.items())
        return lists + custom + (self.extra.size if self.extra else 0)


def diff(old: Snapshot, new: Snapshot, state: VersionedState) -> StateDelta:
    """The delta that leads from `old` to `new`, which is the snapshot of `state`.

    Raises NotExpressible where there is none.
    """
    delta = StateDelta()
    if new.messages != old.messages:
        grown = _grown(old.messages, new.messages)
        delta.messages.version = state.messages.version
        delta.messages.append.extend(state.messages.items[grown:])
    if new.errors != old.errors:
        grown = _grown(old.errors, new.errors)
        delta.errors.version = state.errors.version
        delta.errors.append.extend(state.errors.items[grown:])
    if new.extra != old.extra:
        _diff_extra(old.extra, new.extra, delta)
    for name, part in new.custom.items():
        if part != old.custom.get(name):
            _diff_custom(old.custom.get(name), part, state.custom[name], delta.custom[name])
    delta.removed_custom.extend(sorted(old.custom.keys() - new.custom.keys()))
    return delta


def _grown(old: ListPart | None, new: ListPart | None) -> int:
    """The index from which on items are new."""
    if old is None:
        return 0
    if new is None or not new.items.startswith(old.items):
        raise NotExpressible
    return old.count


def _diff_extra(old: ExtraPart | None, new: ExtraPart | None, delta: StateDelta) -> None:
    if new is None:
        raise NotExpressible
    before = old.entries if old else {}
    delta.extra.version = new.version
    for key, text in new.entries.items():
        if before.get(key) != text:
            delta.extra.set[key] = text
    delta.extra.remove.extend(sorted(before.keys() - new.entries.keys()))


def _diff_custom(old: CustomPart | None, new: CustomPart, channel: CustomChannel, delta: CustomDelta) -> None:
    delta.version = channel.version
    if old is not None and (old.kind, old.data) == (new.kind, new.data):
        return  # only the version has changed
    if new.kind is None:
        raise NotExpressible
    if new.kind == "blob":
        delta.blob.CopyFrom(channel.blob)
    elif old is not None and old.kind == "list" and new.data.startswith(old.data):
        delta.append.items.extend(channel.list.items[old.count :])
    else:
        delta.list.CopyFrom(channel.list)


def _refuse_unknown(message: ProtobufMessage) -> None:
    if len(UnknownFieldSet(message)):
        raise NotExpressible
