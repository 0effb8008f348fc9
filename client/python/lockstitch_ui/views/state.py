"""The state of a checkpoint: its channels as a chat, as trees, or as bytes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from lockstitch import ListedCheckpoint
from lockstitch.inspect import Decoded, Encoding, chunk_size, is_chunk, items
from lockstitch.v1.checkpoint_pb2 import CustomChannel, TypedBlob, VersionedState
from lockstitch_ui.views import chats
from lockstitch_ui.views.blobs import Hex, hexadecimal, is_opaque, max_item_bytes
from lockstitch_ui.views.timeline import INTERNAL, Chip, channel_chips, short_name
from lockstitch_ui.views.tree import Budget, Node, tree

MAX_STATE_BYTES = 2 * 1024 * 1024
"""Channels of a page, together. Links lead to the others."""
MAX_ITEMS = 50
"""Items of a list that are shown, the last ones."""
MAX_CHANNELS = 200
"""Channels of a page with their content. The others are named."""


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel. name: as the server calls it, such as "custom/notes". Its content is a chat, a node or a dump; all
    None: it was not loaded, or has no value.

    encoding: how its value, or the first of its items, was stored. count: of its items, where it is a list.
    new_items: how many of them the parent has not. change: what became of it since the parent; None: nothing.
    """

    name: str
    label: str
    size: int
    version: str = ""
    encoding: str = ""
    count: int | None = None
    new_items: int = 0
    change: Chip | None = None
    is_loaded: bool = False
    chat: chats.Chat | None = None
    node: Node | None = None
    dump: Hex | None = None

    @property
    def is_internal(self) -> bool:
        """Whether it is one of LangGraph's own, for control."""
        return self.name.startswith("custom/") and self.label.startswith(INTERNAL)

    @property
    def is_editable(self) -> bool:
        """Whether its value can be edited as text."""
        return self.name.startswith("extra/") or (self.count is None and self.encoding in ("json", "text", "str"))

    @property
    def is_empty(self) -> bool:
        """Whether it has no value."""
        return self.is_loaded and self.chat is None and self.node is None and self.dump is None


def to_load(listed: ListedCheckpoint, asked: str = "", limit: int = MAX_STATE_BYTES) -> list[str] | None:
    """The channels to load, by name, small ones first; None: the server does not tell sizes, so load all.

    asked: a channel that is loaded whatever its size.
    """
    if not listed.channels:
        return None
    chosen: list[str] = []
    total = 0
    for size in sorted(listed.channels, key=lambda size: (size.channel != asked, size.bytes)):
        total += size.bytes
        if size.channel == asked or (total <= limit and len(chosen) < MAX_CHANNELS):
            chosen.append(size.channel)
    return chosen


def changed(listed: ListedCheckpoint, parent: ListedCheckpoint | None, loaded: Sequence[str]) -> list[str]:
    """Which of the loaded channels the parent has in another form: those to load of it."""
    if parent is None:
        return []
    before = {size.channel: size.fingerprint for size in parent.channels}
    after = {size.channel: size.fingerprint for size in listed.channels}
    return [name for name in loaded if name in before and before[name] != after.get(name)]


def channels(
    listed: ListedCheckpoint,
    state: VersionedState,
    parent: ListedCheckpoint | None,
    parent_state: VersionedState | None,
    start: int | None = None,
) -> list[Channel]:
    """The channels: conversations first, then others by name, then LangGraph's own.

    listed, parent: with the sizes of their channels, where the server tells them. state: what was loaded.
    parent_state: the channels of the parent that have changed since; the others are taken to be the same.
    start: the first message that conversations show; None: they show the last ones.
    """
    budget = Budget()
    sizes = {size.channel: size.bytes for size in listed.channels}
    changes = {chip.channel: chip for chip in channel_chips(listed.channels, parent.channels)} if parent else {}
    made = []
    for name in dict.fromkeys([*_names(state), *sizes]):
        change = changes.get(short_name(name))
        channel = Channel(name, short_name(name), sizes.get(name, 0), change=change)
        before = parent_state if change is not None or not sizes else state if parent else None
        made.append((name, channel, before))
    shown = [_content(name, channel, state, before, budget, start) for name, channel, before in _ordered(made)]
    return sorted(shown, key=_place)


def _ordered(
    made: Sequence[tuple[str, Channel, VersionedState | None]],
) -> list[tuple[str, Channel, VersionedState | None]]:
    """Conversations use the page's budget first, then what has changed."""
    return sorted(made, key=lambda each: (short_name(each[0]) != chats.MESSAGES, each[1].change is None))


