"""A LangGraph thread that waits, one that failed and one that is finished, as the commands show them."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command as Resume
from langgraph.types import interrupt

import lockstitch
from lockstitch.adapters.langgraph import LockstitchSaver
from tests.cli.commands import Command, Done
from tests.support.server import LockstitchServer

CALL = {"name": "search", "args": {"q": "x"}, "id": "c1"}


def graph(saver: LockstitchSaver) -> Any:
    """Looks something up, asks a person, and fails unless the answer is "yes"."""

    def agent(state: MessagesState) -> Any:
        return {"messages": [AIMessage("Let me look.", tool_calls=[CALL])]}

    def tool(state: MessagesState) -> Any:
        return {"messages": [ToolMessage("found", tool_call_id="c1", name="search")]}

    def ask(state: MessagesState) -> Any:
        return {"messages": [("human", str(interrupt({"question": "Send it?\nNow?"})))]}

    def send(state: MessagesState) -> Any:
        if state["messages"][-1].content != "yes":
            raise ValueError("HTTP 500")
        return {"messages": [("ai", "sent")]}

    builder: Any = StateGraph(MessagesState)
    for name, node in (("agent", agent), ("tool", tool), ("ask", ask), ("send", send)):
        builder.add_node(name, node)
    for one, other in ((START, "agent"), ("agent", "tool"), ("tool", "ask"), ("ask", "send"), ("send", END)):
        builder.add_edge(one, other)
    return builder.compile(checkpointer=saver)


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    with LockstitchServer("memory://") as server, LockstitchSaver(server.target) as saver:
        for thread, answer in (("waiting", ""), ("failed", "no"), ("finished", "yes")):
            config: Any = {"configurable": {"thread_id": thread}}
            graph(saver).invoke({"messages": ["hi"]}, config)
            if answer == "no":
                with pytest.raises(ValueError, match="HTTP 500"):
                    graph(saver).invoke(Resume(resume=answer), config)
            elif answer:
                graph(saver).invoke(Resume(resume=answer), config)
        with lockstitch.Client(server.target) as client:
            client.save(lockstitch.Checkpoint(session_id="running", step=1))
            client.acquire_lease("running", "pod-7", ttl=600)
            made = lockstitch.Checkpoint(session_id="in its errors", step=1, frontier=[lockstitch.node("writer")])
            made.state.errors.items.add().error.message = "down\nfor good"
            made.state.errors.items[0].scope.node.kind = "Custom:writer"
            made.state.errors.items[0].scope.node.step = 1
            client.save(made)
            client.update_session("failed", set_labels={"customer": "7", "stage": "prod"})
            client.update_session("waiting", set_labels={"customer": "7"})
        yield server.target


def run(target: str, *arguments: str) -> Done:
    done = Command(*arguments).in_process(target)
    assert done.code == 0, done.err
    return done


def listed(target: str, *options: str) -> dict[str, Any]:
    return {line["session_id"]: line for line in run(target, "sessions", "--json", *options).json_lines}


class TestSessions:
    def test_status(self, target: str) -> None:
        found = listed(target)
        assert {name: line["status"]["kind"] for name, line in found.items()} == {
            "waiting": "waiting",
            "failed": "failed",
            "finished": "finished",
            "running": "running",
            "in its errors": "failed",
        }
        assert found["waiting"]["status"]["detail"] == "Send it?"
        assert "HTTP 500" in found["failed"]["status"]["detail"]
        assert found["in its errors"]["status"]["detail"] == "down"
        assert found["running"]["status"]["detail"] == "pod-7"
        assert found["waiting"]["progress"]["next"] == ["ask"]
        assert found["waiting"]["progress"]["interrupts"][0]["value"] == {"question": "Send it?\nNow?"}

    def test_as_a_table(self, target: str) -> None:
        lines = {line.split("  ")[0]: line for line in run(target, "sessions").out.splitlines()}
        assert lines["waiting"].split()[1] == "waiting"
        assert "ask     Send it?" in lines["waiting"]
        assert "writer  down" in lines["in its errors"]

    @pytest.mark.parametrize(
        ("options", "names"),
        [
            (["--status", "waiting"], {"waiting"}),
            (["--status", "failed", "--status", "running"], {"failed", "in its errors", "running"}),
            (["--status", "idle"], set()),
            (["--label", "customer=7"], {"waiting", "failed"}),
            (["--label", "customer=7", "--label", "stage=prod"], {"failed"}),
            (["--label", "customer=7", "--status", "waiting"], {"waiting"}),
            (["--since", "2h", "--prefix", "f"], {"failed", "finished"}),
            (["--since", (datetime.now(UTC) + timedelta(days=1)).isoformat()], set()),
        ],
    )
    def test_filters(self, target: str, options: list[str], names: set[str]) -> None:
        assert set(listed(target, *options)) == names

    def test_how_many_were_looked_at(self, target: str) -> None:
        """Where only some of the sessions were looked at for their status, this is said."""
        told = "Looked at the first 2 sessions only; --scan 0 looks at all of them.\n"
        done = run(target, "sessions", "--status", "waiting", "--order", "id", "--scan", "2", "--json")
        assert (done.out, done.err) == ("", told)
        assert run(target, "sessions", "--status", "waiting", "--scan", "0").err == ""
        assert run(target, "sessions", "--status", "waiting", "--scan", "5").err == ""

    def test_wrong_filters(self, target: str) -> None:
        Command("sessions", "--label", "x").in_process(target).refused("NAME=VALUE")
        Command("sessions", "--since", "soon").in_process(target).refused("--since", "2h", "'soon'")
        assert "asleep" in Command("sessions", "--status", "asleep").in_process(target).err

    def test_no_messages_are_loaded(self, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
        seen = []
        real = lockstitch.Client.load_latest_many

        def spy(client: Any, *arguments: Any, **options: Any) -> Any:
            for each in real(client, *arguments, **options):
                seen.append(each.result().checkpoint)
                yield each

        monkeypatch.setattr(lockstitch.Client, "load_latest_many", spy)
        run(target, "sessions")
        assert len(seen) == 5
        assert all(each is not None and "messages" not in each.state.custom for each in seen)


class TestCheckpoints:
    def test_ran_and_next(self, target: str) -> None:
        steps = run(target, "checkpoints", "failed", "--json").json_lines
        assert [(step["progress"]["ran"], step["progress"]["next"]) for step in steps] == [
            (["ask"], ["send"]),
            (["tool"], ["ask"]),
            (["agent"], ["tool"]),
            ([], ["agent"]),
            ([], ["Start"]),
        ]
        assert all(step["checkpoint"]["state"] is None for step in steps)
        assert "HTTP 500" in steps[0]["progress"]["errors"][0]["message"]

    def test_the_parent_of_the_last_that_is_shown(self, target: str) -> None:
        (step,) = run(target, "checkpoints", "failed", "--limit", "1", "--json").json_lines
        assert step["progress"]["ran"] == ["ask"]
        (step,) = run(target, "checkpoints", "failed", "--max-step", "2", "--min-step", "2", "--json").json_lines
        assert step["progress"]["ran"] == ["tool"]

    def test_as_a_table(self, target: str) -> None:
        lines = run(target, "checkpoints", "waiting").out.splitlines()
        assert "tool   ask    waiting: Send it?" in lines[1]
        assert "agent  tool" in lines[2]
        assert not any("waiting" in line for line in lines[2:])


class TestShow:
    def test_a_chat(self, target: str) -> None:
        out = run(target, "show", "failed").out
        assert "\ncustom messages  4 items, version 5\n" in out
        chat = [line.strip() for line in out.partition("custom messages")[2].splitlines()[1:6]]
        assert chat == [
            "0 user         hi",
            "1 assistant    Let me look.",
            '→ search {"q": "x"}',
            "2 tool search  found",
            "3 user         no",
        ]

    def test_what_it_waits_for(self, target: str) -> None:
        out = run(target, "show", "waiting").out
        assert "  status   waiting: Send it?\n" in out
        assert "  next     ask\n  ran      tool\n" in out
        assert '\nwaiting for\n  ask  {"question": "Send it?\\nNow?"}\n' in out

    def test_why_it_failed(self, target: str) -> None:
        out = run(target, "show", "failed").out
        assert "  status   failed: ValueError('HTTP 500')\n" in out
        assert "\nfailed\n  send  ValueError('HTTP 500')\n" in out

    def test_json(self, target: str) -> None:
        document = run(target, "show", "failed", "--json").json
        assert document["status"]["kind"] == "failed"
        assert document["progress"]["next"] == ["send"]
        assert [message["role"] for message in document["chat"]] == ["user", "assistant", "tool", "user"]
        assert document["chat"][1]["tool_calls"] == [{"name": "search", "arguments": {"q": "x"}, "id": "c1"}]
        assert document["decoded"]["custom"]["messages"][0]["content"] == "hi"
        assert document["decoded"]["custom"]["branch:to:send"] is None
        assert "HTTP 500" in document["decoded"]["pending_writes"][0]

    def test_only_the_latest_has_the_status_of_the_session(self, target: str) -> None:
        assert "status" not in run(target, "show", "failed", "--step", "2").out
        assert run(target, "show", "failed", "--step", "2", "--json").json["status"] is None
        assert "running: pod-7, " in run(target, "show", "running").out


def test_diff(target: str) -> None:
    out = run(target, "diff", "failed", "1", "3").out
    assert "\ncustom/messages  version 3 → 5\n  + [2] tool search: found\n  + [3] user: no\n" in out


def test_what_is_watched(target: str) -> None:
    """Events have the progress of their checkpoints. Interrupts are no events: the status tells them."""
    with lockstitch.Client(target) as client:
        token = next(iter(client.watch_session("watched", heartbeats=True))).resume_token
    with LockstitchSaver(target) as saver:
        config: Any = {"configurable": {"thread_id": "watched"}}
        graph(saver).invoke({"messages": ["hi"]}, config)
    done = run(target, "session", "watch", "watched", "--resume", token, "--limit", "4")
    lines = done.out.splitlines()
    assert lines[0] == "status waiting: Send it?"
    assert [line.partition("; ")[2] for line in lines[1:]] == [
        "next Start",
        "next agent",
        "ran agent; next tool",
        "ran tool; next ask",
    ]
    lines = run(target, "session", "watch", "watched", "--resume", token, "--limit", "4", "--json").out.splitlines()
    assert json.loads(lines[0])["status"] == {"kind": "waiting", "detail": "Send it?", "seconds_left": None}
    assert json.loads(lines[4])["progress"]["interrupts"][0]["node"] == "ask"
