"""Out of file descriptors: commands end with a line that says so, and a server that runs answers clear errors."""

import asyncio
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from lockstitch.v1.checkpoint_service_pb2 import LoadLatestRequest, SaveRequest
from tests.robustness.faults import process_of
from tests.robustness.workload import full_save
from tests.support.api import Api, ApiError, grpc_api
from tests.support.server import LockstitchServer

SECONDS = 120.0


@pytest.mark.parametrize("most", [8, 12, 16])
@pytest.mark.parametrize("command", ["migrate", "serve"])
def test_a_command_says_that_there_are_too_many(tmp_path: Path, command: str, most: int) -> None:
    store = f"sqlite:///{tmp_path}/lockstitch.db"
    arguments = ["migrate"] if command == "migrate" else ["serve", "--listen", "127.0.0.1:0"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LOCKSTITCH_")}
    ended = subprocess.run(
        [sys.executable, "-m", "lockstitch_server", *arguments, "--store", store],
        env=environment,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (most, most)),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert "Traceback" not in ended.stderr, ended.stderr
    if command == "serve" or ended.returncode:
        assert ended.returncode in (1, 2), ended
        assert "oo many open files" in ended.stderr or "unable to open database file" in ended.stderr


async def test_a_server_that_runs_out_of_them(tmp_path: Path) -> None:
    """What was open goes on; no call meets a fault of the server; and afterwards all is well."""
    keys = tmp_path / "keys.json"
    key = subprocess.run(
        [sys.executable, "-m", "lockstitch_server", "keys", "create", "worker", "--file", keys, "--tenant", "t"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    arguments = ["--set=health.probe_seconds=0.1", f"--set=auth.keys={keys}"]
    with LockstitchServer(f"sqlite:///{tmp_path}/lockstitch.db", arguments) as server:
        metadata = (("authorization", f"Bearer {key}"),)
        async with grpc_api(server.target, metadata) as api:
            await api.save(full_save("session", 0))
            before = resource.prlimit(process_of(server).pid, resource.RLIMIT_NOFILE)
            resource.prlimit(process_of(server).pid, resource.RLIMIT_NOFILE, (4, before[1]))
            try:
                keys.touch()
                await asyncio.sleep(1.1)  # in which the file of keys is looked at again
                for step in range(1, 6):
                    await api.save(full_save("session", step))
                    latest = await api.load_latest(LoadLatestRequest(session_id="session"))
                    assert latest.checkpoint.step == step
            finally:
                resource.prlimit(process_of(server).pid, resource.RLIMIT_NOFILE, before)
            async with asyncio.timeout(SECONDS):
                while not await saved(api, full_save("session", 6)):
                    await asyncio.sleep(0.1)
        assert "Traceback" not in server.log.read_text()


async def saved(api: Api, request: SaveRequest) -> bool:
    try:
        await api.save(request)
    except ApiError:
        return False
    return True