def _place(channel: Channel) -> tuple[bool, bool, bool, str]:
    return (channel.is_internal, channel.chat is None, not channel.is_loaded, channel.label)


def _names(state: VersionedState) -> list[str]:
    """The names of what was loaded."""
    found = [name for name in ("messages", "errors") if state.HasField(name)]
    return [*found, *(f"extra/{key}" for key in state.extra.entries), *(f"custom/{name}" for name in state.custom)]


def _content(
    name: str, channel: Channel, state: VersionedState, before: VersionedState | None, budget: Budget, start: int | None
) -> Channel:
    if name not in _names(state):
        return channel
    channel = replace(channel, is_loaded=True)
    if name == "errors":
        return replace(channel, count=len(state.errors.items), version=str(state.errors.version))
    if name.startswith("extra/"):
        blob = TypedBlob(type="json", data=state.extra.entries[channel.label.removeprefix("extra/")].encode())
        label = channel.label.removeprefix("extra/")
        return _value(replace(channel, version=str(state.extra.version)), budget.decode(blob), label, budget)
    key = chats.MESSAGES if name == "messages" else channel.label
    source = chats.source(_only(state, name), key)
    if source is not None:
        earlier = chats.source(_only(before, name), key)
        chat = chats.conversation(source, earlier, budget, start)
        grown = max(0, source.total - earlier.total) if earlier is not None else 0
        version = str(state.messages.version) if name == "messages" else state.custom[channel.label].version
        return replace(channel, chat=chat, count=source.total, new_items=grown, version=version)
    if name == "messages":
        return replace(channel, count=0, version=str(state.messages.version))
    return _custom(channel, state.custom[channel.label], before, budget)


def _only(state: VersionedState | None, name: str) -> VersionedState | None:
    """A state without the `messages` channel, where a custom one of that name is meant."""
    if state is None or name == "messages" or not state.HasField("messages"):
        return state
    made = VersionedState()
    key = short_name(name)
    if key in state.custom:
        made.custom[key].CopyFrom(state.custom[key])
    return made


def _custom(channel: Channel, stored: CustomChannel, before: VersionedState | None, budget: Budget) -> Channel:
    channel = replace(channel, version=stored.version)
    if stored.HasField("blob"):
        found = budget.decode(stored.blob)
        return _value(replace(channel, encoding=stored.blob.type), found, channel.label, budget, stored.blob.data)
    if not stored.HasField("list"):
        return channel
    old = before.custom[channel.label].list.items if before is not None and channel.label in before.custom else None
    return _list(channel, stored.list.items, old, budget)


def _list(channel: Channel, blobs: Sequence[TypedBlob], old: Sequence[TypedBlob] | None, budget: Budget) -> Channel:
    """Only the last items are decoded: as many as are shown."""
    has_chunks = any(map(is_chunk, blobs))
    tail = CustomChannel()
    tail.list.items.extend(blobs[-MAX_ITEMS:])
    limit = max_item_bytes(tail.list.items, budget.bytes)
    values = [found.value for found in items(tail, max_bytes=limit)]
    budget.bytes -= min(budget.bytes, sum(len(blob.data) for blob in tail.list.items))
    before_tail = blobs[: max(0, len(blobs) - MAX_ITEMS)]
    hidden = sum(chunk_size(blob) if is_chunk(blob) else 1 for blob in before_tail)
    count = hidden + len(values)
    fresh = 0
    if old is not None and not has_chunks:
        fresh = len(blobs) - sum(1 for _ in takewhile(_is_same, zip(blobs, old, strict=False)))
    first = max(0, len(values) - MAX_ITEMS)
    node = tree(
        values[first:], budget, base=(channel.label,), offset=hidden + first, new_from=count - fresh if fresh else None
    )
    return replace(channel, encoding=blobs[0].type if blobs else "", count=count, new_items=fresh, node=node)


def _is_same(pair: tuple[TypedBlob, TypedBlob]) -> bool:
    return pair[0].data == pair[1].data and pair[0].type == pair[1].type


def _value(channel: Channel, found: Decoded, label: str, budget: Budget, data: bytes = b"") -> Channel:
    if is_opaque(found):
        return replace(channel, dump=hexadecimal(data or found.value, problem=found.problem))
    if found.encoding is Encoding.NULL and not data:
        return replace(channel, node=tree(None, budget, base=(label,)))
    return replace(channel, node=tree(found.value, budget, base=(label,)))
