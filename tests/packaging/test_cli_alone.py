"""`pip install 'lockstitch[cli,ui]'` gives the commands that call a server and the explorer, without the server."""

import subprocess
import sys
import sysconfig
import urllib.request
import venv
from pathlib import Path

import pytest

import lockstitch
from tests.support.installed import link_requirements
from tests.support.paths import CLIENT, SERVER
from tests.support.ports import free_port
from tests.support.server import LockstitchServer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp("installed")
    venv.create(directory, symlinks=True)
    modules = Path(sysconfig.get_path("purelib", "venv", {"base": str(directory)}))
    link_requirements(modules, "lockstitch", ("cli", "ui"))
    (modules / "sources.pth").write_text(f"{CLIENT}\n{SERVER}\n")
    return str(Path(sysconfig.get_path("scripts", "venv", {"base": str(directory)}), Path(sys.executable).name))


def run(python: str, target: str, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, "-m", "lockstitch", *command],
        env={"LOCKSTITCH_TARGET": target, "LOCKSTITCH_STORE": "memory://", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_commands_that_call_a_server_work(python: str) -> None:
    with LockstitchServer("memory://") as server:
        with lockstitch.Client(server.target) as client:
            thread = client.thread("s")
            for number in range(2):
                thread.save({"messages": [{"role": "user", "content": f"question {number}"}]})
        commands = [
            "health -v",
            "sessions",
            "sessions --json",
            "checkpoints s",
            "show s",
            "show s --json",
            "diff s 1 2",
        ]
        for command in (
            *commands,
            "session show s",
            "session label s a=b",
            "session copy s t",
            "session delete t --yes",
        ):
            done = run(python, server.target, *command.split())
            assert (done.returncode, done.stderr) == (0, ""), (command, done)


def test_the_explorer_works(python: str) -> None:
    port = free_port()
    with LockstitchServer("memory://") as server:
        command = [python, "-m", "lockstitch", "ui", "--target", server.target, "--listen", f"127.0.0.1:{port}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as explorer:
            try:
                assert explorer.stdout is not None
                while b"http://" not in (line := explorer.stdout.readline()):
                    assert line, "the explorer has ended"
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as page:
                    assert b"Lockstitch" in page.read()
            finally:
                explorer.terminate()


def test_the_others_name_the_extra_that_they_need(python: str) -> None:
    for command in ("serve", "config", "migrate --store sqlite:///x.db", "check --store sqlite:///x.db"):
        done = run(python, "127.0.0.1:1", *command.split())
        assert done.returncode == 2, (command, done)
        assert done.stderr.endswith("pip install 'lockstitch[server]'\n"), (command, done)
