"""What commands say when TLS or a key is not what the server wants: what is wrong, and the option that mends it."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from tests.cli.commands import FIXTURE, Command
from tests.security.callers import make_key
from tests.support.certificates import Authority
from tests.support.server import LockstitchServer

COMMANDS = (("health",), ("sessions",), ("session", "show", "s"), ("import", "weavegraph", str(FIXTURE)))
NOT_FOR_READERS = ("(OK)", "Socket closed", "failed to connect", "ipv4:", "E0000", "Handshake", "[", "]")


class Files:
    """Certificates of a server and of a client, each of an authority of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.servers, self.clients = Authority("servers"), Authority("clients")
        self.ca, self.client_ca, self.other_ca = (directory / name for name in ("ca.pem", "clients.pem", "other.pem"))
        self.ca.write_bytes(self.servers.certificate)
        self.client_ca.write_bytes(self.clients.certificate)
        self.other_ca.write_bytes(Authority().certificate)
        self.server = self.servers.issue("server").write(directory, "server")
        self.client = self.clients.issue("client").write(directory, "client")
        self.foreign = Authority("clients").issue("client").write(directory, "foreign")

    def credentials(self) -> grpc.ChannelCredentials:
        certificate, key = self.client
        return grpc.ssl_channel_credentials(self.ca.read_bytes(), key.read_bytes(), certificate.read_bytes())

    def arguments(self, *more: str) -> list[str]:
        certificate, key = self.server
        return ["--set", f"tls.certificate={certificate}", "--set", f"tls.private_key={key}", *more]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def encrypted(files: Files) -> Iterator[str]:
    with LockstitchServer("memory://", files.arguments(), files.credentials()) as server:
        yield server.target


@pytest.fixture(scope="module")
def mutual(files: Files) -> Iterator[str]:
    arguments = files.arguments("--set", f"tls.client_ca={files.client_ca}")
    with LockstitchServer("memory://", arguments, files.credentials()) as server:
        yield server.target


def said(target: str, *arguments: str) -> str:
    """The one line that every command ends with."""
    lines = set()
    for command in COMMANDS:
        done = Command(*command, "--target", target, *arguments).in_process()
        assert (done.code, done.out) == (1, "")
        (line,) = done.err.splitlines()
        assert not [part for part in NOT_FOR_READERS if part in line], line
        lines.add(line)
    (line,) = lines
    assert line.startswith(f"lockstitch: {target}: ")
    return line


def test_a_server_with_tls_that_is_called_without(encrypted: str) -> None:
    assert "the server speaks TLS: use --tls, or --ca FILE" in said(encrypted)
    every = Command("health", "--all", "--target", encrypted).in_process()
    assert every.out.startswith(f"{encrypted}  no connection (the server speaks TLS: use --tls")


@pytest.mark.slow
def test_a_server_without_tls_that_is_called_with_it(target: str, files: Files) -> None:
    assert "speaks no TLS: leave out --tls" in said(target, "--tls")
    assert "speaks no TLS: leave out --tls" in said(target, "--ca", str(files.ca))


@pytest.mark.slow
def test_roots_that_the_certificate_does_not_come_from(encrypted: str, files: Files) -> None:
    assert "this system does not trust: use --ca FILE" in said(encrypted, "--tls")
    other = said(encrypted, "--ca", str(files.other_ca))
    assert f"does not come from the roots in {files.other_ca}: use --ca FILE" in other


def test_a_name_that_is_not_in_the_certificate(encrypted: str, files: Files) -> None:
    wrong = said(encrypted, "--ca", str(files.ca), "--server-name", "db.example")
    assert "its certificate is not for db.example: use --server-name" in wrong
    done = Command("health", "--ca", str(files.ca), "--server-name", "localhost").in_process(encrypted)
    assert (done.code, done.out) == (0, "SERVING\n")


@pytest.mark.slow
def test_a_certificate_of_the_client(mutual: str, files: Files) -> None:
    root = ("--ca", str(files.ca))
    wanted = "wants a certificate of the client: use --certificate FILE and --private-key FILE"
    assert wanted in said(mutual, *root)
    foreign = ("--certificate", str(files.foreign[0]), "--private-key", str(files.foreign[1]))
    assert f"does not accept the certificate in {files.foreign[0]}: use another --certificate" in said(
        mutual, *root, *foreign
    )
    good = ("--certificate", str(files.client[0]), "--private-key", str(files.client[1]))
    assert Command("sessions", *root, *good).in_process(mutual).code == 0
    Command("sessions", "--certificate", str(files.client[0])).in_process(mutual).refused("--private-key")


def test_raw_lines_of_grpc_stay_out_of_stderr(encrypted: str, files: Files, tmp_path: Path) -> None:
    done = Command("sessions", "--target", encrypted, "--ca", str(files.other_ca)).process(tmp_path)
    assert len(done.err.splitlines()) == 1
    assert "use --ca FILE" in done.err


def test_a_key(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    token = make_key(keys, "worker", ["a", "b"])
    with LockstitchServer("memory://", ["--set", f"auth.keys={keys}"]) as server:
        for arguments, word in (
            ((), "CREDENTIALS_MISSING"),
            (("--key", f"{token}x"), "CREDENTIALS_INVALID"),
        ):
            done = Command("sessions", *arguments).in_process(server.target)
            assert done.code == 1
            assert word in done.err
            assert "use --key KEY, or LOCKSTITCH_KEY" in done.err
        done = Command("sessions", "--key", token).in_process(server.target)
        assert "use --tenant NAME" in done.err
        assert Command("sessions", "--key", token, "--tenant", "a").in_process(server.target).code == 0
    refused = Command("sessions", "--key", token, "--target", "db.example:50051").in_process()
    refused.refused("--tls", "--ca", "--insecure")
    contradiction = Command("sessions", "--tls", "--target", "http://db.example:50051").in_process()
    contradiction.refused('write "https://db.example:50051"')
