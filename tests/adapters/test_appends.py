"""Adapters that append: processes on one session while the server is killed, and what the entries take."""

import asyncio
import random
import string
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from benchmarks.stored import stored_bytes
from lockstitch import AsyncClient
from tests.adapters.appending import adapter
from tests.adapters.killing import killed_often
from tests.support.paths import ROOT
from tests.support.postgres import Postgres
from tests.support.server import LockstitchServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # kills servers, and stores thousands of entries

KINDS = ("claude", "openai")
WRITERS = "ab"
KILLS = 2
ENTRIES = 1000
ENTRY_BYTES = 600
Process = subprocess.Popen[str]


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def own_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[LockstitchServer, str]]:
    """A server that these tests may kill, and the URL of its store. On Postgres, nothing is vacuumed or merged."""
    with ExitStack() as stack:
        arguments = ["--migrate"]
        if request.param == "sqlite":
            url = f"sqlite:///{tmp_path_factory.mktemp('store')}/lockstitch.db"
        else:
            request.getfixturevalue("postgres_binaries")
            url = stack.enter_context(Postgres(settings={"autovacuum": "off"})).url()
            arguments += ["--set", "merge.interval_seconds=0"]
        yield stack.enter_context(LockstitchServer(url, arguments)), url


@contextmanager
def writing(target: str) -> Iterator[dict[tuple[str, str], Process]]:
    """Two processes for each adapter, each of which has stored an entry."""
    command = [sys.executable, "-m", "tests.adapters.appending"]
    processes = {
        (kind, writer): subprocess.Popen(
            [*command, kind, target, f"shared-{kind}", writer],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for kind in KINDS
        for writer in WRITERS
    }
    try:
        for process in processes.values():
            assert process.stdout is not None
            assert process.stdout.readline() == "begins\n"
        yield processes
    finally:
        for process in processes.values():
            process.kill()
            process.communicate()


async def test_two_processes_and_a_killed_server_lose_and_double_nothing(
    own_server: tuple[LockstitchServer, str],
) -> None:
    server, _ = own_server
    with writing(server.target) as processes:
        async with killed_often(server, KILLS) as done:
            await done.wait()
        ends = await asyncio.gather(
            *(asyncio.to_thread(process.communicate, timeout=120) for process in processes.values())
        )
        counts = {name: int(out) for name, (out, _) in zip(processes, ends, strict=True)}
    async with AsyncClient(server.target) as client:
        for kind in KINDS:
            written = await adapter(kind, client, f"shared-{kind}")[1]()
            for writer in WRITERS:
                expected = [f"{writer} {number}" for number in range(counts[kind, writer])]
                assert [text for text in written if text[0] == writer] == expected


async def test_entries_take_little_more_than_their_bytes(own_server: tuple[LockstitchServer, str]) -> None:
    server, url = own_server
    choices = random.Random(1)
    texts = ["".join(choices.choices(string.ascii_letters, k=ENTRY_BYTES)) for _ in range(ENTRIES)]
    async with AsyncClient(server.target) as client:
        for kind in KINDS:
            append, read = adapter(kind, client, "session")
            before = await stored_bytes(url)
            for text in texts:
                await append(text)
            assert await stored_bytes(url) - before <= 1.5 * ENTRIES * ENTRY_BYTES + 400 * ENTRIES, kind
            assert await read() == texts
