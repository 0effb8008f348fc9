"""The oldest LangGraph that has the whole interface."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.adapters.test_langgraph_conformance import TESTS
from tests.support.paths import CLIENT, ROOT
from tests.support.server import LockstitchServer

pytestmark = pytest.mark.slow  # installs an environment of its own


@pytest.mark.timeout(600)  # the first time it is installed
def test_the_oldest_langgraph_passes_the_whole_suite_too(oldest: Path, server: LockstitchServer) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{CLIENT}{os.pathsep}{ROOT}"}
    command = [str(oldest), "-m", "tests.adapters.conformance", server.target]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout.splitlines()[-1])
    assert outcome["versions"] == ["1.0.10", "4.0.1"]
    assert outcome["failures"] == {}
    assert outcome["passed"] == TESTS
    assert [said[-1] for said in outcome["said"]] == ["6 heard"] * 2
