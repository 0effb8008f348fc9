"""A connection that brings nothing any more, while new ones work: a proxy that has forgotten it, say."""

import asyncio
import contextlib
import time

import pytest

from lockstitch import AsyncClient, DeadlineExceeded
from tests.client.either import Kind, open_client
from tests.client.examples import conversation
from tests.support.server import LockstitchServer
from tests.support.tcp_proxy import TcpProxy

TIMEOUT = 2.0
PATIENCE = 40.0


async def _save_until_it_works_again(client: AsyncClient, session_id: str, silent: asyncio.Event) -> None:
    """Save on and on; return after the first save that began after the silence and was acknowledged."""
    step = 0
    while True:
        step, began = step + 1, silent.is_set()
        with contextlib.suppress(DeadlineExceeded):
            await client.save(conversation(session_id, step % 3, f"at {step}"), timeout=TIMEOUT)
            if began:
                return


@pytest.mark.slow
@pytest.mark.parametrize("savers", [1, 16])
async def test_saves_go_on_over_another(server: LockstitchServer, kind: Kind, session_id: str, savers: int) -> None:
    silent = asyncio.Event()
    with TcpProxy(server.target) as proxy:
        async with open_client(kind, proxy.target) as client:
            await client.save(conversation(session_id, 0))
            saving = [
                asyncio.create_task(_save_until_it_works_again(client, f"{session_id}-{number}", silent))
                for number in range(savers)
            ]
            await asyncio.sleep(0.3)
            assert proxy.swallow()
            silent.set()
            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(*saving)


async def test_a_load_finds_another_one(server: LockstitchServer, kind: Kind, session_id: str) -> None:
    with TcpProxy(server.target) as proxy:
        async with open_client(kind, proxy.target) as client:
            await client.save(conversation(session_id, 0))
            proxy.swallow()
            with pytest.raises(DeadlineExceeded):
                await client.load_latest(session_id, timeout=TIMEOUT)
            latest = await client.load_latest(session_id, timeout=PATIENCE)
            assert latest.checkpoint == conversation(session_id, 0)


@pytest.mark.slow
async def test_what_waits_meanwhile_is_sent_over_the_new_one(
    server: LockstitchServer, kind: Kind, session_id: str
) -> None:
    """A save with a long timeout does not wait for its end on the silent connection."""
    with TcpProxy(server.target) as proxy:
        async with open_client(kind, proxy.target) as client:
            await client.save(conversation(session_id, 0))
            proxy.swallow()
            began = time.monotonic()
            patient = [
                asyncio.create_task(client.save(conversation(f"{session_id}-{number}", 1), timeout=600))
                for number in range(8)
            ]
            with pytest.raises(DeadlineExceeded):
                await client.load_latest(session_id, timeout=TIMEOUT)
            await asyncio.gather(*patient)
            assert time.monotonic() - began < 300
