"""sessions, checkpoints, show and diff, on what the weavegraph fixture holds."""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

import lockstitch
from tests.cli.commands import FIXTURE, Command, Done

EXPECTED = json.loads(FIXTURE.with_name("expected.json").read_text())["sessions"]


def run(target: str, *arguments: str) -> Done:
    done = Command(*arguments).in_process(target)
    assert done.code == 0, done.err
    return done


def failed(target: str, code: int, *arguments: str) -> str:
    done = Command(*arguments).in_process(target)
    assert (done.code, done.out) == (code, "")
    (line,) = done.err.splitlines()
    return line


class TestSessions:
    def test_all_of_them(self, target: str) -> None:
        lines = run(target, "sessions", "--order", "id").out.splitlines()
        assert lines[0].split() == ["SESSION", "STATUS", "STEP", "CHECKPOINTS", "SIZE", "UPDATED", "NEXT", "DETAIL"]
        assert [line.split()[0] for line in lines[1:]] == sorted(EXPECTED, key=str.encode)
        assert lines[1].startswith("agent-loop")
        assert lines[1].split()[1:4] == ["finished", "12", "13"]
        assert " ago  " in lines[1] or "just now" in lines[1]

    def test_json_is_one_session_a_line(self, target: str) -> None:
        sessions = {session["session_id"]: session for session in run(target, "sessions", "--json").json_lines}
        assert set(sessions) == set(EXPECTED)
        assert sessions["edges"]["latest_step"] == 2**63 - 1
        assert sessions["late-save"]["latest_checkpoint_id"] == "00000000000000000003"

    def test_by_prefix_and_limit(self, target: str) -> None:
        assert [
            line["session_id"]
            for line in run(target, "sessions", "--prefix", "e", "--order", "id", "--json").json_lines
        ] == [
            "edges",
            "errors",
        ]
        assert len(run(target, "sessions", "--limit", "3", "--json").json_lines) == 3
        assert len(run(target, "sessions", "--limit", "0", "--json").json_lines) == len(EXPECTED)

    @pytest.mark.parametrize("options", [(), ("--json",)])
    def test_more_than_are_shown(self, target: str, options: tuple[str, ...]) -> None:
        done = run(target, "sessions", "--limit", "3", *options)
        assert done.err == "There are more than these 3 sessions; --limit 0 shows all.\n"
        assert run(target, "sessions", "--limit", str(len(EXPECTED)), *options).err == ""
        assert run(target, "sessions", "--limit", "0", *options).err == ""

    def test_ids_are_not_broken(self, target: str, tmp_path: Path) -> None:
        """On a terminal of 80 columns a UUID stands on one line, whatever else there is to say."""
        name = str(uuid.uuid4())
        with lockstitch.Client(target) as client:
            client.save(lockstitch.Checkpoint(session_id=name, step=1, checkpoint_id=str(uuid.uuid4())), ttl=3600)
            client.update_session(name, set_labels={"customer": "a name of some length", "stage": "prod"})
            client.save(lockstitch.Checkpoint(session_id=name, step=2, checkpoint_id=f"f{uuid.uuid4()}"))
            ids = [found.checkpoint.checkpoint_id for found in client.list_checkpoints(name)]
            for command in (["sessions", "--prefix", name], ["checkpoints", name]):
                out = Command(*command).process(tmp_path, LOCKSTITCH_TARGET=target, COLUMNS="80").out
                assert max(map(len, out.splitlines())) <= 80
                for one in [name] if command[0] == "sessions" else ids:
                    assert one in out
            client.delete_sessions([name], tombstone=0)

    def test_a_narrow_terminal(self, target: str, tmp_path: Path) -> None:
        """The less important columns are left out; what is piped has them all."""
        narrow = Command("sessions").process(tmp_path, LOCKSTITCH_TARGET=target, COLUMNS="80").out.splitlines()
        assert narrow[0].split() == ["SESSION", "STATUS", "STEP", "UPDATED", "DETAIL"]
        assert max(map(len, narrow)) <= 80
        wide = run(target, "sessions").out.splitlines()
        assert {"CHECKPOINTS", "SIZE", "NEXT"} < set(wide[0].split())

    def test_none(self, target: str) -> None:
        done = run(target, "sessions", "--prefix", "none")
        assert (done.out, done.err) == ("", "No sessions.\n")
        assert run(target, "sessions", "--prefix", "none", "--json").out == ""


