"""Page tokens: a list of sessions goes on behind any session that the limits allow."""

from collections.abc import AsyncIterator, Iterator

import pytest

from lockstitch.v1.checkpoint_service_pb2 import ListCheckpointsRequest, ListSessionsRequest
from tests.conformance.builders import checkpoint, save
from tests.support.api import Api, grpc_api
from tests.support.server import LockstitchServer

LONGEST = {"max_session_id_bytes": 1024, "max_checkpoint_id_bytes": 512, "max_namespace_bytes": 1024}


@pytest.fixture
def server() -> Iterator[LockstitchServer]:
    limits = [f"--set=limits.{name}={value}" for name, value in LONGEST.items()]
    with LockstitchServer(arguments=limits) as running:
        yield running


@pytest.fixture
async def api(server: LockstitchServer) -> AsyncIterator[Api]:
    async with grpc_api(server.target) as opened:
        yield opened


async def test_the_longest_names_that_settings_allow(api: Api) -> None:
    sessions, ids = [letter * 1024 for letter in "ab"], [letter * 512 for letter in "cd"]
    for session in sessions:
        for checkpoint_id in ids:
            await save(api, checkpoint(session, namespace="n" * 1024, checkpoint_id=checkpoint_id))
    found = [name async for name in _sessions(api)]
    assert sorted(found) == sessions
    assert sorted([name async for name in _checkpoints(api, sessions[0])]) == ids


async def _sessions(api: Api) -> AsyncIterator[str]:
    token = ""
    while True:
        page = await api.list_sessions(ListSessionsRequest(page_size=1, page_token=token))
        for session in page.sessions:
            yield session.session_id
        if not (token := page.next_page_token):
            return


async def _checkpoints(api: Api, session: str) -> AsyncIterator[str]:
    token = ""
    while True:
        request = ListCheckpointsRequest(session_id=session, page_size=1, page_token=token)
        page = await api.list_checkpoints(request)
        for found in page.checkpoints:
            yield found.checkpoint_id
        if not (token := page.next_page_token):
            return
