"""What changed between two states, as the contract's StateDelta.

States are compared as serialized bytes: a list has grown if its old bytes are a prefix of its new ones. That is exact,
unknown fields of items included, and a comparison of memory. A delta is put together from the very bytes that differ:
the fields of `StateDelta` have the numbers of those of `VersionedState`. Whatever it cannot carry is no delta at all.
"""

from typing import NamedTuple, Self

from google.protobuf.message import Message as ProtobufMessage
from google.protobuf.unknown_fields import UnknownFieldSet

from lockstitch._wire import embedded, fields, read_varint
from lockstitch.v1.checkpoint_pb2 import CustomChannel, VersionedState

# Tags: field number << 3 | wire type, where 0 is a number and 2 is anything with a length.
# In VersionedState and StateDelta:
MESSAGES, EXTRA, ERRORS, CUSTOM, REMOVED_CUSTOM = 0x0A, 0x12, 0x1A, 0x22, b"\x2a"
# In each channel and its delta:
VERSION, VERSION_TEXT = 0x08, 0x0A
# In ExtrasChannel and ExtrasDelta, and in the entries of any map:
ENTRY, REMOVE, KEY = 0x12, b"\x1a", 0x0A
# In CustomChannel, and in CustomDelta:
LIST, APPEND = 0x1A, b"\x22"


class NotExpressible(Exception):
    """A state, or a change of one, that a delta cannot carry."""


class ListPart(NamedTuple):
    """The `messages` or `errors` channel. `version`: the serialized field; `items`: all items, one after the other."""

    version: bytes
    items: bytes

    @classmethod
    def of(cls, channel: ProtobufMessage, data: bytes, place: int, end: int) -> Self:
        """Of a channel that is serialized between two places."""
        _refuse_unknown(channel)
        items = _after_version(data, place, end)
        return cls(data[place:items], data[items:end])


class ExtraPart(NamedTuple):
    """The `extra` channel. `version`: the serialized field; `entries`: each as a serialized field, by its key."""

    version: bytes
    entries: dict[bytes, bytes]

    @classmethod
    def of(cls, data: bytes, place: int, end: int) -> Self:
        """Of a channel that is serialized between two places."""
        first, entries = _after_version(data, place, end), {}
        for tag, begin, value, stop in fields(data, first, end):
            if tag != ENTRY:
                raise NotExpressible
            entries[_key(data, value, stop)[0]] = data[begin:stop]
        return cls(data[place:first], entries)


class CustomPart(NamedTuple):
    """A custom channel, serialized.

    version: where its version ends.
    kind: the tag of its value; 0 where it has none.
    value: where the blob or the items of the list begin.
    """

    data: bytes
    version: int
    kind: int
    value: int

    @classmethod
    def of(cls, channel: CustomChannel, data: bytes) -> Self:
        """Of a channel and its bytes."""
        _refuse_unknown(channel)
        if channel.HasField("list"):
            _refuse_unknown(channel.list)
        version, kind, place = 0, 0, len(data)
        for tag, _, value, end in fields(data, 0, len(data)):
            if tag == VERSION_TEXT and not kind:  # fields are written by number, but nobody has promised it
                version = end
            elif kind:
                raise NotExpressible
            else:
                kind, place = tag, value
        return cls(data, version, kind, place)


class Snapshot(NamedTuple):
    """A state as it was at one moment, in the form that is cheap to compare with another. `size` is in bytes."""

    size: int
    messages: ListPart | None
    extra: ExtraPart | None
    errors: ListPart | None
    custom: dict[bytes, CustomPart]

    @classmethod
    def of(cls, state: VersionedState, data: bytes, place: int, end: int, known: Self | None = None) -> Self:
        """Of a state that is serialized between two places.

        known: another snapshot of the session, some of whose parts may be the same.

        Raises NotExpressible for a state that a delta could neither start from nor lead to.
        """
        messages, extra, errors, custom = None, None, None, {}
        for tag, _, value, stop in fields(data, place, end):
            if tag == CUSTOM:
                name, begin = _key(data, value, stop)
                custom[name] = _custom(state, name, data[begin:stop], known)
            elif tag == MESSAGES:
                messages = ListPart.of(state.messages, data, value, stop)
            elif tag == EXTRA:
                extra = ExtraPart.of(data, value, stop)
            elif tag == ERRORS:
                errors = ListPart.of(state.errors, data, value, stop)
            else:
                raise NotExpressible
        return cls(end - place, messages, extra, errors, custom)


def diff(old: Snapshot, new: Snapshot) -> bytes:
    """The delta that leads from `old` to `new`, serialized.

    Raises NotExpressible where there is none.
    """
    delta: list[bytes] = []
    if new.messages != old.messages:
        delta.append(embedded(b"\x0a", _grown(old.messages, new.messages)))
    if new.extra != old.extra:
        delta.append(embedded(b"\x12", _changed_entries(old.extra, new.extra)))
    if new.errors != old.errors:
        delta.append(embedded(b"\x1a", _grown(old.errors, new.errors)))
    for name, part in new.custom.items():
        if part != (before := old.custom.get(name)):
            change = embedded(b"\x12", _changed_value(before, part))
            delta.append(embedded(b"\x22", embedded(b"\x0a", name) + change))
    if old.custom:
        delta.extend(embedded(REMOVED_CUSTOM, name) for name in sorted(old.custom.keys() - new.custom.keys()))
    return b"".join(delta)


def _grown(old: ListPart | None, new: ListPart | None) -> bytes:
    """A MessagesDelta or an ErrorsDelta."""
    before = old.items if old else b""
    if new is None or not new.items.startswith(before):
        raise NotExpressible
    return new.version + new.items[len(before) :]


def _changed_entries(old: ExtraPart | None, new: ExtraPart | None) -> bytes:
    """An ExtrasDelta."""
    if new is None:
        raise NotExpressible
    before = old.entries if old else {}
    changed = [entry for key, entry in new.entries.items() if before.get(key) != entry]
    removed = [embedded(REMOVE, key) for key in sorted(before.keys() - new.entries.keys())]
    return b"".join((new.version, *changed, *removed))


def _changed_value(old: CustomPart | None, new: CustomPart) -> bytes:
    """A CustomDelta."""
    version = new.data[: new.version]
    if old is not None and (old.kind, old.data[old.version :]) == (new.kind, new.data[new.version :]):
        return version
    if new.kind == 0:
        raise NotExpressible
    if old is not None and old.kind == new.kind == LIST:
        before = old.data[old.value :]
        if new.data.startswith(before, new.value):
            return version + embedded(APPEND, new.data[new.value + len(before) :])
    return new.data  # a blob, or the whole list


def _custom(state: VersionedState, name: bytes, data: bytes, known: Snapshot | None) -> CustomPart:
    part = known.custom.get(name) if known else None
    return part if part and part.data == data else CustomPart.of(state.custom[name.decode()], data)


def _key(data: bytes, place: int, end: int) -> tuple[bytes, int]:
    """The key of a map's entry, and where its value begins."""
    key = b""
    if place < end and data[place] == KEY:  # some write no empty key, and no empty value
        size, begin = read_varint(data, place + 1)
        place = begin + size
        key = data[begin:place]
    return key, read_varint(data, place + 1)[1] if place < end else end


def _after_version(data: bytes, place: int, end: int) -> int:
    return read_varint(data, place + 1)[1] if place < end and data[place] == VERSION else place


def _refuse_unknown(message: ProtobufMessage) -> None:
    if len(UnknownFieldSet(message)):
        raise NotExpressible
