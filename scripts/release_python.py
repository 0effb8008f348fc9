"""Whether a wheel works in an environment that has nothing else: it serves, saves, resumes and shows."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

SUPPORTED = ("3.11", "3.12", "3.13", "3.14")
SECONDS = 60
PROGRAM = """
import sys
import lockstitch
thread = lockstitch.Client(sys.argv[1]).thread("release")
state = thread.load() or {"messages": []}
state["messages"].append({"role": "user", "content": f"question {thread.step + 1}"})
thread.save(state)
print(thread.step, len(state["messages"]), lockstitch.__version__)
"""


def interpreters() -> Iterator[str]:
    """Those of the supported versions that this machine has: on the path, or in pyenv's directory."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for version in SUPPORTED:
        name = f"python{version}"
        found = [shutil.which(name), *sorted(map(str, pyenv.glob(f"{version}.*/bin/{name}")))]
        if (works := next((each for each in found if each and _runs(each)), None)) is not None:
            yield works
        else:
            print(f"  python{version}: not on this machine, so not checked", flush=True)


def check_wheel(python: str, wheel: Path) -> str:
    """Install it, serve, save in two processes, and show. Returns what was seen; raises SystemExit if it fails."""
    with tempfile.TemporaryDirectory(prefix="lockstitch-release-") as name:
        directory = Path(name)
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL"))}
        environment |= {"HOME": name, "LOCKSTITCH_TARGET": f"unix:{directory}/socket"}
        pip = [str(directory / "venv" / "bin" / "pip"), "--disable-pip-version-check", "install", "--quiet"]
        _run([python, "-m", "venv", str(directory / "venv")], environment)
        _run([*pip, f"{wheel}[server]"], os.environ | {"PYTHONPATH": ""})
        command = str(directory / "venv" / "bin" / "lockstitch")
        serve = [command, "serve", "--listen", environment["LOCKSTITCH_TARGET"], "--store", f"sqlite:///{directory}/db"]
        log = directory / "log"
        with log.open("w") as stderr, subprocess.Popen(serve, env=environment, cwd=directory, stderr=stderr) as server:
            try:
                _wait(directory / "socket", server, log)
                program = [str(directory / "venv" / "bin" / "python"), "-c", PROGRAM, environment["LOCKSTITCH_TARGET"]]
                first, second = _run(program, environment).split(), _run(program, environment).split()
                if (first[:2], second[:2]) != (["1", "1"], ["2", "2"]):
                    raise SystemExit(f"{python}: saved and resumed {first}, {second}")
                shown = _run([command, "show", "release"], environment)
                if "question 2" not in shown:
                    raise SystemExit(f"{python}: `lockstitch show` shows\n{shown}")
            finally:
                server.terminate()
        if server.returncode != 0:
            raise SystemExit(f"{python}: the server ended with {server.returncode}:\n{log.read_text()}")
        return f"{Path(python).name}: lockstitch {second[2]} from the wheel serves, saves, resumes and shows"


def _runs(python: str) -> bool:
    """Whether it is an interpreter: pyenv has a script of that name for versions that are not active."""
    return subprocess.run([python, "-c", ""], capture_output=True).returncode == 0


def _run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def _wait(socket: Path, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while not socket.exists():
        if server.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"the server does not serve:\n{log.read_text()}")
        time.sleep(0.05)
