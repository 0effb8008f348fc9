"""Proxies that the environment names do not stand between a client and its own machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.commands import Command
from tests.support.server import LockstitchServer

PROXY = "http://127.0.0.1:9"  # nothing is there
ENVIRONMENT = {"http_proxy": PROXY, "https_proxy": PROXY, "grpc_proxy": PROXY, "no_proxy": "", "no_grpc_proxy": ""}
USE = """
import asyncio, sys, lockstitch
with lockstitch.Client(sys.argv[1]) as client:
    client.load_latest("s")
async def use():
    async with lockstitch.AsyncClient(sys.argv[1]) as client:
        await client.load_latest("s")
asyncio.run(use())
"""


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_loopback_is_reached_directly(server: LockstitchServer, host: str) -> None:
    target = server.target.replace("127.0.0.1", host)
    subprocess.run([sys.executable, "-c", USE, target], check=True, env=os.environ | ENVIRONMENT, timeout=60)


@pytest.mark.slow
def test_a_unix_socket_is_reached_directly(tmp_path: Path) -> None:
    server = LockstitchServer("memory://")
    server.target = f"unix:{tmp_path}/lockstitch.sock"
    with server:
        subprocess.run([sys.executable, "-c", USE, server.target], check=True, env=os.environ | ENVIRONMENT, timeout=60)


@pytest.mark.parametrize("command", ["health", "sessions"])
def test_commands_reach_loopback_directly(server: LockstitchServer, tmp_path: Path, command: str) -> None:
    done = Command(command, "--target", server.target).process(tmp_path, **ENVIRONMENT)
    assert done.code == 0, done.err