class TestCheckpoints:
    def test_newest_first(self, target: str) -> None:
        lines = run(target, "checkpoints", "step-reports").out.splitlines()
        assert lines[0].split() == ["STEP", "CREATED", "STATE", "RAN", "SKIPPED", "UPDATED", "NEXT"]
        assert [line.split()[0] for line in lines[1:]] == ["5", "4", "3", "2", "1", "0"]
        assert "counter  idle, End  messages, extra  End" in lines[1]

    def test_json(self, target: str) -> None:
        documents = run(target, "checkpoints", "step-reports", "--json").json_lines
        steps = {step["step"]: step for step in EXPECTED["step-reports"]["steps"]}
        assert len(documents) == len(steps)
        for document in documents:
            found, step = document["checkpoint"], steps[document["checkpoint"]["step"]]
            assert found["state"] is None
            for name in ("frontier", "ran_nodes", "skipped_nodes", "updated_channels"):
                assert found[name] == step[name]
            assert document["state_bytes"] > 0

    @pytest.mark.parametrize(
        ("filters", "steps"),
        [
            (["--min-step", "2", "--max-step", "3"], [3, 2]),
            (["--ran-node", "counter"], [5, 3]),
            (["--ran-node", "Custom:counter"], [5, 3]),
            (["--ran-node", "count"], []),
            (["--skipped-node", "End", "--limit", "1"], [5]),
            (["--skipped-node", "Custom:End"], []),
            (["--namespace", ""], [5, 4, 3, 2, 1, 0]),
            (["--namespace", "sub"], []),
            (["--metadata", "n=1"], []),
        ],
    )
    def test_filters(self, target: str, filters: list[str], steps: list[int]) -> None:
        found = run(target, "checkpoints", "step-reports", "--json", *filters).json_lines
        assert [document["checkpoint"]["step"] for document in found] == steps

    def test_parents(self, target: str) -> None:
        """By step where that tells which one; else by id."""
        with lockstitch.Client(target) as client:
            for name, parent, step in (("a", "", 0), ("b", "a", 1), ("c", "b", 2), ("d", "b", 2), ("e", "d", 3)):
                client.save(lockstitch.Checkpoint(session_id="family", checkpoint_id=name, parent_id=parent, step=step))
            client.save(lockstitch.Checkpoint(session_id="family", step=9, parent_id=f"{7:020}"))
            lines = run(target, "checkpoints", "family").out.splitlines()
            assert lines[0].split()[:3] == ["STEP", "ID", "PARENT"]
            assert [line.split()[:3] for line in lines[1:-2]] == [
                ["3", "e", "d"],
                ["2", "d", "1"],
                ["2", "c", "1"],
                ["1", "b", "0"],
            ]
            assert lines[-1].split()[:2] == ["9", "7"]
            client.delete_sessions(["family"], tombstone=0)

    def test_no_such_session(self, target: str) -> None:
        for options in ((), ("--json",)):
            done = Command("checkpoints", "nope", *options).in_process(target)
            assert (done.code, done.out) == (1, "")
            assert "there is no session 'nope'" in done.err

    def test_wrong_filters(self, target: str) -> None:
        assert "KEY=JSON" in failed(target, 2, "checkpoints", "s", "--metadata", "n")
        assert "NOT_JSON" in failed(target, 1, "checkpoints", "s", "--metadata", "n=x")
        assert "out of range" in failed(target, 2, "checkpoints", "s", "--min-step", str(2**70))


