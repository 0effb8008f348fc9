"""Stores of each kind with something in them, and what is in them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from lockstitch.v1.checkpoint_service_pb2 import (
    SESSION_ORDER_SESSION_ID,
    ListCheckpointsRequest,
    ListSessionsRequest,
    SaveRequest,
)
from lockstitch.v1.session_service_pb2 import AcquireLeaseRequest, RetentionPolicy, UpdateSessionRequest
from lockstitch_server.config import Settings
from lockstitch_server.core.format.archive import FIRST_LINE, encode
from lockstitch_server.engine.maintenance.exporter import Exported, export
from lockstitch_server.engine.maintenance.verifier import Fault, verify
from lockstitch_server.runtime.startup import open_store
from lockstitch_server.storage import Store
from tests.conformance.builders import full_checkpoint, write
from tests.robustness.workload import delta_save, full_save, pending_writes, writes_save
from tests.support.api import Api, RawApi, raw_api

SESSIONS = [f"session-{number}" for number in range(4)]
STEPS = 25
SETTLED = "settled"
"""A session with labels, expiry, retention and a lease."""


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[RawApi]:
    async with raw_api(Settings(store=url, migrate=True)) as api:
        yield api


async def fill(api: Api) -> None:
    """Some of everything: full saves and deltas, subgraphs, replaced checkpoints, pending writes, settings."""
    for session in SESSIONS:
        for step in range(STEPS):
            await api.save((delta_save if step % 3 else full_save)(session, step))
        await api.save(full_save(session, STEPS - 2, variant=1))
        await api.save_writes(writes_save(session, 3, pending_writes("task", 3)))
    extremes = full_checkpoint("extremes")
    await api.save(SaveRequest(checkpoint=extremes, writes=[write("a", -1, b"\0"), write("b", 2, b"x" * 5000)]))
    await api.save(SaveRequest(checkpoint=full_checkpoint(SETTLED), ttl=Duration(seconds=3600)))
    await api.unary("AcquireLease", AcquireLeaseRequest(session_id=SETTLED, holder="me", ttl=Duration(seconds=1)))
    update = UpdateSessionRequest(session_id=SETTLED, retention=RetentionPolicy(keep_last=7))
    update.set_labels["team"] = "a"
    request = AcquireLeaseRequest(session_id=SETTLED, holder="me", ttl=Duration(seconds=3600))
    lease = await api.unary("AcquireLease", request)
    update.lease_token = lease.lease.token
    await api.unary("UpdateSession", update)


async def content(api: Api) -> list[Message]:
    """All that callers can see, in an order of its own; leases stay where they are."""
    sessions = await api.list_sessions(ListSessionsRequest(order_by=SESSION_ORDER_SESSION_ID))
    found: list[Message] = []
    for session in sessions.sessions:
        session.lease_holder = ""
        session.stored_bytes = 0  # as the store packs it
        found.append(session)
        request = ListCheckpointsRequest(session_id=session.session_id, page_size=1000, include_writes=True)
        found.append(await api.list_checkpoints(request))
    return found


async def exported(store: Store) -> bytes:
    """An archive of a store."""
    tally = Exported()
    frames = [encode(frame) async for frame in export(store, "tests", tally)]
    assert not tally.failures
    return FIRST_LINE + b"".join(frames)


async def faults_of(url: str) -> list[Fault]:
    """What is wrong with a store that nobody has open."""
    async with open_store(Settings(store=url)) as store:
        return await faults_in(store)


async def faults_in(store: Store) -> list[Fault]:
    return [fault async for _, faults in verify(store) for fault in faults]
