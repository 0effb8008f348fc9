"""LangGraph's Agent Server is killed in the middle of a run; another one continues the thread and asks a person.

    pip install 'lockstitch[langgraph,server]' 'langgraph-cli[inmem]'
    python demo.py

Starts a Lockstitch server with SQLite in a temporary directory, and `langgraph dev` twice. Ends with 0 if every step
has run to its end once.
"""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
from langgraph_sdk import get_sync_client

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from examples.stage import WORKER, report, server, tell  # noqa: E402 - it is found by its directory

THREAD = "5a1e0000-0000-4000-8000-000000004711"
PATIENCE_SECONDS = 120.0


def wait_for(what: str, is_true: Callable[[], bool]) -> None:
    """Ask again and again until it is true. Raises TimeoutError."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if is_true():
                return
        time.sleep(0.1)
    raise TimeoutError(f"{what}: not after {PATIENCE_SECONDS} s")


def free_port() -> int:
    """A port that nobody listens on, below those that the system gives to outgoing connections."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


@contextlib.contextmanager
def agent_server(directory: Path, target: str, python: str = WORKER) -> Iterator[tuple[str, Callable[[], None]]]:
    """An Agent Server that is ready to work, with nothing but `agent.py`. Gives its address, and kills it."""
    directory.mkdir()
    for name in ("agent.py", "langgraph.json"):
        shutil.copy(HERE / name, directory)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [python, "-m", "langgraph_cli", "dev", "--no-browser", "--no-reload", "--port", str(port)]
    environment = {**os.environ, "LOCKSTITCH_TARGET": target, "LANGSMITH_TRACING": "false"}
    with (directory / "agent-server.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=directory, env=environment, stdout=log, stderr=log, start_new_session=True
        )

    def kill() -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    try:
        wait_for("the Agent Server answers", lambda: process.poll() is None and httpx.get(f"{url}/ok").is_success)
        yield url, kill
    finally:
        kill()


def first_half(url: str) -> list[str]:
    """Begin a run whose draft takes long. Gives the notes when it drafts."""
    client = get_sync_client(url=url)
    client.threads.create(thread_id=THREAD)
    config: Any = {"configurable": {"draft_seconds": 60}}
    question: Any = {"notes": ["where is my parcel?"]}
    client.runs.create(THREAD, "desk", input=question, config=config)
    wait_for("the run drafts", lambda: client.threads.get_state(THREAD)["next"] == ["draft"])
    values: Any = client.threads.get_state(THREAD)["values"]
    notes: list[str] = values["notes"]
    return notes


def second_half(url: str) -> tuple[list[str], list[str]]:
    """Continue the thread, and answer its question. Gives the notes when it asks, and those of the end."""
    client = get_sync_client(url=url)
    client.threads.create(thread_id=THREAD, if_exists="do_nothing")  # this Agent Server has never seen it
    asked: Any = client.runs.wait(THREAD, "desk", input=None)
    tell("second", f"asks: {asked['__interrupt__'][0]['value']}")
    done: Any = client.runs.wait(THREAD, "desk", command={"resume": "yes"})
    return asked["notes"], done["notes"]


def main() -> int:
    """The whole story. Gives 0 if it ends as it should."""
    with tempfile.TemporaryDirectory() as name, server(Path(name)) as target:
        with agent_server(Path(name, "first"), target) as (url, kill):
            begun = first_half(url)
            tell("first", f"drafts; the notes are {begun}")
            kill()
            tell("fault", "kill -9: the first Agent Server is gone")
        with agent_server(Path(name, "second"), target) as (url, _):
            asked, done = second_half(url)
            tell("second", f"the notes are {done}")
    facts = ["where is my parcel?", "order 4711 was lost"]
    return report(
        {
            "the first Agent Server was killed while it drafted": begun == facts,
            "the second continued with the draft": asked == [*facts, "refund 12.50"],
            "a person answered": done == [*facts, "refund 12.50", "a person said yes"],
        }
    )


if __name__ == "__main__":
    sys.exit(main())
