"""Kill a workflow half-way, and see another runner finish it.

    python demo.py

Starts a server with SQLite in a temporary directory and two workers, one after the other, on one session. Ends with 0
if the session has come to its end with nothing lost and nothing doubled.
"""

import contextlib
import importlib.util
import os
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import lockstitch
from lockstitch import END, json_value

HERE = Path(__file__).resolve().parent
WORKFLOW = ("plan", "search", "read", "draft", "review", "publish")
SESSION = "a-seam"
KILL_AT = "step 4: draft runs"

COLOURS = {"demo": "1", "server": "2", "first": "36", "second": "32", "fault": "31"}


def tell(who: str, text: str) -> None:
    """One line of the story, in a colour of its own where there are colours."""
    line = f"{who:>7} | {text}"
    in_colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    print(f"\033[{COLOURS[who]}m{line}\033[0m" if in_colour else line, flush=True)


def free_addresses() -> tuple[str, str]:
    """Two addresses of this machine that nobody listens on. Both are held at once, so that they differ."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return f"127.0.0.1:{one.getsockname()[1]}", f"127.0.0.1:{other.getsockname()[1]}"


@contextlib.contextmanager
def server(directory: Path, target: str, explorer: str) -> Iterator[str]:
    """A server that is ready to work. Gives its address. explorer: where its session explorer is to be; "": nowhere."""
    log = directory / "server.log"
    command = [sys.executable, "-m", "lockstitch_server", "serve"]
    options = ["--listen", target, "--store", f"sqlite:///{directory}/lockstitch.db"]
    options += ["--ui-listen", explorer] if explorer else []
    with log.open("wb") as output:
        process = subprocess.Popen([*command, *options], cwd=directory, stdout=output, stderr=output)
    try:
        with lockstitch.Client(target) as client:
            client.wait_ready(timeout=60)
        tell("server", f"serves on {target}, with SQLite in {directory}")
        yield target
    except lockstitch.LockstitchError:
        print(log.read_text(), file=sys.stderr)
        raise
    finally:
        process.terminate()
        process.wait()


def start_worker(target: str, name: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(HERE / "worker.py"), target, SESSION, name]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def run_and_kill(target: str) -> None:
    """The first worker, killed while a node runs: after one barrier and before the next."""
    with start_worker(target, "first") as worker:
        assert worker.stdout is not None
        for line in worker.stdout:
            tell("first", line.rstrip())
            if line.startswith(KILL_AT):
                worker.kill()
                tell("fault", "kill -9: the first worker is gone, in the middle of step 4")
                return


def run_to_the_end(target: str) -> None:
    """The second worker, which knows nothing but the session's name."""
    with start_worker(target, "second") as worker:
        assert worker.stdout is not None
        for line in worker.stdout:
            tell("second", line.rstrip())


def check(target: str) -> list[str]:
    """What is wrong with what is stored; nothing, if all is well."""
    with lockstitch.Client(target) as client:
        latest = client.load_latest(SESSION).checkpoint
        history = [item.checkpoint for item in client.list_checkpoints(SESSION)]
    if latest is None:
        return ["there is no checkpoint"]
    said = [item.content for item in latest.state.messages.items[1:]]
    workers = [json_value(checkpoint.metadata["worker"]) for checkpoint in reversed(history)]
    checks = {
        f"the session ends at step 6, not {latest.step}": latest.step == len(WORKFLOW),
        "there is nothing left to run": list(latest.frontier) == [END],
        f"every node has spoken once and in order, not {said}": said == [f"{name}: done" for name in WORKFLOW],
        f"four checkpoints of the first worker and three of the second, not {workers}": workers
        == ["first"] * 4 + ["second"] * 3,
    }
    return [f"expected: {what}" for what, holds in checks.items() if not holds]


def show(explorer: str) -> list[str]:
    """Say where to see what happened, and wait while somebody may be looking. Gives what is wrong with the page."""
    if not explorer:
        tell("demo", "to see sessions in a browser: pip install 'lockstitch[server,ui]', then lockstitch ui")
        return []
    page = f"http://{explorer}/sessions/{SESSION}"
    with urllib.request.urlopen(page, timeout=60) as answer:
        text = answer.read().decode()
    tell("demo", f"see what happened: {page}")
    tell("demo", "the same for a server of yours: lockstitch ui --target ADDRESS")
    if sys.stdin.isatty() and sys.stdout.isatty():
        with contextlib.suppress(EOFError, KeyboardInterrupt):
            input("   demo | press Enter to end the server and remove its data ")
    return [] if SESSION in text else [f"expected: a page of the session at {page}"]


def main() -> int:
    address, explorer = free_addresses()
    if not importlib.util.find_spec("uvicorn"):
        explorer = ""
    temporary = tempfile.TemporaryDirectory(prefix="lockstitch-demo-")
    with temporary as directory, server(Path(directory), address, explorer) as target:
        tell("demo", f"a workflow of six nodes, {' > '.join(WORKFLOW)}; a checkpoint after each")
        run_and_kill(target)
        tell("demo", "another worker is started, as if on another machine")
        run_to_the_end(target)
        faults = check(target)
        if not faults:
            tell("demo", "steps 1 to 3 by the first worker, 4 to 6 by the second; nothing lost, nothing doubled")
        faults += show(explorer)
    for fault in faults:
        tell("fault", fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
