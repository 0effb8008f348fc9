"""A graph that is killed, resumed in another process, approved by a person, sent back in time and forked.

    python demo.py

Starts a server with SQLite in a temporary directory, and `desk.py` in processes of its own. Ends with 0 if every step
has run once and the history is as it should be.
"""

import sys
import tempfile
from pathlib import Path

from langchain_core.runnables import RunnableConfig
from langgraph.types import Command

from lockstitch.adapters.langgraph import LockstitchSaver

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from desk import desk  # type: ignore[import-not-found]  # noqa: E402 - it stands beside this file
from stage import report, run, server, tell  # type: ignore[import-not-found]  # noqa: E402 - in the directory above

CASE = "case-1"
THREAD: RunnableConfig = {"configurable": {"thread_id": CASE}}


def travel(target: str) -> tuple[list[str], list[str]]:
    """Go back before the draft, and give another answer; then fork, with other facts. Gives the notes of both ends."""
    with LockstitchSaver(target) as saver:
        graph = desk(saver)
        past = {state.next: state.config for state in graph.get_state_history(THREAD)}
        tell("travel", "back to where the draft begins; this time the answer is no")
        graph.invoke(None, past["draft",])
        refused = graph.invoke(Command(resume="no"), THREAD)
        tell("fork", "from where the person was asked, with a draft of our own")
        fork = graph.update_state(past["ask",], {"notes": ["refund 99.00"]}, as_node="draft")
        graph.invoke(None, fork)
        forked = graph.invoke(Command(resume="yes"), THREAD)
        return refused["notes"], forked["notes"]


def main() -> int:
    """The whole story. Gives 0 if it has come to its right end."""
    with tempfile.TemporaryDirectory() as directory, server(Path(directory)) as target:
        command = (str(HERE / "desk.py"), target, CASE)
        first = run("first", *command, "ask", "where is my parcel?", "--slow", kill_at="draft: begins")
        second = run("second", *command, "resume")
        third = run("third", *command, "answer", "yes")
        refused, forked = travel(target)
    facts = "order 4711 was lost on its way"
    checks = {
        "the first process was killed while it drafted": first == ["look_up: where is my parcel?", "draft: begins"],
        "the second went on from the draft": second
        == ["draft: begins", "draft: done", "asks: {'approve': 'refund 12.50'}"],
        "the third took the answer": third == ["ask: a person says yes", "act: refunded"],
        "time travel": refused == [facts, "refund 12.50", "sent an apology"],
        "the fork": forked == [facts, "refund 12.50", "refund 99.00", "refunded"],
    }
    code: int = report(checks)
    return code


if __name__ == "__main__":
    sys.exit(main())
