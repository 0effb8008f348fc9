"""Servers whose clocks are wrong, on one database: what is kept, and for how long, the database's clock decides."""

import asyncio
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack
from typing import NamedTuple

import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration

from lockstitch.v1.checkpoint_service_pb2 import (
    SAVE_OUTCOME_CREATED,
    ListCheckpointsRequest,
    ListSessionsRequest,
    LoadLatestRequest,
    LoadRequest,
    SaveRequest,
    WalkAncestorsRequest,
)
from lockstitch.v1.session_service_pb2 import GetSessionRequest, PruneSessionsRequest, RetentionPolicy
from tests.robustness.workload import full_save
from tests.support.api import Api, grpc_api
from tests.support.clocks import clock_ahead
from tests.support.postgres import Postgres
from tests.support.server import LockstitchServer

pytestmark = pytest.mark.slow

SKEW = 90
TTL = 60
SLACK = 30
"""For a machine that is busy."""
WAIT_SECONDS = 20.0


class Servers(NamedTuple):
    """By their clocks."""

    right: Api
    ahead: Api
    behind: Api


@pytest.fixture(scope="module")
def targets(postgres: Postgres) -> Iterator[list[str]]:
    """Servers on one database. The one whose clock is right sweeps all the time."""
    url = postgres.url(postgres.create_database())
    arguments = ["--migrate", "--set=retention.sweep_seconds=0"]
    sweeping = ["--migrate", "--set=retention.sweep_seconds=0.1", "--set=retention.sweep_pause_seconds=0"]
    servers = [
        LockstitchServer(url, sweeping),
        LockstitchServer(url, arguments, environment=clock_ahead(SKEW)),
        LockstitchServer(url, arguments, environment=clock_ahead(-SKEW)),
    ]
    with ExitStack() as stack:
        for server in servers:
            stack.callback(server.close)
        for server in servers:
            server.start(wait=False)
        for server in servers:
            server.recover()
        yield [server.target for server in servers]


@pytest_asyncio.fixture
async def servers(targets: list[str]) -> AsyncIterator[Servers]:
    async with AsyncExitStack() as stack:
        yield Servers(*[await stack.enter_async_context(grpc_api(target)) for target in targets])


def save(session: str, step: int, ttl: int = TTL) -> SaveRequest:
    request = full_save(session, step)
    request.ttl.CopyFrom(Duration(seconds=ttl))
    return request


async def steps(api: Api, session: str) -> list[int]:
    found = await api.list_checkpoints(ListCheckpointsRequest(session_id=session))
    return sorted(item.step for item in found.checkpoints)


async def expires_in(api: Api, session: str) -> float:
    summary = (await api.unary("GetSession", GetSessionRequest(session_id=session))).session
    return float(summary.expire_at.ToNanoseconds()) / 1e9 - time.time()


@pytest.fixture
def session() -> str:
    return f"session-{uuid.uuid4()}"


def test_the_clock_is_wrong() -> None:
    """The tool does what the tests below rely on."""
    printed = subprocess.run(
        [sys.executable, "-c", "import json, time; print(json.dumps(time.time()))"],
        env=os.environ | clock_ahead(SKEW),
        capture_output=True,
        check=True,
    )
    assert abs(json.loads(printed.stdout) - time.time() - SKEW) < SLACK


async def test_nobody_ends_a_session_before_its_time(servers: Servers, session: str) -> None:
    """Saves of one session through all servers by turns: each finds all that the others have saved."""
    for step in range(9):
        saved = await servers[step % 3].save(save(session, step))
        assert saved.outcome == SAVE_OUTCOME_CREATED
        for api in servers:
            assert await steps(api, session) == list(range(step + 1))
            latest = await api.load_latest(LoadLatestRequest(session_id=session))
            assert latest.checkpoint.step == step
            assert (await api.load(LoadRequest(session_id=session, step=0))).checkpoint.step == 0
            listed = await api.list_sessions(ListSessionsRequest())
            assert session in [summary.session_id for summary in listed.sessions]
            assert len([each async for each in api.walk_ancestors(WalkAncestorsRequest(session_id=session))]) == step


@pytest.mark.parametrize("name", Servers._fields)
async def test_a_session_stays_for_its_ttl(servers: Servers, name: str, session: str) -> None:
    """A session is kept for its ttl, whichever server has saved it; a sweep of another does not take it."""
    api: Api = getattr(servers, name)
    for step in range(5):  # the first is planned in the transaction, those after it before
        await api.save(save(session, step))
        assert TTL - SLACK < await expires_in(servers.right, session) <= TTL
    short = f"{session}-short"
    await api.save(save(short, 0, ttl=1))
    async with asyncio.timeout(WAIT_SECONDS):
        while (await servers.right.load_latest(LoadLatestRequest(session_id=short))).HasField("checkpoint"):
            await asyncio.sleep(0.1)
    for each in servers:
        assert not (await each.load_latest(LoadLatestRequest(session_id=short))).HasField("checkpoint")
        assert await steps(each, session) == list(range(5))


async def test_retention_by_age_counts_from_the_save(servers: Servers, session: str) -> None:
    """What was saved just now is young, whichever server has saved it (the one behind begins) and whichever prunes."""
    for step in range(6):
        await servers[2 - step % 3].save(full_save(session, step))
    for api in servers:
        request = PruneSessionsRequest(session_ids=[session], retention=RetentionPolicy(max_age=Duration(seconds=TTL)))
        assert (await api.unary("PruneSessions", request)).checkpoints == 0
    assert await steps(servers.right, session) == list(range(6))
