"""What differs between two checkpoints."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from lockstitch.adapters.langgraph._channels import to_channel
from lockstitch.inspect import Change, ChangeKind, ItemChange, PartChange, compare
from lockstitch.v1 import checkpoint_pb2 as pb

ADDED, REMOVED, CHANGED, MOVED = ChangeKind.ADDED, ChangeKind.REMOVED, ChangeKind.CHANGED, ChangeKind.MOVED


def messages(*contents: str, version: int = 1) -> pb.Checkpoint:
    items = [pb.Message(role="user", content=content) for content in contents]
    return pb.Checkpoint(state=pb.VersionedState(messages=pb.MessagesChannel(version=version, items=items)))


def extras(**entries: str) -> pb.Checkpoint:
    return pb.Checkpoint(state=pb.VersionedState(extra=pb.ExtrasChannel(version=1, entries=entries)))


def custom(*items: bytes, version: str = "1") -> pb.Checkpoint:
    blobs = pb.BlobList(items=[pb.TypedBlob(data=item) for item in items])
    return pb.Checkpoint(state=pb.VersionedState(custom={"c": pb.CustomChannel(version=version, list=blobs)}))


def blob(data: bytes, version: str = "1") -> pb.Checkpoint:
    channel = pb.CustomChannel(version=version, blob=pb.TypedBlob(data=data))
    return pb.Checkpoint(state=pb.VersionedState(custom={"c": channel}))


def only(old: pb.Checkpoint, new: pb.Checkpoint) -> PartChange:
    (part,) = compare(old, new)
    return part


def said(part: PartChange) -> list[tuple[str, object, str, str]]:
    return [
        (change.kind, change.key, change.old.content if change.old else "", change.new.content if change.new else "")
        for change in part.changes
    ]


def test_nothing() -> None:
    checkpoint = messages("a")
    other = pb.Checkpoint(session_id="other", checkpoint_id="x", parent_id="y", step=3)
    other.MergeFrom(checkpoint)
    assert compare(checkpoint, checkpoint) == []
    assert compare(checkpoint, other) == [], "who they are is not compared"


def test_messages_that_came_to_it() -> None:
    part = only(messages("a"), messages("a", "b", "c", version=2))
    assert (part.name, part.versions) == ("messages", (1, 2))
    assert said(part) == [("added", 1, "", "b"), ("added", 2, "", "c")]


def test_messages_that_changed_or_are_gone() -> None:
    part = only(messages("a", "b", "c", "d", "e"), messages("a", "B", "c", "e"))
    assert said(part) == [("changed", 1, "b", "B"), ("removed", 3, "d", "")]


def test_a_conversation_that_was_cut_short() -> None:
    assert said(only(messages("a", "b", "c"), messages("x", "c"))) == [
        ("changed", 0, "a", "x"),
        ("removed", 1, "b", ""),
    ]


@given(st.lists(st.sampled_from("abcd")), st.lists(st.sampled_from("abcd")))
def test_the_changes_of_a_list_lead_from_old_to_new(old: list[str], new: list[str]) -> None:
    changes = [change for part in compare(messages(*old), messages(*new)) for change in part.changes]
    won = {change.key: change.new.content for change in changes if change.kind is not REMOVED}
    lost = Counter(change.old.content for change in changes if change.kind is not ADDED)
    assert all(new[at] == content for at, content in won.items())  # type: ignore[index]
    assert all(old[change.old_index or 0] == change.new.content for change in changes if change.kind is MOVED)
    kept = [content for at, content in enumerate(new) if at not in won]
    assert Counter(kept) + lost == Counter(old)
    rest = iter(old)
    assert all(content in rest for content in kept), "what stays keeps its order"


def test_a_version_alone() -> None:
    part = only(messages("a"), messages("a", version=2))
    assert (part.versions, part.changes) == ((1, 2), [])


def test_a_channel_that_was_not_there() -> None:
    part = only(pb.Checkpoint(), messages())
    assert (part.name, part.versions, part.changes) == ("messages", (None, 1), [])


def test_extras() -> None:
    part = only(extras(same="1", gone="2", other="[1]"), extras(same="1", other="[1, 2]", new="null"))
    assert part.changes == [
        ItemChange(REMOVED, "gone", "2"),
        ItemChange(ADDED, "new", new="null"),
        ItemChange(CHANGED, "other", "[1]", "[1, 2]", changes=[Change(ADDED, (1,), new=2)]),
    ]


def test_an_extra_in_other_words() -> None:
    """The texts differ, and the values do not."""
    (change,) = only(extras(a="[1,2]"), extras(a="[1, 2]")).changes
    assert (change.kind, list(change.changes)) == (CHANGED, [])


def test_an_item_that_moved() -> None:
    part = only(messages("a", "b", "c", "d", "e"), messages("b", "c", "d", "e", "a"))
    (change,) = part.changes
    assert (change.kind, change.old_index, change.key, change.new.content) == (MOVED, 0, 4, "a")


def test_within_an_item() -> None:
    old = messages("a", "one red thread")
    new = messages("a", "one blue thread")
    assert only(old, new).changes[0].changes == [
        Change(CHANGED, ("content",), "one red thread", "one blue thread"),
    ]


def test_within_an_error() -> None:
    def errors(details: str) -> pb.Checkpoint:
        error = {"message": "x", "cause": {"message": "y", "details": details}}
        scope = {"node": {"kind": "Custom:n", "step": 2}}
        channel: Any = {"errors": {"items": [{"error": error, "scope": scope}]}}
        return pb.Checkpoint(state=channel)

    (change,) = only(errors('{"n": [1]}'), errors('{"n": [2]}')).changes
    assert change.changes == [Change(CHANGED, ("cause", "details", "n", 0), 1, 2)]


def test_within_a_custom_value() -> None:
    old, new = blob(b'{"a": {"b": [1, 2, 3]}}'), blob(b'{"a": {"b": [2, 3]}}', version="2")
    for each in (old, new):
        each.state.custom["c"].blob.type = "json"
    (change,) = only(old, new).changes
    assert change.changes == [Change(REMOVED, ("a", "b", 0), old=1)]


def test_a_value_that_is_too_large_is_compared_as_a_whole() -> None:
    old, new = blob(b'"%s"' % (b"x" * 100)), blob(b'"%s"' % (b"y" * 100))
    for each in (old, new):
        each.state.custom["c"].blob.type = "json"
    ((change,),) = (part.changes for part in compare(old, new, max_bytes=50))
    assert (change.kind, list(change.changes)) == (CHANGED, [])
    assert "102 bytes" in change.problem


def test_values_that_are_nested_deep() -> None:
    """They are compared as they are stored: nothing that walks through them may fail."""
    deep = "[" * 900 + "]" * 900
    (change,) = only(extras(a=deep), extras(a=deep.replace("[]", "[1]"))).changes
    assert change.kind is CHANGED
    both = blob(deep.encode()), blob(deep.replace("[]", "[1]").encode())
    for each in both:
        each.state.custom["c"].blob.type = "json"
    (change,) = only(*both).changes
    assert "nested more than 200 deep" in change.problem


def test_a_list_of_which_several_items_are_stored_together() -> None:
    """How they are stored together does not matter."""

    def channel(count: int) -> pb.Checkpoint:
        values = [{"n": number} for number in range(count)]
        return pb.Checkpoint(state=pb.VersionedState(custom={"c": to_channel(JsonPlusSerializer(), values, "1")}))

    assert channel(100).state.custom["c"].list.items[0].type.startswith("msgpack[")
    part = only(channel(100), channel(102))
    assert part.changes == [ItemChange(ADDED, 100, new={"n": 100}), ItemChange(ADDED, 101, new={"n": 101})]


def test_a_custom_list() -> None:
    part = only(custom(b"a"), custom(b"a", b"b", version="2"))
    assert (part.name, part.versions) == ("custom/c", ("1", "2"))
    assert part.changes == [ItemChange(ADDED, 1, new=pb.TypedBlob(data=b"b"))]


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        (blob(b"a"), blob(b"b"), "changed"),
        (custom(b"a"), blob(b"a"), "changed"),
        (pb.Checkpoint(), blob(b"a"), "added"),
    ],
)
def test_a_custom_value(old: pb.Checkpoint, new: pb.Checkpoint, kind: str) -> None:
    (change,) = only(old, new).changes
    assert (change.kind, change.key, change.new) == (kind, None, new.state.custom["c"].blob)


def test_what_the_scheduler_knows() -> None:
    old = pb.Checkpoint(concurrency_limit=1, frontier=[pb.NodeKind(custom="a")])
    new = pb.Checkpoint(concurrency_limit=2)
    new.versions_seen["a"].versions["messages"] = 3
    assert compare(old, new) == [
        PartChange(
            "frontier",
            [ItemChange(CHANGED, None, [pb.NodeKind(custom="a")], [], changes=[Change(REMOVED, (0,), old="a")])],
        ),
        PartChange("versions_seen", [ItemChange(ADDED, ("a", "messages"), new=3)]),
        PartChange("concurrency_limit", [ItemChange(CHANGED, None, 1, 2, changes=[Change(CHANGED, (), 1, 2)])]),
    ]


def test_what_the_step_did() -> None:
    old = pb.Checkpoint(updated_channels=["extra"], metadata={"n": "1"})
    new = pb.Checkpoint(ran_nodes=[pb.NodeKind(custom="a")], metadata={"n": "2"}, header=pb.TypedBlob(type="t"))
    assert [part.name for part in compare(old, new)] == ["ran_nodes", "updated_channels", "metadata", "header"]


def test_long_lists_are_compared_in_reasonable_time() -> None:
    old = [str(number) for number in range(20_000)]
    new = [*old[:10_000], "new", *old[10_001:], "more"]
    assert len(only(messages(*old), messages(*new)).changes) == 2
