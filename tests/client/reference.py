"""What a delta means, spelled out from the comments of `StateDelta`, with none of the client's or server's code."""

from lockstitch.v1.checkpoint_pb2 import CustomChannel, CustomDelta, StateDelta, VersionedState


def apply(base: VersionedState, delta: StateDelta) -> VersionedState:
    """The state that a server makes of a base and a delta."""
    state = VersionedState()
    state.CopyFrom(base)
    if delta.HasField("messages"):
        state.messages.version = delta.messages.version
        state.messages.items.extend(delta.messages.append)
    if delta.HasField("errors"):
        state.errors.version = delta.errors.version
        state.errors.items.extend(delta.errors.append)
    if delta.HasField("extra"):
        assert not set(delta.extra.set) & set(delta.extra.remove)
        state.extra.version = delta.extra.version
        for key in delta.extra.remove:
            state.extra.entries.pop(key, None)
        for key, text in delta.extra.set.items():
            state.extra.entries[key] = text
    assert not set(delta.custom) & set(delta.removed_custom)
    for name in delta.removed_custom:
        state.custom.pop(name, None)
    for name, change in delta.custom.items():
        _apply_custom(state.custom[name], change)
    return state


def _apply_custom(channel: CustomChannel, change: CustomDelta) -> None:
    channel.version = change.version
    kind = change.WhichOneof("change")
    if kind == "blob":
        channel.blob.CopyFrom(change.blob)
    elif kind == "list":
        channel.list.CopyFrom(change.list)
    elif kind == "append":
        assert channel.WhichOneof("value") != "blob", "DELTA_MISMATCH"
        channel.list.items.extend(change.append.items)
