"""Two PostgreSQL servers under Patroni, which elects the primary through etcd: real processes, gone afterwards."""

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from tests.support.ports import free_port
from tests.support.postgres import other_user, plain_environment, private_directory
from tests.support.requirements import missing

BINARIES = Path("/usr/lib/postgresql/15/bin")
SECONDS = 90.0
TTL = 6
"""Seconds after which a leader that is gone is replaced."""
POLL = 0.1
LEADERS = ("leader", "master", "primary")

Members = list[dict[str, Any]]


class Patroni:
    """One cluster: etcd, and two members that replicate synchronously."""

    def __init__(self) -> None:
        if not shutil.which("patroni"):
            missing("no Patroni: apt-get install patroni")
        if not shutil.which("etcd"):
            missing("no etcd: apt-get install etcd-server")
        if not (BINARIES / "postgres").exists():
            missing("no PostgreSQL for Patroni: apt-get install postgresql-15")
        self._user = other_user()
        self._directory = private_directory(self._user)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._etcd = free_port()
        self._rest = {"one": free_port(), "two": free_port()}
        self._ports = {"one": free_port(), "two": free_port()}

    def __enter__(self) -> Self:
        try:
            self._start_etcd()
            self._start("one")
            self._wait_for(lambda members: _role(members, "one") in LEADERS)
            self._start("two")
            self._wait_for(lambda members: _role(members, "two") == "sync_standby")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        for name in list(self._processes):
            self.kill(name)
        self._directory.cleanup()

    def url(self) -> str:
        """Both members."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in self._ports.values())
        return f"postgresql://postgres@{hosts}/postgres"

    @property
    def leader(self) -> str:
        (name,) = (name for name in self._rest if _role(self._members(), name) in LEADERS)
        return name

    def kill(self, name: str) -> None:
        """kill -9, a member's Patroni and its PostgreSQL, as when its machine is gone."""
        process = self._processes.pop(name)
        children: list[psutil.Process] = []
        with suppress(psutil.NoSuchProcess):
            found = psutil.Process(process.pid)
            found.suspend()  # so that it starts no more of them
            children = found.children(recursive=True)
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        process.kill()
        process.wait()

    def wait_for_leader(self, former: str) -> None:
        """Wait until the other member takes writes."""
        self._wait_for(lambda members: any(_role(members, name) in LEADERS for name in self._rest if name != former))

    def restart(self, name: str) -> None:
        """Start a member that was killed, and wait until it is the synchronous standby."""
        self._start(name)
        self._wait_for(lambda members: _role(members, name) == "sync_standby")

    def switch_over(self) -> None:
        """Have Patroni make the standby the primary in good order."""
        former = self.leader
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._rest[former]}/switchover",
            json.dumps({"leader": former}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            assert response.status == 200
        self.wait_for_leader(former)

    def _start_etcd(self) -> None:
        client, peer = f"http://127.0.0.1:{self._etcd}", f"http://127.0.0.1:{free_port()}"
        options = {
            "data-dir": f"{self._directory.name}/etcd",
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"default={peer}",
        }
        self._run("etcd", ["etcd", *(f"--{name}={value}" for name, value in options.items()), "--unsafe-no-fsync"])

    def _start(self, name: str) -> None:
        file = Path(self._directory.name, f"{name}.yml")
        file.write_text(json.dumps(self._settings(name)))  # JSON is YAML
        file.chmod(0o644)
        self._run(name, ["patroni", str(file)])

    def _settings(self, name: str) -> dict[str, Any]:
        rest, postgres = f"127.0.0.1:{self._rest[name]}", f"127.0.0.1:{self._ports[name]}"
        dynamic = {
            "ttl": TTL,
            "loop_wait": 1,
            "retry_timeout": 2,
            "synchronous_mode": True,
            "postgresql": {"use_pg_rewind": True, "parameters": {"fsync": "off", "wal_log_hints": "on"}},
        }
        return {
            "scope": "lockstitch",
            "name": name,
            "restapi": {"listen": rest, "connect_address": rest},
            "etcd3": {"host": f"127.0.0.1:{self._etcd}"},
            "bootstrap": {
                "dcs": dynamic,
                "initdb": [{"encoding": "UTF8"}, {"locale": "C"}, {"auth": "trust"}],
                "pg_hba": ["host all all 127.0.0.1/32 trust", "host replication all 127.0.0.1/32 trust"],
            },
            "postgresql": {
                "listen": postgres,
                "connect_address": postgres,
                "bin_dir": str(BINARIES),
                "data_dir": f"{self._directory.name}/{name}",
                "pgpass": f"{self._directory.name}/{name}.pgpass",
                "authentication": {"superuser": {"username": "postgres"}, "replication": {"username": "postgres"}},
                "parameters": {"unix_socket_directories": ""},
            },
        }

    def _run(self, name: str, command: list[str]) -> None:
        with Path(self._directory.name, f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                command,
                cwd=self._directory.name,
                env=plain_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **self._user,
            )

    def _members(self) -> Members:
        """What Patroni says of its members; empty: nobody answers."""
        for name, port in self._rest.items():
            if name in self._processes:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/cluster", timeout=5) as response:
                        members: Members = json.load(response)["members"]
                        return members
                except (OSError, urllib.error.URLError, ValueError):
                    continue
        return []

    def _wait_for(self, condition: Callable[[Members], bool]) -> None:
        end = time.monotonic() + SECONDS
        while not condition(self._members()):
            if time.monotonic() > end:
                raise AssertionError(f"it did not come to pass:\n{self._logs()}")
            time.sleep(POLL)

    def _logs(self) -> str:
        logs = sorted(Path(self._directory.name).glob("*.log"))
        return "\n".join(f"{log.name}:\n{log.read_text(errors='replace')[-2000:]}" for log in logs)


def _role(members: Members, name: str) -> str:
    """Its role, if it runs."""
    return next(
        (one["role"] for one in members if one["name"] == name and one["state"] in ("running", "streaming")), ""
    )
