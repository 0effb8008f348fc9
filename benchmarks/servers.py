"""The servers that are measured, each a process of its own, with a store that loses nothing it has acknowledged."""

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import psutil

from benchmarks import debian
from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.support.postgres import Postgres
from tests.support.server import LockstitchServer

READY_SECONDS = 30
STEADY = {"autovacuum": "off"}
"""Vacuuming would come at random."""


class Server(NamedTuple):
    """Something to measure."""

    target: str
    """host:port"""
    processes: tuple[int, ...]
    """Its processes. Their children count too."""


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL that syncs every commit to the disk, which is its default."""
    with Postgres(durable=True, settings=STEADY) as server:
        yield server


@contextmanager
def sqlite_url(name: str = "lockstitch") -> Iterator[str]:
    """Where an SQLite database can be."""
    with tempfile.TemporaryDirectory(prefix="lockstitch-bench-") as directory:
        yield f"sqlite:///{directory}/{name}.db"


@contextmanager
def lockstitch(url: str, *arguments: str, python: str = sys.executable, door: str = "grpc") -> Iterator[Server]:
    """Lockstitch on a store. python: the interpreter of another installation. door: as of `LockstitchServer`."""
    with LockstitchServer(url, ["--migrate", "--log-level=warning", *arguments], python=python, door=door) as server:
        yield Server(server.target, _children_with(server.target))


@contextmanager
def ceiling(door: str = "grpc") -> Iterator[Server]:
    """A server that answers saves at once: no server in Python on grpc.aio, or on h2corn, can do more."""
    target = f"127.0.0.1:{free_port()}"
    with _running([sys.executable, "-m", "benchmarks.ceiling", target, door], target) as server:
        yield server


@contextmanager
def etcd() -> Iterator[Server]:
    """etcd as it comes: every put is synced. Only its room is larger, and it elects itself at once."""
    program = debian.find("etcd")
    client, peer = f"127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"
    with tempfile.TemporaryDirectory(prefix="lockstitch-bench-") as directory:
        options = {
            "data-dir": directory,
            "listen-client-urls": f"http://{client}",
            "advertise-client-urls": f"http://{client}",
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"default={peer}",
            "quota-backend-bytes": str(64 << 30),
            "heartbeat-interval": "20",
            "election-timeout": "200",
            "logger": "zap",
            "log-outputs": f"{directory}/log",
        }
        command = [str(program.path), *(f"--{name}={value}" for name, value in options.items())]
        with _running(command, client, program) as server:
            time.sleep(1)  # a leader is there by now
            yield server


@contextmanager
def redis() -> Iterator[Server]:
    """Redis with an append-only file that is synced before anyone is answered."""
    program = debian.find("redis-server")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="lockstitch-bench-") as directory:
        options = {
            "port": port,
            "bind": "127.0.0.1",
            "dir": directory,
            "save": "",
            "appendonly": "yes",
            "appendfsync": "always",
            "auto-aof-rewrite-percentage": 0,
            "loglevel": "warning",
        }
        command = [str(program.path), *(word for name, value in options.items() for word in (f"--{name}", str(value)))]
        with _running(command, f"127.0.0.1:{port}", program) as server:
            yield server


@contextmanager
def _running(command: Sequence[str], target: str, program: debian.Program | None = None) -> Iterator[Server]:
    """A process that serves there."""
    environment = program.environment if program else None
    process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        _wait_until_it_listens(target, process)
        yield Server(target, (process.pid,))
    finally:
        process.terminate()
        process.wait()


def _wait_until_it_listens(target: str, process: subprocess.Popen[bytes]) -> None:
    host, port = target.rsplit(":", 1)
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            return socket.create_connection((host, int(port)), timeout=1).close()
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{process.args!r} does not start") from error
            time.sleep(0.02)


def _children_with(argument: str) -> tuple[int, ...]:
    """Our children that were started with this argument."""
    return tuple(child.pid for child in psutil.Process().children() if argument in child.cmdline())
