"""What a client says where it gets no connection: one error, with what is wrong and what to do, and nothing else."""

import asyncio
import pickle
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from lockstitch import AsyncClient, Checkpoint, NoConnection, Tls
from tests.client.either import Kind, open_client
from tests.support.certificates import Authority
from tests.support.server import LockstitchServer

CONNECT_SECONDS = 0.3
"""So that tests need not wait: these connections fail at once, or never come about."""


class Files:
    """Certificates of a server and of its clients, each of an authority of its own; others are unknown to both."""

    def __init__(self, directory: Path) -> None:
        servers, clients, others = Authority("servers"), Authority("clients"), Authority("others")
        self.ca, self.client_ca, self.other_ca = (directory / f"{name}.pem" for name in ("ca", "clients", "others"))
        for path, authority in ((self.ca, servers), (self.client_ca, clients), (self.other_ca, others)):
            path.write_bytes(authority.certificate)
        self.server = servers.issue("server").write(directory, "server")
        self.client = clients.issue("client").write(directory, "client")
        self.foreign = others.issue("client").write(directory, "foreign")

    def start(self, *more: str) -> LockstitchServer:
        settings = (f"tls.certificate={self.server[0]}", f"tls.private_key={self.server[1]}", *more)
        pem = [path.read_bytes() for path in (self.ca, self.client[1], self.client[0])]
        return LockstitchServer(
            "memory://", [f"--set={setting}" for setting in settings], grpc.ssl_channel_credentials(*pem), door="grpc"
        )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def plain() -> Iterator[str]:
    with LockstitchServer("memory://", door="grpc") as server:
        yield server.target


@pytest.fixture(scope="module")
def encrypted(files: Files) -> Iterator[str]:
    with files.start() as server:
        yield server.target


@pytest.fixture(scope="module")
def mutual(files: Files) -> Iterator[str]:
    with files.start(f"tls.client_ca={files.client_ca}") as server:
        yield server.target


async def refused(kind: Kind, target: str, credentials: Any = None) -> str:
    """What a save says. It is one exception, which no other precedes."""
    async with open_client(kind, target, credentials=credentials, connect_timeout=CONNECT_SECONDS) as client:
        with pytest.raises(NoConnection) as caught:
            await client.save(Checkpoint(session_id="s"))
    shown = "".join(traceback.format_exception(caught.value))
    assert shown.count("Traceback") == 1, shown
    text = caught.value.message
    address = target.removeprefix("https://")
    assert text == f"no connection to {address}: {caught.value.cause}"
    assert caught.value.cause in shown
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.tls_fault) == (str(caught.value), caught.value.tls_fault)
    return caught.value.cause


async def test_no_server(kind: Kind) -> None:
    assert "Connection refused" in await refused(kind, "127.0.0.1:1")


async def test_tls_on_one_side_only(kind: Kind, plain: str, encrypted: str) -> None:
    assert (await refused(kind, encrypted)).startswith(
        'the server speaks TLS: pass credentials=lockstitch.Tls(), or Tls(ca="ca.pem")'
    )
    without = "the server speaks no TLS: leave out credentials, and https:// in the target"
    for target, credentials in ((plain, Tls()), (f"https://{plain}", None), (plain, grpc.ssl_channel_credentials())):
        assert await refused(kind, target, credentials) == without


async def test_a_certificate_of_the_server_that_is_not_trusted(kind: Kind, encrypted: str, files: Files) -> None:
    unknown = "its certificate comes from an authority that this system does not trust: pass Tls(ca=...)"
    assert await refused(kind, encrypted, Tls()) == unknown
    for ca in (files.other_ca, files.other_ca.read_bytes()):
        assert "does not come from the authorities in Tls(ca=...)" in await refused(kind, encrypted, Tls(ca=ca))
    other = await refused(kind, encrypted, Tls(ca=files.ca, server_name="db.example"))
    assert other == "its certificate is not for db.example: pass Tls(server_name=...) with a name that is in it"


async def test_a_certificate_of_the_client(kind: Kind, mutual: str, files: Files) -> None:
    assert (await refused(kind, mutual, Tls(ca=files.ca))).startswith(
        "the server requires a client certificate: pass Tls("
    )
    paths = files.foreign
    for certificate, key in (paths, (paths[0].read_bytes(), paths[1].read_bytes())):
        cause = await refused(kind, mutual, Tls(files.ca, certificate, key))
        assert cause.startswith("the server does not accept the client certificate: pass another one in Tls(")
    async with open_client(kind, mutual, credentials=Tls(files.ca, *files.client)) as client:
        await client.save(Checkpoint(session_id="s"))


def test_a_program_that_does_not_catch_it(tmp_path: Path) -> None:
    """One traceback, and no line of gRPC's own."""
    for make in (
        "lockstitch.Client('127.0.0.1:1').load_latest('s')",
        "lockstitch.Client('127.0.0.1:1').thread('s').load()",
    ):
        done = subprocess.run(
            [sys.executable, "-c", f"import lockstitch\n{make}"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 1
        assert done.stderr.count("Traceback") == 1, done.stderr
        last = done.stderr.splitlines()[-1]
        assert "NoConnection: UNAVAILABLE: no connection to 127.0.0.1:1: " in last, done.stderr
        assert last.endswith("Connection refused"), done.stderr


class Silent:
    """A server that answers nothing, and counts its connections."""

    def __init__(self) -> None:
        self.connections = 0

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while await reader.read(4096):
            pass
        writer.close()


async def test_calls_that_fail_together_look_for_the_cause_once() -> None:
    silent = Silent()
    async with await asyncio.start_server(silent.accept, "127.0.0.1", 0) as server:
        target = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with AsyncClient(target, connect_timeout=CONNECT_SECONDS) as client:
            loads = [client.load_latest(f"s{each}") for each in range(64)]
            results = await asyncio.gather(*loads, return_exceptions=True)
    assert {type(result) for result in results} == {NoConnection}
    assert silent.connections < 16  # those of gRPC, and one more