class TestShow:
    def test_the_latest(self, target: str) -> None:
        assert run(target, "show", "agent-loop").out.splitlines()[0] == "agent-loop  step 12"

    def test_one_by_step_or_id(self, target: str) -> None:
        by_step = run(target, "show", "agent-loop", "--step", "3").out
        assert by_step == run(target, "show", "agent-loop", "--checkpoint-id", f"{3:020}").out
        assert by_step.splitlines()[0] == "agent-loop  step 3"

    def test_everything_is_there(self, target: str) -> None:
        text = run(target, "show", "errors", "--step", "3", "--full").out
        for part in (
            "created  2026-",
            "next     broken",
            'Custom("flaky")  extra 1, messages 1',
            "0 user  Try, fail, try again.",
            "fetch failed  node Custom:flaky, step 2, 2025-11-02T10:30:00Z",
            'details: {"errno":111,"peer":"10.0.0.7:443"}',
            "caused by: no route 🛰",
            "tags: network, retryable",
            'context: {"":null,"attempt":2,"trace":18446744073709551615}',
        ):
            assert part in text

    def test_json_is_exact(self, target: str) -> None:
        done = run(target, "show", "edges", "--step", "7", "--json")
        assert '"floats":[0.0,1.0,0.1,-2.5,2.5e-8,123456.789]' in done.out
        checkpoint: Any = done.json["checkpoint"]
        expected = next(step for step in EXPECTED["edges"]["steps"] if step["step"] == 7)
        assert checkpoint["state"]["extra"]["entries"] == expected["state"]["extra"]["map"]
        assert checkpoint["state"]["messages"]["items"] == expected["state"]["messages"]["items"]
        assert checkpoint["frontier"] == expected["frontier"]

    def test_the_trace_that_wrote_it(self, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
        trace_id = "0af7651916cd43dd8448eb211c80319c"
        metadata = [("traceparent", f"00-{trace_id}-b7ad6b7169203331-00")]
        with lockstitch.Client(target, metadata=metadata) as client:
            client.save(lockstitch.Checkpoint(session_id="traced", step=1))
        assert f"trace    {trace_id}" in run(target, "show", "traced").out
        assert run(target, "show", "traced", "--json").json["trace_id"] == trace_id
        assert run(target, "checkpoints", "traced", "--json").json["trace_id"] == trace_id
        assert "trace" not in run(target, "show", "edges", "--step", "7").out
        monkeypatch.setenv("LOCKSTITCH_TRACE_URL_TEMPLATE", "https://jaeger.example/trace/{trace_id}")
        assert f"trace    https://jaeger.example/trace/{trace_id}" in run(target, "show", "traced").out

    def test_no_control_character_reaches_the_terminal(self, target: str) -> None:
        text = run(target, "show", "edges", "--step", "7", "--full").out
        assert "\\x01 \\x1f" in text
        assert all(char.isprintable() or char == "\n" for char in text)

    def test_what_is_not_there(self, target: str) -> None:
        assert failed(target, 1, "show", "none").endswith("there is no session 'none'")
        assert "session 'edges' has no step 8" in failed(target, 1, "show", "edges", "--step", "8")
        assert "exclude each other" in failed(target, 2, "show", "edges", "--step", "8", "--checkpoint-id", "x")


class TestDiff:
    def test_two_steps(self, target: str) -> None:
        assert run(target, "diff", "agent-loop", "3", "4").out.splitlines() == [
            "agent-loop  step 3 → step 4  1 ms later",
            "",
            "messages  version 4 → 5",
            "  + [7] assistant: Plan of round 2: look, read, judge. 🪡",
            "",
            "extra  version 3 → 4",
            "  ~ plan.depth.now: 1 → 2",
            "  ~ round: 1 → 2",
            '  + scratch: "goes away again"',
            "",
            "frontier",
            '  ~ planner → search, naïve "reader" 🧵',
            "",
            "versions seen",
            '  ~ Custom("planner") extra: 1 → 3',
            '  ~ Custom("planner") messages: 1 → 4',
        ]

    def test_names_and_places_of_changes(self, target: str) -> None:
        """Channels have the names that their owners gave them; a change far behind in a long text can be seen."""
        with lockstitch.Client(target) as client:
            for step, end in ((1, "one"), (2, "two")):
                made = lockstitch.Checkpoint(session_id="long", step=step)
                made.state.custom["tool_call_ids"].version = f"{step}"
                made.state.extra.entries["plan_a"] = f'"{"x" * 1000}{end}"'
                made.state.messages.items.append(lockstitch.message("user", f"{'y' * 1000} {end}"))
                client.save(made)
            lines = run(target, "diff", "long", "1", "2").out.splitlines()
            client.delete_sessions(["long"], tombstone=0)
        assert "custom/tool_call_ids  version 1 → 2" in lines
        assert f"  ~ [0].content: …{'y' * 39} [-one-]{{+two+}}" in lines
        (entry,) = [line for line in lines if line.startswith("  ~ plan_a")]
        assert "xone (1003 characters) → …" in entry
        assert entry.endswith("xtwo (1003 characters)")

    def test_structure(self, target: str) -> None:
        """By path, list items that moved, and texts by words."""
        words = "The quick brown fox jumps over the lazy dog, again and again."
        states = (
            ('{"a b": {"list": [1, 2, 3, {"x": null}]}, "gone": 1}', words),
            ('{"a b": {"list": [3, 1, 2, {"x": true}]}, "new": [1]}', words.replace("quick", "slow")),
        )
        with lockstitch.Client(target) as client:
            for step, (plan, text) in enumerate(states):
                made = lockstitch.Checkpoint(session_id="structure", step=step)
                made.state.extra.entries["plan"] = plan
                blob = made.state.custom["notes"].blob
                blob.type, blob.data = "json", json.dumps({"text": text}).encode()
                client.save(made)
            out = run(target, "diff", "structure", "0", "1").out
            document = run(target, "diff", "structure", "0", "1", "--json").json
            client.delete_sessions(["structure"], tombstone=0)
        assert out.splitlines()[2:] == [
            "extra",
            '  > plan["a b"].list[0] from [2]: 3',
            '  ~ plan["a b"].list[3].x: null → true',
            "  + plan.new: [1]",
            "  - plan.gone: 1",
            "",
            "custom/notes",
            "  ~ text: The [-quick-]{+slow+} brown fox jumps over the lazy dog, again and again.",
        ]
        extra, notes = document["sections"]
        assert extra["changes"][0]["old"] == json.loads(states[0][0])
        assert extra["changes"][0]["changes"] == [
            {"kind": "moved", "path": ["a b", "list", 0], "old": 3, "new": 3, "old_index": 2},
            {"kind": "changed", "path": ["a b", "list", 3, "x"], "old": None, "new": True},
            {"kind": "added", "path": ["new"], "new": [1]},
            {"kind": "removed", "path": ["gone"], "old": 1},
        ]
        assert notes["changes"][0]["old"]["type"] == "json"
        assert notes["changes"][0]["new_value"] == {"text": states[1][1]}

    def test_errors(self, target: str) -> None:
        text = run(target, "diff", "errors", "0", "1").out
        assert "  + [0] slow answer  node fetch, step 1, " in text

    def test_json(self, target: str) -> None:
        document = run(target, "diff", "agent-loop", "3", "4", "--json").json
        assert (document["old"]["step"], document["new"]["step"]) == (3, 4)
        sections = {section["name"]: section for section in document["sections"]}
        assert sections["messages"]["versions"] == [4, 5]
        within = [{"kind": "changed", "path": [], "old": 1, "new": 2}]
        changed = {"kind": "changed", "key": "round", "old": 1, "new": 2, "changes": within}
        assert changed in sections["extra"]["changes"]
        assert {"kind": "added", "key": "scratch", "new": "goes away again"} in sections["extra"]["changes"]

    def test_by_id_and_latest(self, target: str) -> None:
        by_step = run(target, "diff", "agent-loop", "3", "12").out
        assert run(target, "diff", "agent-loop", f"id:{3:020}", "latest").out == by_step
        assert run(target, "diff", "agent-loop", f"{3:020}", f"{12:020}").out == by_step

    def test_no_difference(self, target: str) -> None:
        assert run(target, "diff", "agent-loop", "3", "3").out.splitlines()[1:] == ["no difference"]
        assert run(target, "diff", "agent-loop", "3", "3", "--json").json["sections"] == []


@pytest.mark.parametrize("command", [["sessions"], ["checkpoints", "s"], ["show", "s"], ["diff", "s", "1", "2"]])
def test_without_a_server(command: list[str]) -> None:
    line = failed("127.0.0.1:1", 1, *command)
    assert line == "lockstitch: no server can be reached at 127.0.0.1:1 (Connection refused)"


def test_as_a_process(target: str, tmp_path: Path) -> None:
    done = Command("show", "agent-loop").process(tmp_path, LOCKSTITCH_TARGET=target, COLUMNS="")
    assert (done.code, done.err) == (0, "")
    assert done.out == run(target, "show", "agent-loop").out


def test_colour_where_it_is_wanted(target: str, tmp_path: Path) -> None:
    colour = Command("show", "agent-loop").process(tmp_path, LOCKSTITCH_TARGET=target, FORCE_COLOR="1")
    assert "\x1b[" in colour.out
    plain = Command("show", "agent-loop").process(tmp_path, LOCKSTITCH_TARGET=target, FORCE_COLOR="1", NO_COLOR="1")
    assert "\x1b[3" not in plain.out
