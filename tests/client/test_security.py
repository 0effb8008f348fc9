"""What the client shows of itself, to whom, and what it does when it is told to come back later."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

import lockstitch
from lockstitch import AsyncClient, Checkpoint, Client, RateLimited, TenantForbidden, Tls, Unauthenticated
from lockstitch._errors import from_status
from lockstitch._target import is_local
from lockstitch.v1 import error_pb2
from tests.cli.commands import Command
from tests.security.callers import make_key
from tests.support.certificates import Authority
from tests.support.server import LockstitchServer

LIMITS = ("tenants.calls_per_second=10", "tenants.burst_calls=1", "tenants.max_wait_seconds=0")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("client-security")


@pytest.fixture(scope="module")
def key(directory: Path) -> str:
    return make_key(directory / "keys.json", "both", ["acme", "globex"])


@pytest.fixture(scope="module")
def ca(directory: Path) -> Path:
    authority = Authority()
    authority.issue("server").write(directory, "server")
    authority.issue("client").write(directory, "client")
    path = directory / "ca.pem"
    path.write_bytes(authority.certificate)
    return path


@pytest.fixture(scope="module")
def server(directory: Path, key: str, ca: Path) -> Iterator[LockstitchServer]:
    """One with mTLS, keys and a limit to what tenants may do."""
    tls = ("certificate=server.pem", "private_key=server.key", "client_ca=ca.pem")
    settings = [f"auth.keys={directory}/keys.json", *LIMITS]
    settings += [f"tls.{name}={directory}/{file}" for name, file in (entry.split("=") for entry in tls)]
    arguments = [word for setting in settings for word in ("--set", setting)]
    pem = [(directory / name).read_bytes() for name in ("ca.pem", "client.key", "client.pem")]
    with LockstitchServer("memory://", arguments, grpc.ssl_channel_credentials(*pem)) as running:
        yield running


@pytest.fixture
def tls(directory: Path, ca: Path) -> Tls:
    return Tls(ca=ca, certificate=str(directory / "client.pem"), private_key=(directory / "client.key").read_bytes())


def checkpoint(step: int = 1) -> Checkpoint:
    return Checkpoint(session_id="s", step=step)


def test_a_key_and_a_tenant_over_tls(server: LockstitchServer, tls: Tls, key: str) -> None:
    with Client(server.target, credentials=tls, key=key, tenant="acme") as client:
        assert client.save(checkpoint()).revision
    with Client(server.target, credentials=tls, key=key, tenant="globex") as client:
        assert client.load_latest("s").checkpoint is None
    with Client(server.target, credentials=tls, key=key) as client, pytest.raises(TenantForbidden):
        client.load_latest("s")
    with Client(server.target, credentials=tls) as client, pytest.raises(Unauthenticated):
        client.load_latest("s")


def test_a_server_by_another_name(server: LockstitchServer, directory: Path, ca: Path, key: str) -> None:
    tls = Tls(ca, directory / "client.pem", directory / "client.key", server_name="localhost")
    with Client(server.target, credentials=tls, key=key, tenant="acme") as client:
        client.load_latest("s")


async def test_the_key_of_now_is_shown_with_every_call(server: LockstitchServer, tls: Tls, key: str) -> None:
    keys = [key]
    client = AsyncClient(server.target, credentials=tls, key=lambda: keys[0], tenant="acme")
    async with client:
        await client.load_latest("s")
        keys[0] = "lsk_old_old"
        with pytest.raises(Unauthenticated):
            await client.load_latest("s")
        keys[0] = key
        await client.load_latest("s")
        keys.clear()
        with pytest.raises(Unauthenticated, match="no key: list index out of range"):
            await client.load_latest("s")
        saves = [client.save(checkpoint(step)) for step in range(5)]
        answers = await asyncio.gather(*saves, return_exceptions=True)
    assert {type(answer) for answer in answers} == {Unauthenticated}


def test_who_is_told_to_come_back_later_does_so(server: LockstitchServer, tls: Tls, key: str) -> None:
    with Client(server.target, credentials=tls, key=key, tenant="acme") as client:
        began = time.monotonic()
        for step in range(10):
            client.save(checkpoint(step))
        assert time.monotonic() - began > 0.8  # 10 a second


def test_who_does_not_wait_is_told_how_long_he_should(server: LockstitchServer, tls: Tls, key: str) -> None:
    with Client(server.target, credentials=tls, key=key, tenant="acme", retry=False) as client:
        error = refusal(client)
    assert error.retry_after
    assert error.retry_after <= 0.1


def refusal(client: Client) -> RateLimited:
    for step in range(1000):
        try:
            client.save(checkpoint(step))
        except RateLimited as error:
            return error
    raise AssertionError("never refused")


async def test_saves_side_by_side_come_back_later_too(server: LockstitchServer, tls: Tls, key: str) -> None:
    async with AsyncClient(server.target, credentials=tls, key=key, tenant="globex") as client:
        await asyncio.gather(*(client.save(checkpoint(step)) for step in range(30)))
        latest = await client.load_latest("s")
    assert latest.checkpoint is not None
    assert latest.checkpoint.step == 29


REMOTE = ["lockstitch:50051", "dns:///lockstitch:50051", "10.0.0.1:50051", "127.0.0.1:1,10.0.0.1:1", "[2001:db8::1]:1"]
LOCAL = [
    "127.0.0.1:50051",
    "localhost:50051",
    "[::1]:50051",
    "dns:///localhost:1",
    "ipv4:127.0.0.2:1",
    "unix:/run/l.sock",
]


@pytest.mark.parametrize("target", REMOTE)
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_no_key_is_sent_for_all_to_read(kind: Any, target: str) -> None:
    assert not is_local(target)
    for shown in ({"key": "lsk_a_b"}, {"key": lambda: "x"}, {"metadata": (("Authorization", "Bearer x"),)}):
        with pytest.raises(ValueError, match="unencrypted"):
            kind(target, **shown)
        kind(target, **shown, insecure=True)
        kind(target, **shown, credentials=Tls())


@pytest.mark.parametrize("target", LOCAL)
def test_on_this_machine_nobody_listens(target: str) -> None:
    Client(target, key="lsk_a_b").close()


@pytest.mark.parametrize("wrong", ["", "two words", "line\nbreak", "ünicode"])
def test_what_cannot_be_a_key_is_refused_without_being_shown(wrong: str) -> None:
    with pytest.raises(ValueError, match="a key is") as caught:
        Client(key=wrong)
    assert not wrong or wrong not in str(caught.value)


def test_half_a_certificate() -> None:
    with pytest.raises(ValueError, match="go together"):
        Tls(certificate=b"")


def test_a_delay_that_is_nonsense_is_none() -> None:
    status = error_pb2.Status(code=8)
    status.details.add(type_url="type.googleapis.com/google.rpc.RetryInfo", value=b"\xff\xff")
    assert from_status(status).retry_after is None
    assert lockstitch.LockstitchError().retry_after is None


def test_commands(server: LockstitchServer, directory: Path, ca: Path, key: str) -> None:
    certificate = ["--certificate", str(directory / "client.pem"), "--private-key", str(directory / "client.key")]
    with Client(
        server.target, credentials=Tls(ca, directory / "client.pem", directory / "client.key"), key=key, tenant="acme"
    ) as client:
        client.save(checkpoint())
    environment = {"LOCKSTITCH_TARGET": server.target, "LOCKSTITCH_CA": str(ca), "LOCKSTITCH_KEY": key}
    # One call: the tenant may make ten a second, one after the other.
    done = Command("checkpoints", "s", "--json", "--tenant", "acme", *certificate).process(directory, **environment)
    assert done.code == 0, done.err
    assert {listed["checkpoint"]["session_id"] for listed in done.json_lines} == {"s"}
    assert Command("health", *certificate).process(directory, **environment).code == 0
    done = Command("sessions", "--tenant", "nobody", *certificate).process(directory, **environment)
    assert (done.code, "TENANT_FORBIDDEN" in done.err) == (1, True)
    done = Command("sessions", "--target", "10.0.0.1:1").process(directory, LOCKSTITCH_KEY=key)
    assert (done.code, "unencrypted" in done.err, key in done.err) == (2, True, False)
