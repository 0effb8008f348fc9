"""What is known of pending writes is true, whatever has been forgotten."""

from hypothesis import given
from hypothesis import strategies as st

from lockstitch_server.core.format.rows import WriteSize
from lockstitch_server.core.planning.facts import MOST_WRITES, NONE, UNKNOWN, CheckpointName, WriteName, by_name

NAMES = st.tuples(st.sampled_from(["", "n"]), st.sampled_from(["a", "b", "c", "d", "é"]))
COUNTS = st.sampled_from([0, 1, 2, MOST_WRITES // 2, MOST_WRITES, MOST_WRITES + 1])
STEPS = st.lists(st.dictionaries(NAMES, COUNTS, max_size=3), max_size=12)
There = dict[CheckpointName, dict[WriteName, WriteSize]]


def writes(count: int) -> dict[WriteName, WriteSize]:
    return by_name(WriteSize("task", index, index, index, 0) for index in range(count))


@given(NAMES | st.none(), STEPS)
def test_nothing_that_is_known_is_wrong(before: CheckpointName | None, steps: list[dict[CheckpointName, int]]) -> None:
    """Writes are only added: a checkpoint has those it was last told to have."""
    there, known = There(), NONE
    if before is not None:
        there[before] = writes(1)
        known = UNKNOWN.and_greatest(*before)
    for step in steps:
        told = {name: writes(max(count, len(there.get(name, ())))) for name, count in step.items()}
        there |= told
        known = known.and_sizes(told)
        assert sum(map(len, known.sizes.values())) <= MOST_WRITES
        for namespace, checkpoint_id in [(space, name) for space in ("", "n") for name in "abcdé"]:
            found = known.of(namespace, checkpoint_id)
            assert found is None or found == there.get((namespace, checkpoint_id), {})


def test_a_new_checkpoint_has_none() -> None:
    assert NONE.of("", "a") == {}
    assert UNKNOWN.of("", "a") is None
    known = UNKNOWN.and_greatest("", "b").and_sizes({("", "c"): writes(2)})
    assert (known.of("", "a"), known.of("", "b")) == (None, None)
    assert (known.of("", "c"), known.of("", "d"), known.of("n", "d")) == (writes(2), {}, None)


def test_what_was_told_first_is_forgotten_first() -> None:
    known = NONE
    for name in ("a", "b", "c"):
        known = known.and_sizes({("", name): writes(MOST_WRITES // 2)})
    assert known.of("", "a") is None
    assert (known.of("", "b"), known.of("", "c")) == (writes(MOST_WRITES // 2), writes(MOST_WRITES // 2))
    assert known.of("", "d") == {}
