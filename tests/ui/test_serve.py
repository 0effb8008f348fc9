"""`lockstitch serve --ui-listen`: a server and its explorer, started and stopped together."""

import re
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import grpc
import psutil
import pytest

import lockstitch
from tests.support.certificates import Authority
from tests.support.ports import free_port
from tests.support.server import LockstitchServer
from tests.ui.explorer import Visitor

pytestmark = pytest.mark.timeout(400)  # several processes start, one after the other

PATIENCE = 60.0


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_both_serve_and_both_end(workers: int) -> None:
    port = free_port()
    with LockstitchServer(arguments=["--ui-listen", f"127.0.0.1:{port}", "--workers", str(workers)]) as server:
        with lockstitch.Client(server.target) as client:
            client.save(lockstitch.Checkpoint(session_id="beside", step=1))
        visitor = Visitor(port)
        assert "beside" in visitor.get("/sessions").text
        token = visitor.get("/login").form_token
        assert visitor.post("/sessions/beside/change/delete", {"form_token": token, "confirm": "beside"}).status == 405
        server.stop()
        with pytest.raises(ConnectionError):
            visitor.get("/sessions")


@pytest.mark.slow
def test_names_that_browsers_reach_it_by() -> None:
    port = free_port()
    names = "ui_host_names=explorer.example, Second.example"
    with LockstitchServer(arguments=["--ui-listen", f"127.0.0.1:{port}", "--set", names]):
        visitor = Visitor(port)
        for host in ("explorer.example", "second.example:8233"):
            assert visitor.get("/sessions", {"host": host}).headers["location"] == "/login?next=%2Fsessions"
        assert visitor.get("/sessions", {"host": "rebound.example"}).status == 421


@pytest.mark.slow
def test_the_explorer_ends_with_a_server_that_is_killed() -> None:
    port = free_port()
    with LockstitchServer(arguments=["--ui-listen", f"127.0.0.1:{port}"]) as server:
        explorers = [each for each in server.workers if "explorer_process" in " ".join(each.cmdline())]
        assert len(explorers) == 1
        server.signal(signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE
        while not _has_ended(explorers[0]):
            assert time.monotonic() < deadline, "the explorer runs without its server"
            time.sleep(0.1)
        server.kill()


@pytest.mark.slow
def test_an_explorer_that_dies_is_started_again() -> None:
    port = free_port()
    with LockstitchServer(arguments=["--ui-listen", f"127.0.0.1:{port}", "--set", "ui_allow_changes=true"]) as server:
        (explorer,) = [each for each in server.workers if "explorer_process" in " ".join(each.cmdline())]
        explorer.kill()
        explorer.wait(PATIENCE)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                assert "changes allowed" in Visitor(port).get("/sessions").text
                break
            except ConnectionError:
                assert time.monotonic() < deadline
                time.sleep(0.1)


@pytest.mark.slow
def test_over_tls_with_the_certificate_of_the_server(tmp_path: Path) -> None:
    authority = Authority()
    certificate, private_key = authority.issue("server").write(tmp_path, "server")
    port = free_port()
    arguments = ["--ui-listen", f"127.0.0.1:{port}"]
    arguments += ["--set", f"tls.certificate={certificate}", "--set", f"tls.private_key={private_key}"]
    credentials = grpc.ssl_channel_credentials(authority.certificate)
    with LockstitchServer(arguments=arguments, credentials=credentials):
        trust = ssl.create_default_context(cadata=authority.certificate.decode())
        answer = urllib.request.urlopen(f"https://localhost:{port}/sessions", context=trust, timeout=60)
        cookie = answer.headers["set-cookie"]
        assert "Secure" in cookie
        assert cookie.startswith("__Host-")
        assert "No sessions yet" in answer.read().decode()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--listen", "127.0.0.1:0", "--ui-listen", "127.0.0.1:0"], "needs to know the server's port"),
        (["--listen", "127.0.0.1:1234", "--ui-listen", "0.0.0.0:0"], "can be reached from other machines"),
        (["--listen", "127.0.0.1:1234", "--ui-listen", "nonsense"], "ui_listen"),
    ],
)
def test_what_cannot_be_served_ends_the_command(arguments: list[str], problem: str) -> None:
    command = [sys.executable, "-m", "lockstitch_server", "serve", "--store", "memory://", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert re.search(problem, done.stderr)


def _has_ended(process: psutil.Process) -> bool:
    """In a container, nobody may collect a process whose parent was killed: it stays, as a zombie."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
