"""Names and session ids that the server does not take are stored as the Rust checkpointer stores them."""

import json

from lockstitch_server.importers.weavegraph_names import FURTHER_CAUSES, HEADER, MAX_CAUSES, Names, join
from tests.importers.test_weavegraph_rows import event, made
from tests.support.paths import ROOT

EXAMPLES = json.loads((ROOT / "tests/fixtures/weavegraph/names.json").read_text())
"""client/rust/src/checkpointer/names.rs has a test that reads them, too."""


def test_the_examples() -> None:
    for name, stored in EXAMPLES["names"]:
        assert Names().store(name) == stored, name
    for session_id, stored in EXAMPLES["session_ids"]:
        assert Names().store_session_id(session_id) == stored, session_id
    given, names = EXAMPLES["header"], Names()
    names.store_session_id(given["session_id"])
    for name in given["names"]:
        names.store(name)
    header = names.header()
    assert header is not None
    assert (header.type, header.data.decode()) == (HEADER, given["data"])


def test_a_checkpoint() -> None:
    long = "n" * 513
    text = f'{{"messages":{{"version":1,"items":[]}},"extra":{{"version":1,"map":{{"{long}":1.0}}}}}}'
    nodes = json.dumps(["Start", f"Custom:{long}", "b"])
    found = made(state=text, frontier=nodes, ran_nodes=nodes, skipped_nodes=nodes)
    stored = Names().store(long)
    assert dict(found.state.extra.entries) == {stored: "1.0"}
    for listed in (found.frontier, found.ran_nodes, found.skipped_nodes):
        assert [each.custom for each in listed] == ["", stored, "b"]
    assert json.loads(found.header.data) == {"names": {stored: long}}
    assert not made().HasField("header")


def nested(causes: int) -> str:
    text = "null"
    for number in reversed(range(causes + 1)):
        text = f'{{"message":"error {number}","cause":{text},"details":{number}}}'
    return f'{{"when":"2026-01-02T03:04:05Z","error":{text}}}'


def test_more_causes_than_the_server_takes() -> None:
    for causes in (0, MAX_CAUSES, MAX_CAUSES + 5):
        error, depth = event(nested(causes)).error, 0
        while error.HasField("cause"):
            assert (error.message, error.details) == (f"error {depth}", str(depth))
            error, depth = error.cause, depth + 1
        assert depth == min(causes, MAX_CAUSES)
        further = [[f"error {number}", str(number)] for number in range(MAX_CAUSES + 1, causes + 1)]
        expected = {FURTHER_CAUSES: {"causes": further, "details": str(depth)}}
        assert json.loads(error.details) == (expected if further else depth)


def test_details_that_look_as_if_they_held_causes() -> None:
    details = join([("a", "1")] * (MAX_CAUSES + 2)).cause
    while details.HasField("cause"):
        details = details.cause
    again = join([("b", details.details)])
    assert json.loads(again.details)[FURTHER_CAUSES] == {"causes": [], "details": details.details}
    plain = f'{{"{FURTHER_CAUSES}":7}}'
    assert join([("c", plain)]).details == plain
