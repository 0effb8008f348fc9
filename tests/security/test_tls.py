"""TLS and mTLS on a real server, with real certificates, which change while it runs."""

import asyncio
import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from cryptography import x509

from lockstitch.v1 import checkpoint_service_pb2 as pb
from tests.cli.commands import Command
from tests.security.callers import bearer, make_key
from tests.support.api import ApiError, grpc_api
from tests.support.certificates import Authority, Pair
from tests.support.ports import free_port
from tests.support.server import LockstitchServer

SECONDS = 30
SERVING = b"\x08\x01"
WORKER = "spiffe://acme/worker"
CERTIFICATES = f"""
[[certificates]]
name = "{WORKER}"
principal = "worker"
tenants = ["acme"]
rights = ["read", "write"]

[[certificates]]
name = "reader.globex.example"
tenants = ["globex"]
rights = ["read"]
"""


class Place:
    """Files of a server with TLS."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = Authority()
        self.clients = Authority("clients")
        self.certificate, self.key = self.authority.issue("server").write(directory, "server")
        self.client_ca = directory / "clients.pem"
        self.client_ca.write_bytes(self.clients.certificate)
        self.names = directory / "certificates.toml"
        self.names.write_text(CERTIFICATES)

    def tls(self) -> list[str]:
        return ["--set", f"tls.certificate={self.certificate}", "--set", f"tls.private_key={self.key}"]

    def mtls(self) -> list[str]:
        return [*self.tls(), "--set", f"tls.client_ca={self.client_ca}"]

    def channel_credentials(self, client: Pair | None = None, root: bytes = b"") -> grpc.ChannelCredentials:
        root = root or self.authority.certificate
        if client is None:
            return grpc.ssl_channel_credentials(root)
        return grpc.ssl_channel_credentials(root, client.private_key, client.certificate)

    def client(self, name: x509.GeneralName, **lasts: timedelta) -> Pair:
        return self.clients.issue("client", [name], **lasts)

    def replace(self, pair: Pair) -> None:
        """As a tool does that renews certificates: one file after the other."""
        for path, data in ((self.key, pair.private_key), (self.certificate, pair.certificate)):
            new = path.with_suffix(".new")
            new.write_bytes(data)
            os.replace(new, path)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def opened(target: str, credentials: grpc.ChannelCredentials | None) -> grpc.Channel:
    """A channel with a connection of its own."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    if credentials is None:
        return grpc.insecure_channel(target, options)
    return grpc.secure_channel(target, credentials, options)


def health(target: str, credentials: grpc.ChannelCredentials | None) -> bytes | grpc.StatusCode:
    """The answer to a health check over a new connection, or how it fails."""
    with opened(target, credentials) as channel:
        method: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/grpc.health.v1.Health/Check")
        call = method.future(b"", timeout=SECONDS)
        return call.result() if call.code() is grpc.StatusCode.OK else call.code()


