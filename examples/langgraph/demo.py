"""A graph that is killed, resumed in another process, approved by a person, sent back in time and forked.

    python demo.py

Starts a server with SQLite in a temporary directory, and `desk.py` in processes of its own. Ends with 0 if every step
has run once and the history is as it should be.
"""

import contextlib
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from langchain_core.runnables import RunnableConfig
from langgraph.types import Command

import lockstitch
from lockstitch.adapters.langgraph import LockstitchSaver

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from desk import desk  # type: ignore[import-not-found]  # noqa: E402 - it stands beside this file

CASE = "case-1"
THREAD: RunnableConfig = {"configurable": {"thread_id": CASE}}


def tell(who: str, text: str) -> None:
    print(f"{who:>7} | {text}", flush=True)


@contextlib.contextmanager
def server(directory: Path) -> Iterator[str]:
    """A server that is ready to work. Gives its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [sys.executable, "-m", "lockstitch_server", "serve"]
    options = ["--listen", target, "--store", f"sqlite:///{directory}/lockstitch.db"]
    with (directory / "server.log").open("wb") as log:
        process = subprocess.Popen([*command, *options], cwd=directory, stdout=log, stderr=log)
    try:
        with lockstitch.Client(target) as client:
            client.wait_ready(timeout=30)
        yield target
    finally:
        process.terminate()
        process.wait()


def start(target: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(HERE / "desk.py"), target, CASE, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def run(who: str, target: str, *arguments: str, kill_at: str | None = None) -> list[str]:
    """Run the desk in a process; kill it when it says so. Gives all that it has said."""
    said = []
    with start(target, *arguments) as process:
        assert process.stdout is not None
        for line in map(str.rstrip, process.stdout):
            said.append(line)
            tell(who, line)
            if line == kill_at:
                process.kill()
                tell("fault", f"kill -9: the {who} process is gone")
    return said


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
        first = run("first", target, "ask", "where is my parcel?", "--slow", kill_at="draft: begins")
        second = run("second", target, "resume")
        third = run("third", target, "answer", "yes")
        refused, forked = travel(target)
    facts = "order 4711 was lost on its way"
    ends = {
        "the first process was killed while it drafted": first == ["look_up: where is my parcel?", "draft: begins"],
        "the second went on from the draft": second
        == ["draft: begins", "draft: done", "asks: {'approve': 'refund 12.50'}"],
        "the third took the answer": third == ["ask: a person says yes", "act: refunded"],
        "time travel": refused == [facts, "refund 12.50", "sent an apology"],
        "the fork": forked == [facts, "refund 12.50", "refund 99.00", "refunded"],
    }
    for name, good in ends.items():
        tell("demo", f"{'ok' if good else 'WRONG'}: {name}")
    return 0 if all(ends.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
