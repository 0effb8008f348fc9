"""`pip install 'lockstitch[server,postgres]'` gives a server that works, and says what it lacks to be watched."""

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from lockstitch import AsyncClient
from lockstitch.v1.checkpoint_pb2 import Checkpoint
from tests.support.installed import link_requirements
from tests.support.paths import CLIENT, SERVER
from tests.support.server import LockstitchServer

pytestmark = pytest.mark.slow

TRACES = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The interpreter of an installation without the extra for telemetry."""
    directory = tmp_path_factory.mktemp("installed")
    venv.create(directory, symlinks=True)
    modules = Path(sysconfig.get_path("purelib", "venv", {"base": str(directory)}))
    link_requirements(modules, "lockstitch", ("server", "postgres"))
    (modules / "sources.pth").write_text(f"{CLIENT}\n{SERVER}\n")
    return str(Path(sysconfig.get_path("scripts", "venv", {"base": str(directory)}), Path(sys.executable).name))


def test_it_has_no_opentelemetry(python: str) -> None:
    for module in ("opentelemetry", "prometheus_client"):
        done = subprocess.run([python, "-c", f"import {module}"], capture_output=True, text=True)
        assert f"No module named '{module}'" in done.stderr


async def test_it_saves_to_sqlite(python: str) -> None:
    with LockstitchServer("", python=python) as server:
        await _save_and_load(server)


async def test_its_workers_save_to_postgres(python: str, postgres_url: str) -> None:
    with LockstitchServer(postgres_url, ["--migrate", "--workers=2"], python=python) as server:
        await _save_and_load(server)


async def test_it_works_where_traces_are_wanted_and_says_that_there_are_none(
    python: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in TRACES.items():
        monkeypatch.setenv(name, value)
    with LockstitchServer("", python=python) as server:
        await _save_and_load(server)
        log = server.log.read_text()
    assert "tracing_is_off" in log
    assert "lockstitch[otel]" in log


async def _save_and_load(server: LockstitchServer) -> None:
    checkpoint = Checkpoint(session_id="session", step=1)
    async with AsyncClient(server.target) as client:
        await client.save(checkpoint)
        loaded = await client.load_latest("session")
    assert loaded.checkpoint is not None
    assert loaded.checkpoint.step == 1
