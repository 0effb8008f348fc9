"""The servers that are measured, each a process of its own."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import grpc

from tests.support.postgres import Postgres, free_port
from tests.support.server import LockstitchServer

READY_SECONDS = 30
STEADY = {"autovacuum": "off"}
"""Vacuuming would come at random."""


@contextmanager
def stores(*backends: str) -> Iterator[dict[str, str]]:
    """A fresh store of each kind, by its name; they lose nothing that they have acknowledged."""
    with ExitStack() as stack:
        urls = {}
        for backend in backends:
            if backend == "postgres":
                urls[backend] = stack.enter_context(Postgres(durable=True, settings=STEADY)).url()
            elif backend == "sqlite":
                urls[backend] = f"sqlite:///{stack.enter_context(tempfile.TemporaryDirectory())}/lockstitch.db"
            else:
                urls[backend] = "memory://"
        yield urls


@contextmanager
def lockstitch(url: str) -> Iterator[str]:
    """Lockstitch on a store. Gives its address."""
    with LockstitchServer(url, ["--migrate", "--log-level=warning"]) as server:
        yield server.target


@contextmanager
def ceiling() -> Iterator[str]:
    """A gRPC server that answers saves at once: no server in Python on grpc.aio can do more."""
    target = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.ceiling", target])
    try:
        with grpc.insecure_channel(target) as channel:
            grpc.channel_ready_future(channel).result(READY_SECONDS)
        yield target
    finally:
        process.terminate()
        process.wait()