def eventually(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.usefixtures("both_doors")
def test_who_does_not_trust_the_server_and_who_speaks_no_tls_cannot_connect(place: Place) -> None:
    trusted = place.channel_credentials()
    with LockstitchServer("memory://", place.tls(), trusted) as server:
        assert health(server.target, trusted) == SERVING
        stranger = place.channel_credentials(root=Authority().certificate)
        assert health(server.target, stranger) is grpc.StatusCode.UNAVAILABLE
        assert health(server.target, None) is grpc.StatusCode.UNAVAILABLE


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_new_certificate_is_used_without_a_restart(place: Place, workers: int, tmp_path: Path) -> None:
    old = place.channel_credentials()
    store = f"sqlite:///{tmp_path}/lockstitch.db"
    arguments = [*place.tls(), "--workers", str(workers)]
    with LockstitchServer(store, arguments, old) as server, opened(server.target, old) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/grpc.health.v1.Health/Check")
        assert call(b"", timeout=SECONDS) == SERVING
        place.authority = Authority("the next one")
        place.replace(place.authority.issue("server"))
        new = place.channel_credentials()
        eventually(lambda: all(health(server.target, new) == SERVING for _ in range(4 * workers)))
        assert health(server.target, old) is grpc.StatusCode.UNAVAILABLE
        assert call(b"", timeout=SECONDS) == SERVING  # on the old connection


def test_certificates_that_do_not_fit_are_passed_over(place: Place) -> None:
    trusted = place.channel_credentials()
    with LockstitchServer("memory://", place.tls(), trusted) as server:
        place.certificate.write_bytes(Authority().issue("server").certificate)
        assert health(server.target, trusted) == SERVING
        place.key.write_bytes(b"")
        assert health(server.target, trusted) == SERVING
        assert "certificate_reload_failed" in server.log.read_text()


@pytest.mark.usefixtures("both_doors")
def test_a_client_needs_a_certificate_that_is_good(place: Place) -> None:
    name = x509.UniformResourceIdentifier(WORKER)
    good = place.channel_credentials(place.client(name))
    with LockstitchServer("memory://", place.mtls(), good) as server:
        assert health(server.target, good) == SERVING
        expired = place.client(name, lasts=-timedelta(minutes=1))
        foreign = Authority("clients").issue("client", [name])
        for bad in (None, expired, foreign, place.authority.issue("client", [name])):
            assert health(server.target, place.channel_credentials(bad)) is grpc.StatusCode.UNAVAILABLE


async def save(place: Place, server: LockstitchServer, client: Pair, *metadata: tuple[str, str]) -> pb.SaveResponse:
    request = pb.SaveRequest()
    request.checkpoint.session_id = "s"
    async with grpc_api(server.target, metadata, place.channel_credentials(client)) as api:
        return await api.save(request)


async def refused(place: Place, server: LockstitchServer, client: Pair) -> ApiError:
    """How a save is refused, now or soon."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        try:
            await save(place, server, client)
        except ApiError as error:
            return error
        await asyncio.sleep(0.1)
    raise AssertionError("never refused")


@pytest.mark.usefixtures("both_doors")
async def test_a_certificates_name_says_who_calls(place: Place) -> None:
    worker = place.client(x509.UniformResourceIdentifier(WORKER))
    reader = place.client(x509.DNSName("reader.globex.example"))
    arguments = [*place.mtls(), "--set", f"auth.certificates={place.names}"]
    with LockstitchServer("memory://", arguments, place.channel_credentials(worker)) as server:
        assert (await save(place, server, worker)).revision
        with pytest.raises(ApiError) as caught:
            await save(place, server, reader)
        assert caught.value.reason == "RIGHT_MISSING"
        async with grpc_api(server.target, (), place.channel_credentials(reader)) as api:
            assert not (await api.list_sessions(pb.ListSessionsRequest())).sessions
        with pytest.raises(ApiError) as caught:
            await save(place, server, worker, ("lockstitch-tenant", "globex"))
        assert caught.value.reason == "TENANT_FORBIDDEN"


LIKE_ONE = (
    x509.UniformResourceIdentifier(f"{WORKER}2"),
    x509.UniformResourceIdentifier("spiffe://acme"),
    x509.DNSName("globex.example"),
    x509.DNSName("x.reader.globex.example"),
    x509.RFC822Name("worker@acme"),
)


@pytest.mark.usefixtures("both_doors")
async def test_a_name_that_is_only_like_one_is_nobodys(place: Place) -> None:
    clients = [place.client(name) for name in LIKE_ONE]
    arguments = [*place.mtls(), "--set", f"auth.certificates={place.names}"]
    with LockstitchServer("memory://", arguments, place.channel_credentials(clients[0])) as server:
        errors = [await refused(place, server, client) for client in clients]
    assert {error.code for error in errors} == {grpc.StatusCode.UNAUTHENTICATED}


@pytest.mark.usefixtures("both_doors")
@pytest.mark.parametrize("kind", [x509.DNSName, x509.UniformResourceIdentifier])
async def test_a_name_with_a_nul_is_refused(place: Place, kind: Callable[[str], x509.GeneralName]) -> None:
    """Whoever reads it as a C string sees the name before the NUL."""
    name = "reader.globex.example" if kind is x509.DNSName else WORKER
    good, evil = place.client(kind(name)), place.client(kind(f"{name}\0.evil.example"))
    arguments = [*place.mtls(), "--set", f"auth.certificates={place.names}"]
    with LockstitchServer("memory://", arguments, place.channel_credentials(good)) as server:
        async with grpc_api(server.target, (), place.channel_credentials(good)) as api:
            await api.list_sessions(pb.ListSessionsRequest())
        async with grpc_api(server.target, (), place.channel_credentials(evil)) as api:
            with pytest.raises(ApiError) as caught:
                await api.list_sessions(pb.ListSessionsRequest())
    assert caught.value.reason == "CREDENTIALS_INVALID"
    assert "cannot be printed" in str(caught.value)


@pytest.mark.usefixtures("both_doors")
async def test_a_name_that_is_taken_out_is_nobodys_soon(place: Place) -> None:
    worker = place.client(x509.UniformResourceIdentifier(WORKER))
    arguments = [*place.mtls(), "--set", f"auth.certificates={place.names}"]
    with LockstitchServer("memory://", arguments, place.channel_credentials(worker)) as server:
        await save(place, server, worker)
        place.names.write_text("certificates = []")
        error = await refused(place, server, worker)
    assert error.reason == "CREDENTIALS_INVALID"


@pytest.mark.usefixtures("both_doors")
async def test_a_key_counts_before_a_certificate(place: Place) -> None:
    worker = place.client(x509.UniformResourceIdentifier(WORKER))
    keys = place.directory / "keys.json"
    token = make_key(keys, "other", ["globex"])
    arguments = [*place.mtls(), "--set", f"auth.certificates={place.names}", "--set", f"auth.keys={keys}"]
    with LockstitchServer("memory://", arguments, place.channel_credentials(worker)) as server:
        await save(place, server, worker, *bearer(token, "globex"))
        await save(place, server, worker, ("lockstitch-tenant", "acme"))
        with pytest.raises(ApiError) as caught:
            await save(place, server, worker, *bearer(token[:-1]))
    assert caught.value.reason == "CREDENTIALS_INVALID"


def test_a_unix_socket_needs_no_tls(tmp_path: Path) -> None:
    server = LockstitchServer("memory://")
    server.target = f"unix:{tmp_path}/lockstitch.sock"
    with server:
        done = Command("sessions").in_process(target=server.target)
    assert done.code == 0, done.err


class TestStart:
    """What a server does not start with."""

    def refused(self, directory: Path, *arguments: str, words: tuple[str, ...]) -> None:
        listen = () if "--listen" in arguments else ("--listen", "127.0.0.1:0")
        Command("serve", *listen, "--store", "memory://", *arguments).process(directory).refused(*words)

    @pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "example.com:0"])
    def test_an_open_door(self, tmp_path: Path, listen: str) -> None:
        self.refused(tmp_path, "--listen", listen, words=("tls.certificate", "auth.keys", "insecure"))

    def test_credentials_in_the_clear(self, place: Place) -> None:
        make_key(place.directory / "keys.json", "p", ["t"])
        arguments = ("--listen", "0.0.0.0:0", "--set", "auth.keys=keys.json")
        self.refused(place.directory, *arguments, words=("TLS", "insecure"))

    def test_half_of_tls(self, place: Place) -> None:
        self.refused(place.directory, "--set", "tls.certificate=server.pem", words=("tls.private_key",))
        self.refused(place.directory, "--set", "tls.client_ca=clients.pem", words=("tls.certificate",))

    def test_files_that_are_not_there_or_do_not_fit(self, place: Place) -> None:
        both = ("--set", "tls.certificate=server.pem", "--set", "tls.private_key=none.key")
        self.refused(place.directory, *both, words=("none.key",))
        place.key.write_bytes(Authority().issue("other").private_key)
        self.refused(place.directory, *place.tls(), words=("server.pem", "server.key"))

    def test_names_in_certificates_that_nobody_checks(self, place: Place) -> None:
        self.refused(place.directory, "--set", "auth.certificates=certificates.toml", words=("tls.client_ca",))

    def test_an_issuer_without_keys_or_with_keys_that_anybody_can_change(self, place: Place) -> None:
        self.refused(place.directory, "--set", "auth.jwt_issuer=i", words=("auth.jwt_audience", "auth.jwt_keys"))
        everything = ("--set", "auth.jwt_issuer=i", "--set", "auth.jwt_audience=a", "--set", "auth.jwt_keys=http://x/y")
        self.refused(place.directory, *everything, words=("https",))

    def test_a_file_of_keys_that_is_none(self, place: Place) -> None:
        self.refused(place.directory, "--set", "auth.keys=none.json", words=("none.json",))
        self.refused(place.directory, "--set", "auth.keys=server.pem", words=("server.pem", "keys"))


def test_a_door_that_is_left_open_on_purpose() -> None:
    server = LockstitchServer("memory://", ["--insecure"])
    server.target = f"0.0.0.0:{free_port()}"
    with server:
        assert health(server.target, None) == SERVING
