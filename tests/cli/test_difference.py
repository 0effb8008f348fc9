"""What differs between two checkpoints."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstitch.v1 import checkpoint_pb2 as pb
from lockstitch_server.cli.difference import Change, Section, difference
from lockstitch_server.cli.exact_json import JsonText


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


def only(old: pb.Checkpoint, new: pb.Checkpoint) -> Section:
    (section,) = difference(old, new)
    return section


def said(section: Section) -> list[tuple[str, object, str, str]]:
    return [
        (change.kind, change.key, change.old.content if change.old else "", change.new.content if change.new else "")
        for change in section.changes
    ]


def test_nothing() -> None:
    checkpoint = messages("a")
    other = pb.Checkpoint(session_id="other", checkpoint_id="x", parent_id="y", step=3)
    other.MergeFrom(checkpoint)
    assert difference(checkpoint, checkpoint) == []
    assert difference(checkpoint, other) == [], "who they are is not compared"


def test_messages_that_came_to_it() -> None:
    section = only(messages("a"), messages("a", "b", "c", version=2))
    assert (section.name, section.versions) == ("messages", (1, 2))
    assert said(section) == [("added", 1, "", "b"), ("added", 2, "", "c")]


def test_messages_that_changed_or_are_gone() -> None:
    section = only(messages("a", "b", "c", "d", "e"), messages("a", "B", "c", "e"))
    assert said(section) == [("changed", 1, "b", "B"), ("removed", 3, "d", "")]


def test_a_conversation_that_was_cut_short() -> None:
    assert said(only(messages("a", "b", "c"), messages("x", "c"))) == [
        ("changed", 0, "a", "x"),
        ("removed", 1, "b", ""),
    ]


@given(st.lists(st.sampled_from("abcd")), st.lists(st.sampled_from("abcd")))
def test_the_changes_of_a_list_lead_from_old_to_new(old: list[str], new: list[str]) -> None:
    changes = [change for section in difference(messages(*old), messages(*new)) for change in section.changes]
    won = {change.key: change.new.content for change in changes if change.kind != "removed"}
    lost = Counter(change.old.content for change in changes if change.kind != "added")
    assert all(new[at] == content for at, content in won.items())  # type: ignore[index]
    kept = [content for at, content in enumerate(new) if at not in won]
    assert Counter(kept) + lost == Counter(old)
    rest = iter(old)
    assert all(content in rest for content in kept), "what stays keeps its order"


def test_a_version_alone() -> None:
    section = only(messages("a"), messages("a", version=2))
    assert (section.versions, section.changes) == ((1, 2), [])


def test_a_channel_that_was_not_there() -> None:
    section = only(pb.Checkpoint(), messages())
    assert (section.name, section.versions, section.changes) == ("messages", (None, 1), [])


def test_extras() -> None:
    section = only(extras(same="1", gone="2", other="[1]"), extras(same="1", other="[1, 2]", new="null"))
    assert section.changes == [
        Change("removed", "gone", JsonText("2"), None),
        Change("added", "new", None, JsonText("null")),
        Change("changed", "other", JsonText("[1]"), JsonText("[1, 2]")),
    ]


def test_a_custom_list() -> None:
    section = only(custom(b"a"), custom(b"a", b"b", version="2"))
    assert (section.name, section.versions) == ("custom/c", ("1", "2"))
    assert section.changes == [Change("added", 1, None, pb.TypedBlob(data=b"b"))]


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
    assert difference(old, new) == [
        Section("frontier", [Change("changed", None, [pb.NodeKind(custom="a")], [])]),
        Section("versions_seen", [Change("added", ("a", "messages"), None, 3)]),
        Section("concurrency_limit", [Change("changed", None, 1, 2)]),
    ]


def test_what_the_step_did() -> None:
    old = pb.Checkpoint(updated_channels=["extra"], metadata={"n": "1"})
    new = pb.Checkpoint(ran_nodes=[pb.NodeKind(custom="a")], metadata={"n": "2"}, header=pb.TypedBlob(type="t"))
    assert [section.name for section in difference(old, new)] == ["ran_nodes", "updated_channels", "metadata", "header"]


def test_long_lists_are_compared_in_reasonable_time() -> None:
    old = [str(number) for number in range(20_000)]
    new = [*old[:10_000], "new", *old[10_001:], "more"]
    assert len(only(messages(*old), messages(*new)).changes) == 2
