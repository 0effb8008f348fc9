"""Every snippet of the guide runs, in its order, and prints what its comments say. The example does what it says."""

import re
import subprocess
from pathlib import Path

import pytest

from lockstitch import Client
from tests.client_rust.cargo import built
from tests.support.paths import ROOT
from tests.support.server import LockstitchServer

GUIDE = ROOT / "docs" / "clients" / "rust.md"
EXPECTED = re.compile(r"^ *println!\(.*\); // (.*)$", re.MULTILINE)
SECONDS = 120

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # it builds


def test_the_guide_runs(server: LockstitchServer, tmp_path: Path) -> None:
    program = built(tmp_path, "lockstitch-guide")
    printed = output(program, server.target).splitlines()
    expected = EXPECTED.findall(GUIDE.read_text())
    assert len(expected) > 8
    for line in expected:
        assert line in printed


def test_the_weavegraph_example_runs(server: LockstitchServer, client: Client, tmp_path: Path) -> None:
    program = built(tmp_path, "examples/weavegraph")
    assert output(program, server.target, "agent").startswith("a new session\nthink in round 1\nact in round 1\n")
    latest = client.load_latest("agent").checkpoint
    assert latest is not None
    assert latest.step == 10
    assert output(program, server.target, "agent").startswith("resumed after step 10\n")


def output(program: Path, *arguments: str) -> str:
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
