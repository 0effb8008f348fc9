"""`make demo`: a killed workflow is finished by another worker, and a wrong end is noticed."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from lockstitch import Checkpoint, Client, json_text
from tests.support.paths import ROOT
from tests.support.server import LockstitchServer

pytestmark = pytest.mark.slow

DEMO = ROOT / "examples" / "resume" / "demo.py"


def test_the_demo(tmp_path: Path) -> None:
    result = subprocess.run([sys.executable, str(DEMO)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "the first worker is gone" in result.stdout
    assert "second | finds the checkpoint of step 3 and goes on from there" in result.stdout
    assert "first | step 4: barrier" not in result.stdout
    assert list(tmp_path.iterdir()) == [], "it cleans up"
    assert re.search(r"see what happened: http://127\.0\.0\.1:\d+/sessions/a-seam\n", result.stdout)


@pytest.mark.parametrize("step", [None, 6])
def test_the_demo_notices_a_wrong_end(own_server: LockstitchServer, step: int | None) -> None:
    demo = runpy.run_path(str(DEMO))
    if step is not None:
        with Client(own_server.target) as client:
            client.save(Checkpoint(session_id=demo["SESSION"], step=step, metadata={"worker": json_text("first")}))
    assert demo["check"](own_server.target)


def test_workers_that_are_frozen_do_no_harm(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "examples" / "leases" / "demo.py"), "8"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "is frozen" in result.stdout
    assert "10 sessions of 8 steps" in result.stdout


def test_two_writers_at_a_time_are_noticed(own_server: LockstitchServer) -> None:
    demo = runpy.run_path(str(ROOT / "examples" / "leases" / "demo.py"))
    with Client(own_server.target) as client:
        for session in demo["SESSIONS"]:
            for step, token in ((1, 2), (2, 1)):
                metadata = {"worker": json_text("a"), "token": str(token)}
                client.save(Checkpoint(session_id=session, step=step, metadata=metadata))
    assert len(demo["check"](own_server.target, 2)) == len(demo["SESSIONS"])
    assert len(demo["check"](own_server.target, 3)) == 2 * len(demo["SESSIONS"])
