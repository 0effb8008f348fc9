"""The image's HEALTHCHECK, that very command line, beside servers that are set up as an image is: by variables."""

import ipaddress
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from cryptography import x509

from tests.packaging.test_dockerfile import instructions
from tests.support.certificates import Authority
from tests.support.ports import free_port

pytestmark = pytest.mark.slow

SECONDS = 60
NAMES = (x509.DNSName("*.agents.example"),)


def command() -> list[str]:
    """As the image runs it, with this installation's `lockstitch`."""
    _, _, arguments = dict(instructions())["HEALTHCHECK"].partition("CMD ")
    name, *rest = json.loads(arguments)
    assert name == "lockstitch"
    return [sys.executable, "-m", "lockstitch_server", *rest]


@contextmanager
def serving(
    directory: Path,
    settings: Mapping[str, str],
    credentials: grpc.ChannelCredentials | None,
    name: str = "any.agents.example",
) -> Iterator[dict[str, str]]:
    """A server with these settings, and the environment that it runs in."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LOCKSTITCH_")}
    port = free_port()
    environment = {
        **clean,
        "LOCKSTITCH_LISTEN": f"0.0.0.0:{port}",
        "LOCKSTITCH_STORE": "memory://",
        "LOCKSTITCH_INSECURE": "true",
        **settings,
    }
    serve = [sys.executable, "-m", "lockstitch_server", "serve"]
    with (directory / "log").open("ab") as log:
        process = subprocess.Popen(serve, cwd=directory, env=environment, stdout=log, stderr=log)
    try:
        options = [("grpc.ssl_target_name_override", name)]
        target = f"127.0.0.1:{environment['LOCKSTITCH_LISTEN'].rpartition(':')[2]}"
        with (
            grpc.secure_channel(target, credentials, options)
            if credentials
            else grpc.insecure_channel(target) as channel
        ):
            grpc.channel_ready_future(channel).result(SECONDS)
        yield environment
    finally:
        process.kill()
        process.wait()


def checked(directory: Path, environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command(), cwd=directory, env=environment, capture_output=True, text=True, timeout=SECONDS)


def certificates(directory: Path, servers: Authority, names: Sequence[x509.GeneralName] = NAMES) -> dict[str, str]:
    servers.issue("server", names).write(directory, "server")
    return {"LOCKSTITCH_TLS__CERTIFICATE": "server.pem", "LOCKSTITCH_TLS__PRIVATE_KEY": "server.key"}


def trusting(servers: Authority, client: Path | None = None) -> grpc.ChannelCredentials:
    if client is None:
        return grpc.ssl_channel_credentials(servers.certificate)
    key = client.with_suffix(".key").read_bytes()
    return grpc.ssl_channel_credentials(servers.certificate, key, client.read_bytes())


def test_without_tls(tmp_path: Path) -> None:
    with serving(tmp_path, {}, None) as environment:
        done = checked(tmp_path, environment)
        assert (done.returncode, done.stdout, done.stderr) == (0, "SERVING\n", "")
    assert checked(tmp_path, environment).returncode == 1


def test_with_a_certificate_for_an_address(tmp_path: Path) -> None:
    servers = Authority("servers")
    settings = certificates(tmp_path, servers, [x509.IPAddress(ipaddress.ip_address("10.1.2.3"))])
    with serving(tmp_path, settings, trusting(servers), "10.1.2.3") as environment:
        assert checked(tmp_path, environment).stdout == "SERVING\n"


def test_with_tls(tmp_path: Path) -> None:
    servers = Authority("servers")
    with serving(tmp_path, certificates(tmp_path, servers), trusting(servers)) as environment:
        done = checked(tmp_path, environment)
        assert (done.returncode, done.stdout, done.stderr) == (0, "SERVING\n", "")
        servers.issue("another", NAMES).write(
            tmp_path, "another"
        )  # a server with another certificate is another server
        other = {**environment, "LOCKSTITCH_TLS__CERTIFICATE": "another.pem"}
        assert checked(tmp_path, other).returncode == 1


def test_with_settings_in_a_file(tmp_path: Path) -> None:
    servers = Authority("servers")
    certificates(tmp_path, servers)
    port = free_port()
    (tmp_path / "lockstitch.toml").write_text(
        f'listen = "0.0.0.0:{port}"\n[tls]\ncertificate = "server.pem"\nprivate_key = "server.key"\n'
    )
    with serving(tmp_path, {"LOCKSTITCH_LISTEN": f"127.0.0.1:{port}"}, trusting(servers)) as environment:
        assert checked(tmp_path, {**environment, "LOCKSTITCH_LISTEN": ""}).stdout == "SERVING\n"


@pytest.mark.parametrize("one_authority", [True, False], ids=["one authority", "two authorities"])
def test_with_certificates_of_clients(tmp_path: Path, one_authority: bool) -> None:
    servers = Authority("servers")
    clients = servers if one_authority else Authority("clients")
    client, _ = clients.issue("probe").write(tmp_path, "probe")
    (tmp_path / "clients.pem").write_bytes(clients.certificate)
    settings = {**certificates(tmp_path, servers), "LOCKSTITCH_TLS__CLIENT_CA": "clients.pem"}
    shown = {"LOCKSTITCH_CERTIFICATE": "probe.pem", "LOCKSTITCH_PRIVATE_KEY": "probe.key"}
    with serving(tmp_path, settings, trusting(servers, client)) as environment:
        done = checked(tmp_path, environment)
        if one_authority:
            assert (done.returncode, done.stdout) == (0, "SERVING\n")
        else:
            assert done.returncode == 1
            assert "does not accept the certificate in server.pem: use another --certificate" in done.stderr
        assert checked(tmp_path, {**environment, **shown}).stdout == "SERVING\n"
