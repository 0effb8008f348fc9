"""What differs, as people read it."""

import random

import ormsgpack
from langchain_core.messages import AIMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from lockstitch.inspect import ChangeKind, Work
from lockstitch.v1.checkpoint_pb2 import Checkpoint, NodeKind, TypedBlob
from lockstitch_ui.views.changes import MAX_CHANGES, MAX_VALUE, ShownPart, compared


def extra(**entries: str) -> Checkpoint:
    checkpoint = Checkpoint()
    checkpoint.state.extra.entries.update(entries)
    return checkpoint


def changes(old: Checkpoint, new: Checkpoint) -> list[tuple[str, str, str, str]]:
    return [
        (change.kind.value, change.path, change.old, change.new)
        for part in compared(old, new)
        for change in part.changes
    ]


def part(old: Checkpoint, new: Checkpoint) -> ShownPart:
    (found,) = compared(old, new)
    return found


def test_values_by_path() -> None:
    assert changes(extra(a='{"b": [1, 2]}', gone="1"), extra(a='{"b": [1, 3, 4]}', new='"x"')) == [
        ("changed", "extra.a.b[1]", "2", "3"),
        ("added", "extra.a.b[2]", "", "4"),
        ("removed", "extra.gone", "1", ""),
        ("added", "extra.new", "", '"x"'),
    ]


def test_texts_by_word() -> None:
    (change,) = part(extra(a='"one two"'), extra(a='"one three"')).changes
    assert [(piece.kind, piece.text) for piece in change.pieces] == [
        (None, "one "),
        (ChangeKind.REMOVED, "two"),
        (ChangeKind.ADDED, "three"),
    ]
    large = "word " * 5000
    (change,) = part(extra(a=f'"{large}"'), extra(a=f'"{large}!"')).changes
    assert not change.pieces
    assert len(change.old) <= MAX_VALUE + 3


def test_items_that_moved() -> None:
    old, new = Checkpoint(), Checkpoint()
    for name in "abcd":
        old.state.messages.items.add(role="user", content=name)
    for name in "dabc":
        new.state.messages.items.add(role="user", content=name)
    assert [(change.kind.value, change.path, change.old_index) for change in part(old, new).changes] == [
        ("moved", "messages[0]", 3)
    ]


def test_a_message_of_langchain_reads_as_one() -> None:
    said = AIMessage("Let me look.", tool_calls=[{"name": "search", "args": {"q": "x"}, "id": "c1"}])
    kind, data = JsonPlusSerializer().dumps_typed(said)
    old, new = Checkpoint(), Checkpoint()
    old.state.custom["messages"].list.SetInParent()
    new.state.custom["messages"].list.items.add(type=kind, data=data)
    (change,) = part(old, new).changes
    assert (change.path, change.new) == ("messages[0]", 'assistant: Let me look.\n\u2192 search({"q": "x"})')


def test_bytes_that_cannot_be_decoded() -> None:
    old, new = Checkpoint(), Checkpoint()
    old.state.custom["c"].blob.CopyFrom(TypedBlob(type="pickle", data=b"ab"))
    new.state.custom["c"].blob.CopyFrom(TypedBlob(type="pickle", data=b"ac"))
    assert len(part(old, new).changes) == 1


def test_how_the_run_goes_on_comes_last() -> None:
    old, new = extra(a="1"), extra(a="2")
    new.frontier.append(NodeKind(custom="search"))
    new.state.custom["branch:to:search"].blob.CopyFrom(TypedBlob(type="null"))
    assert [(found.label, found.is_internal) for found in compared(old, new)] == [
        ("extra", False),
        ("branch:to:search", True),
        ("frontier", True),
    ]


def test_many_changes_are_counted() -> None:
    old, new = Checkpoint(), Checkpoint()
    old.state.custom["c"].blob.CopyFrom(
        TypedBlob(type="msgpack", data=ormsgpack.packb({str(n): n for n in range(999)}))
    )
    new.state.custom["c"].blob.CopyFrom(
        TypedBlob(type="msgpack", data=ormsgpack.packb({str(n): -1 for n in range(999)}))
    )
    found = part(old, new)
    assert len(found.changes) == MAX_CHANGES
    assert found.more == 999 - MAX_CHANGES


def test_messages_that_cost_too_much_are_compared_as_a_whole() -> None:
    source, work = random.Random(1), Work()
    sides = Checkpoint(), Checkpoint()
    for side in sides:
        for number in range(30):
            side.state.messages.items.add(role="user", content=f"{number} " + " ".join(source.choices("ab", k=1900)))
    (found,) = compared(*sides, work)
    assert len(found.changes) == 30
    assert work.refused == 30
    assert all(len(change.pieces) == 2 for change in found.changes)
