"""A real Lockstitch server for tests: a process of its own, on a port that stays the same over restarts."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.ports import free_port

START_SECONDS = 180.0
STOP_SECONDS = 30.0
DOORS = ("grpc", "http")
DOOR = os.environ.get("TEST_DOOR", "grpc")
"""How tests reach servers that do not say it themselves: TEST_DOOR=http runs any of them over the HTTP door."""


class LockstitchServer:
    """A server that can be stopped, killed, frozen and started again on the same port and store.

    store: the store's URL; without it, an SQLite file that is gone afterwards.
    arguments: further options for `lockstitch serve`.
    credentials: for TLS, where the arguments ask for it.
    python: the interpreter of another installation.
    environment: further variables.
    door: `grpc` or `http`, which `target` is the address of. Without it, DOOR.
    """

    def __init__(
        self,
        store: str = "",
        arguments: Sequence[str] = (),
        credentials: grpc.ChannelCredentials | None = None,
        python: str = sys.executable,
        environment: Mapping[str, str] | None = None,
        door: str = "",
    ) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="lockstitch-server-")
        self.store = store or f"sqlite:///{self._directory.name}/lockstitch.db"
        self.target = f"127.0.0.1:{free_port()}"
        self.door = door or DOOR
        self.log = Path(self._directory.name, "server.log")
        self._arguments = tuple(arguments)
        self._credentials = credentials
        self._python = python
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> None:
        """Start; with `wait`, return when it is ready to work."""
        listen = ["--listen", self.target]
        if self.door == "http":
            listen = ["--listen", "127.0.0.1:0", "--http-listen", self.target]
        command = [self._python, "-m", "lockstitch_server", "serve", *listen, "--store", self.store]
        # Settings of whoever runs the tests must not reach this server.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LOCKSTITCH_")}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *self._arguments],
                cwd=self._directory.name,
                env=environment | self._environment,
                stdout=log,
                stderr=log,
            )
        if wait:
            self._wait_ready()

    def stop(self) -> None:
        """SIGTERM, as an orchestrator stops it; return when it has ended."""
        self.signal(signal.SIGTERM)
        self._wait_ended()

    def kill(self) -> None:
        """SIGKILL, as the kernel does when memory runs out, for its workers too; return when it has ended."""
        workers = self.workers
        self.signal(signal.SIGKILL)
        _signal_all(workers, signal.SIGKILL)
        self._wait_ended()
        psutil.wait_procs(workers, STOP_SECONDS)

    def freeze(self) -> None:
        """SIGSTOP, for its workers too: connections stay, nothing answers."""
        self.signal(signal.SIGSTOP)
        _signal_all(self.workers, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT: go on after `freeze`."""
        _signal_all(self.workers, signal.SIGCONT)
        self.signal(signal.SIGCONT)

    def recover(self) -> None:
        """Have it run and be ready, whatever was done to it before."""
        if self._process is None or self._process.poll() is not None:
            self.start()
        else:
            self.thaw()
            self._wait_ready()

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "not started"
        self._process.send_signal(number)

    @property
    def workers(self) -> list[psutil.Process]:
        """The processes that serve, where there are several; else none."""
        assert self._process is not None, "not started"
        try:
            return psutil.Process(self._process.pid).children()
        except psutil.NoSuchProcess:
            return []

    def close(self) -> None:
        """End it, if it still runs, and remove its directory."""
        if self._process is not None and self._process.poll() is None:
            self.thaw()
            self.stop()
        self._directory.cleanup()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        # Fast retries: gRPC's own begin at one second, and end at two minutes.
        backoff = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 1000)]
        with self._channel(backoff) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            while time.monotonic() < deadline:
                assert self._process is not None
                if self._process.poll() is not None:
                    raise RuntimeError(f"the server ended: {self._process.returncode}\n{self.log.read_text()}")
                with suppress(grpc.RpcError):
                    answer = health.Check(health_pb2.HealthCheckRequest(), timeout=5, wait_for_ready=True)
                    if answer.status == health_pb2.HealthCheckResponse.SERVING:
                        return
        raise RuntimeError(f"the server is not ready after {START_SECONDS} s\n{self.log.read_text()}")

    def _channel(self, options: Sequence[tuple[str, int]]) -> grpc.Channel:
        if self._credentials is None:
            return grpc.insecure_channel(self.target, options)
        return grpc.secure_channel(self.target, self._credentials, options)

    def _wait_ended(self) -> None:
        assert self._process is not None
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise


def _signal_all(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)
