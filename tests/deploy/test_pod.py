"""The pod of the chart, run here: the same settings, variables, arguments and probes, with other paths and ports."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import lockstitch
from tests.deploy.charts import Resource, of_kind, render, server_pod
from tests.support.certificates import Authority
from tests.support.ports import free_port

pytestmark = pytest.mark.slow

SECONDS = 60
LOCKSTITCH = [sys.executable, "-m", "lockstitch_server"]


def moved(text: str, directory: Path, ports: dict[int, int]) -> str:
    """A text of the chart, for this machine."""
    for inside, outside in ports.items():
        text = text.replace(f"0.0.0.0:{inside}", f"127.0.0.1:{outside}")
    return text.replace("/etc/lockstitch", str(directory)).replace("sqlite:////data", f"sqlite:///{directory}")


def environment(container: Resource, directory: Path, ports: dict[int, int]) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LOCKSTITCH_")}
    return clean | {each["name"]: moved(each["value"], directory, ports) for each in container["env"]}


@contextmanager
def running(values: dict[str, Any], directory: Path) -> Iterator[tuple[Resource, dict[str, str], int]]:
    """(the container, its environment, its port) of a server that runs as the chart says."""
    resources = render(values)
    ports = {50051: free_port(), 9464: free_port()}
    (config,) = of_kind(resources, "ConfigMap")
    (directory / "settings").mkdir()
    text = moved(config["data"]["lockstitch.toml"], directory, ports)
    (directory / "settings" / "lockstitch.toml").write_text(text)
    (container,) = server_pod(resources)["spec"]["containers"]
    variables = environment(container, directory, ports)
    with subprocess.Popen([*LOCKSTITCH, *container["args"]], cwd=directory, env=variables) as process:
        try:
            wait_until_listened_on(ports[50051])
            yield container, variables, ports[50051]
        finally:
            process.terminate()
            assert process.wait(SECONDS) == 0


def wait_until_listened_on(port: int) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def probed(container: Resource, name: str, variables: dict[str, str], directory: Path) -> str:
    program, *arguments = container[name]["exec"]["command"]
    assert program == "lockstitch"
    done = subprocess.run(
        [*LOCKSTITCH, *arguments], cwd=directory, env=variables, capture_output=True, text=True, timeout=SECONDS
    )
    return done.stdout + done.stderr


def test_with_tls_and_keys(tmp_path: Path) -> None:
    authority = Authority("cluster")
    (tmp_path / "tls").mkdir()
    certificate, private_key = authority.issue("server").write(tmp_path / "tls", "tls")
    certificate.rename(tmp_path / "tls" / "tls.crt")
    private_key.rename(tmp_path / "tls" / "tls.key")
    (tmp_path / "keys").mkdir()
    create = [*LOCKSTITCH, "keys", "create", "runner", "--file", str(tmp_path / "keys" / "keys.json")]
    key = subprocess.run(create, capture_output=True, text=True, check=True).stdout.split()[-1]
    values = {
        "store": {"kind": "sqlite"},
        "tls": {"secret": "tls"},
        "auth": {"keysSecret": {"name": "keys"}},
        "drain": {"delaySeconds": 0},
    }
    with running(values, tmp_path) as (container, variables, port):
        target = f"127.0.0.1:{port}"
        with lockstitch.Client(
            target, credentials=lockstitch.Tls(authority.certificate), key=key, timeout=SECONDS
        ) as client:
            client.thread("helm").save({"works": True})
            assert client.thread("helm").load() == {"works": True}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert probed(container, probe, variables, tmp_path) == "SERVING\n"


def test_without_tls(tmp_path: Path) -> None:
    """The kubelet asks by gRPC, for the same services."""
    with running({"store": {"kind": "sqlite"}, "insecure": True, "drain": {"delaySeconds": 0}}, tmp_path) as (
        container,
        _,
        port,
    ):
        target = f"127.0.0.1:{port}"
        with lockstitch.Client(target, timeout=SECONDS) as client:
            client.thread("helm").save({"works": True})
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            asked = container[probe]["grpc"]
            command = [
                *LOCKSTITCH,
                "health",
                "--target",
                target,
                *(["--service", asked["service"]] if "service" in asked else []),
            ]
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
            assert (asked["port"], done.stdout) == (50051, "SERVING\n")
