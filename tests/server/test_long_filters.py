"""Filters of lists that take long to parse: a tenant that sends many delays only itself."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from lockstitch.v1.checkpoint_service_pb2 import ListCheckpointsRequest
from lockstitch.v1.session_service_pb2 import DeleteCheckpointsRequest, MetadataFilter
from lockstitch_server.config import Settings
from lockstitch_server.core.format import search_terms
from lockstitch_server.rpc.call_context import CallContext
from lockstitch_server.rpc.dispatcher import Dispatcher
from lockstitch_server.rpc.metadata_facts import SHORT_JSON
from lockstitch_server.runtime.server import create_engine
from lockstitch_server.runtime.startup import open_store
from tests.support.api import METHODS

SECONDS = 60
LONG = '"' + "x" * SHORT_JSON + '"'


@pytest.fixture
async def dispatcher() -> AsyncIterator[Dispatcher]:
    settings = Settings(store="memory://")
    async with open_store(settings) as store:
        engine = create_engine(store, settings)
        yield engine.dispatcher
        await engine.close()


async def test_a_tenant_with_long_filters_delays_only_itself(
    dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    parse, begun, go_on, parsed = search_terms.metadata, threading.Event(), threading.Event(), list[str]()

    def slow(name: str, text: str) -> search_terms.Fact:
        begun.set()
        assert go_on.wait(SECONDS)
        parsed.append(name)
        return parse(name, text)

    monkeypatch.setattr(search_terms, "metadata", slow)

    async def list_checkpoints(tenant: str) -> None:
        request = ListCheckpointsRequest(metadata={tenant: LONG})
        await dispatcher.unary(METHODS["ListCheckpoints"], request.SerializeToString(), CallContext(tenant))

    async def delete_checkpoints(tenant: str) -> None:
        request = DeleteCheckpointsRequest(session_id="s", metadata=MetadataFilter(entries={tenant: LONG}))
        await dispatcher.unary(METHODS["DeleteCheckpoints"], request.SerializeToString(), CallContext(tenant))

    busy = [asyncio.create_task(list_checkpoints("busy")) for _ in range(20)]
    assert await asyncio.to_thread(begun.wait, SECONDS)
    others = [asyncio.create_task(call("other")) for call in (list_checkpoints, delete_checkpoints)]
    for _ in range(10):
        await asyncio.sleep(0)  # their filters are waiting for the thread now
    go_on.set()
    await asyncio.gather(*busy, *others)
    assert parsed[:5].count("other") == 2
    assert len(parsed) == 22
