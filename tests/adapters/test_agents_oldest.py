"""The oldest releases of the Claude Agent SDK and the OpenAI Agents SDK that have the adapters' interfaces."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.paths import CLIENT, ROOT
from tests.support.server import LockstitchServer

pytestmark = pytest.mark.slow  # installs an environment of its own


@pytest.mark.timeout(600)  # the first time it is installed
def test_the_oldest_sdks_work_too(oldest: Path, server: LockstitchServer) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{CLIENT}{os.pathsep}{ROOT}"}
    command = [str(oldest), "-m", "tests.adapters.agents_sdks", server.target]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "versions": ["0.1.64", "0.2.0"],
        "contracts": 13,  # summaries came later
        "same": 150,
        "said": ["heard 1", "heard 3"],
    }
