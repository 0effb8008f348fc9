"""Google ADK's session service, with the newest and the oldest release of the kit, in installations of their own."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.adapters import guide
from tests.adapters.killing import killed_often
from tests.support.paths import CLIENT, ROOT
from tests.support.server import LockstitchServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # the first one installs an environment

TESTS = 19
MEASUREMENTS = 1
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{CLIENT}{os.pathsep}{ROOT}"}


def passed(python: Path, server: LockstitchServer, *options: str) -> int:
    """How many tests of the suite have passed; none may fail or be skipped."""
    pytest_options = ("--noconftest", "-c", os.devnull, "--rootdir", ROOT, "-q", "-o", "asyncio_mode=auto")
    suite = ROOT / "tests" / "adapters" / "suite_google_adk.py"
    command: list[str | Path] = [python, "-m", "pytest", *pytest_options, "-p", "no:cacheprovider", *options, suite]
    done = subprocess.run(
        command, cwd=ROOT, env={**ENVIRONMENT, "TARGET": server.target}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout
    found = re.search(r"(\d+) passed", done.stdout)
    return int(found[1]) if found else 0


def test_the_newest_release(frameworks: Path, sqlite_server: LockstitchServer) -> None:
    assert passed(frameworks, sqlite_server) == TESTS


def test_the_newest_release_on_postgres(frameworks: Path, postgres_server: LockstitchServer) -> None:
    assert passed(frameworks, postgres_server, "-k", "not 1000_events") == TESTS - MEASUREMENTS


def test_the_oldest_release(oldest: Path, sqlite_server: LockstitchServer) -> None:
    assert passed(oldest, sqlite_server, "-k", "not 1000_events") == TESTS - MEASUREMENTS


@pytest.mark.parametrize("backend", ["sqlite", "postgres"])
async def test_a_killed_server_loses_no_event(backend: str, frameworks: Path, request: pytest.FixtureRequest) -> None:
    store = request.getfixturevalue("postgres_url") if backend == "postgres" else ""
    with LockstitchServer(store, ["--migrate"] if store else []) as server:
        command: list[str | Path] = [frameworks, "-m", "tests.adapters.writer_google_adk", server.target]
        with subprocess.Popen(
            command, cwd=ROOT, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "begun\n"
            async with killed_often(server, times=2):
                pass
            outcome = json.loads(writer.communicate()[0])
    assert outcome["acknowledged"] == outcome["stored"]
    last = len(outcome["stored"]) - 1
    assert last > 0
    assert outcome["state"] == {"n": last, "user:n": last}


def test_the_page(frameworks: Path, sqlite_server: LockstitchServer) -> None:
    page = ROOT / "docs" / "google-adk.md"
    command: list[str | Path] = [frameworks, "-m", "tests.adapters.guide", page, sqlite_server.target]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(guide.expected(page)) == 2
    assert set(guide.expected(page)) <= set(done.stdout.splitlines())


def test_the_demo(frameworks: Path, tmp_path: Path) -> None:
    demo = ROOT / "examples" / "google_adk" / "demo.py"
    environment = {**ENVIRONMENT, "DEMO_PYTHON": str(frameworks)}
    done = subprocess.run(
        [sys.executable, str(demo)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ok: ") == 3
    assert "kill -9: the first process is gone" in done.stdout
