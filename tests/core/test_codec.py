"""States taken apart and put together again: nothing is lost, whatever it is."""

import random

from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from lockstitch.v1.checkpoint_pb2 import Checkpoint, VersionedState
from lockstitch_server.core.format.checkpoint import split_header, split_state, state_pieces, timestamp
from lockstitch_server.core.format.compression import pack
from lockstitch_server.core.format.parts import CUSTOM, DraftPart
from lockstitch_server.core.format.rows import CheckpointRow
from lockstitch_server.core.format.selection import Selection, join_checkpoint, selected
from lockstitch_server.core.wire import encode
from lockstitch_server.records.v1.record_pb2 import CheckpointRecord, Manifest, Part, PartKind
from tests.support import strategies


def exact(message: Message) -> bytes:
    return message.SerializeToString(deterministic=True)


def stored(state: VersionedState) -> tuple[Manifest, dict[tuple[int, str], bytes]]:
    """A state as it is stored: a manifest, and bytes by the names of parts."""
    draft = split_state(VersionedState.FromString(state.SerializeToString()))
    manifest = Manifest(**draft.skeleton._asdict())
    manifest.parts.extend(Part(kind=part.kind, key=part.key, shell=part.shell) for part in draft.parts)
    return manifest, {part.name: part.data for part in draft.parts}


def pieces(data: bytes) -> list[bytes]:
    """As rows of a log hold it."""
    return [data[:3], data[3:100], data[100:]]


def joined(manifest: Manifest, data: dict[tuple[int, str], bytes]) -> VersionedState:
    return VersionedState.FromString(b"".join(state_pieces(manifest, lambda part: pieces(data[part.kind, part.key]))))


@given(strategies.states)
def test_split_and_joined_states_are_the_same(state: VersionedState) -> None:
    assert exact(joined(*stored(state))) == exact(state)


@given(strategies.states)
def test_splitting_empties_a_state(state: VersionedState) -> None:
    split_state(state)
    assert not state.ListFields()


@given(strategies.states)
def test_parts_have_distinct_names(state: VersionedState) -> None:
    names = [part.name for part in split_state(state).parts]
    assert len(names) == len(set(names))
    customs = [key for kind, key in names if kind in CUSTOM]
    assert len(customs) == len(set(customs))


@given(strategies.states, st.randoms(use_true_random=False))
def test_the_same_state_is_split_the_same(state: VersionedState, order: random.Random) -> None:
    """Whatever the order of map entries, and of fields, in which it came."""
    shuffled = VersionedState()
    for field in order.sample(state.ListFields(), len(state.ListFields())):
        shuffled.MergeFrom(VersionedState(**{field[0].name: field[1]}))
    shuffled.custom.clear()
    for name in order.sample(sorted(state.custom), len(state.custom)):
        shuffled.custom[name].CopyFrom(state.custom[name])
    bare = VersionedState.FromString(state.SerializeToString())
    bare.DiscardUnknownFields()
    shuffled.DiscardUnknownFields()
    assert stored(shuffled) == stored(bare)


@given(strategies.states, st.lists(strategies.messages, max_size=3))
def test_a_longer_list_begins_with_the_bytes_of_the_shorter(state: VersionedState, more: list[Message]) -> None:
    """So only the rest of it has to be stored."""
    name = (PartKind.PART_KIND_MESSAGES, "")
    before = stored(state)[1].get(name, b"")
    state.messages.items.extend(more)  # type: ignore[arg-type]
    assert stored(state)[1].get(name, b"").startswith(before)


@given(strategies.headers, strategies.states, st.integers(0, (2**63 - 1) // 1000), st.booleans())
def test_checkpoints_are_put_together_from_rows(
    header: Checkpoint, state: VersionedState, revision: int, with_state: bool
) -> None:
    expected = Checkpoint.FromString(header.SerializeToString())
    names = {"namespace": "n", "checkpoint_id": "c", "parent_id": "p", "step": 7}
    record = CheckpointRecord(header=split_header(header), server_time=not expected.HasField("created_at"))
    row = CheckpointRow(b"key", "n", "c", "p", 7, revision, pack(record.SerializeToString()))
    row.crc = row.checksum()
    joined = join_checkpoint("s", row, pieces(state.SerializeToString()) if with_state else None)
    expected.MergeFrom(Checkpoint(session_id="s", state=state if with_state else None, **names))  # type: ignore[arg-type]
    if record.server_time:
        expected.created_at.FromNanoseconds(revision * 1000)
    assert exact(Checkpoint.FromString(joined)) == exact(expected)


CHANNELS = st.sampled_from(
    ["messages", "errors", "extra", "custom", *(f"{kind}/{name}" for kind in ("extra", "custom") for name in ("", "a"))]
)


@given(strategies.states, st.sets(CHANNELS, min_size=1))
def test_selected_channels_are_those_and_no_others(state: VersionedState, channels: set[str]) -> None:
    manifest, data = stored(state)
    found = joined(selected(manifest, Selection(channels=frozenset(channels))), data)
    assert found.HasField("messages") == (state.HasField("messages") and "messages" in channels)
    assert found.HasField("errors") == (state.HasField("errors") and "errors" in channels)
    wanted = {name for name in state.extra.entries if {"extra", f"extra/{name}"} & channels}
    assert dict(found.extra.entries) == {name: state.extra.entries[name] for name in wanted}
    wanted = {name for name in state.custom if {"custom", f"custom/{name}"} & channels}
    assert {name: exact(found.custom[name]) for name in found.custom} == {
        name: exact(state.custom[name]) for name in wanted
    }


class TestWire:
    """Bytes put together by hand are what protobuf itself writes."""

    @given(st.integers(0, 2**64 - 1), st.text(max_size=300), st.text(max_size=5))
    def test_fields(self, number: int, text: str, role: str) -> None:
        by_hand = encode.text(1, text) + encode.unsigned(5, number) + encode.delimited(9, b"") + encode.text(4, role)
        message = Checkpoint.FromString(by_hand)
        assert (message.session_id, message.step, message.parent_id) == (text, number, role)
        message.ClearField("concurrency_limit")
        expected = Checkpoint(session_id=text, step=number, parent_id=role).SerializeToString()
        assert encode.text(1, text) + encode.text(4, role) + encode.unsigned(5, number) == expected

    @given(st.integers(0, 253_402_300_799 * 10**9))
    def test_times(self, ns: int) -> None:
        expected = Checkpoint()
        expected.created_at.FromNanoseconds(ns)
        assert timestamp(ns) == expected.created_at.SerializeToString()

    @settings(max_examples=20)
    @given(st.lists(st.binary(max_size=200), max_size=5))
    def test_chunks(self, chunks: list[bytes]) -> None:
        assert encode.delimited(6, *chunks) == encode.delimited(6, b"".join(chunks))


def test_a_draft_part_is_named_by_kind_and_key() -> None:
    assert DraftPart(PartKind.PART_KIND_EXTRA, "k", b"1").name == (PartKind.PART_KIND_EXTRA, "k")
