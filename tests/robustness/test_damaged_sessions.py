"""A damaged row of a session, or of what it is found by, is an error of its own and stops nothing else."""

from collections.abc import AsyncIterator, Awaitable

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from structlog.testing import capture_logs

from lockstitch.v1.checkpoint_service_pb2 import (
    ListCheckpointsRequest,
    ListSessionsRequest,
    LoadLatestRequest,
    LoadRequest,
    SaveStreamRequest,
)
from lockstitch.v1.session_service_pb2 import (
    CopySessionRequest,
    DeleteSessionsRequest,
    GetSessionRequest,
    PruneSessionsRequest,
    UpdateSessionRequest,
)
from lockstitch_server.config import Settings
from lockstitch_server.core.ids import session_key
from lockstitch_server.core.sessions.session import Retention
from lockstitch_server.engine.maintenance.verifier import verify
from tests.robustness.workload import full_save, pending_writes
from tests.sessions.test_sweeper import sweeper
from tests.support.api import ApiError, RawApi, raw_api
from tests.support.sql_execution import Execute, executor_of
from tests.support.streams import batch, error_of, flat, sent

NAMES = ("a", "damaged", "z")
STEPS = 4
OF_DAMAGED = "WHERE session_id = 'damaged'"
UNDER_KEY = f"WHERE key = {{bytes}}{session_key('default', 'damaged').hex()}'"


@pytest.fixture
async def api(store_url: str) -> AsyncIterator[RawApi]:
    async with raw_api(Settings(store=store_url, migrate=True)) as opened:
        for name in NAMES:
            for step in range(STEPS):
                request = full_save(name, step)
                request.writes.extend(pending_writes(f"task-{step}", 2))
                await opened.save(request)
            await opened.unary("UpdateSession", UpdateSessionRequest(session_id=name, set_labels={"team": "x"}))
        yield opened


@pytest.fixture
def execute(store_url: str, api: RawApi) -> Execute:
    """Runs SQL behind the server's back."""

    return executor_of(store_url)


DAMAGES = {
    "labels": f"UPDATE {{schema}}sessions SET labels = '{{{{\"tea' {OF_DAMAGED}",
    "counter": f"UPDATE {{schema}}sessions SET checkpoint_count = checkpoint_count + 4611686018427387904 {OF_DAMAGED}",
    "expiry": f"UPDATE {{schema}}sessions SET expire_at = 1 {OF_DAMAGED}",
    "tombstone": f"UPDATE {{schema}}sessions SET tombstone_until = 4611686018427387904 {OF_DAMAGED}",
    "key": f"UPDATE {{schema}}sessions SET key = {{bytes}}{'00' * 16}' {OF_DAMAGED}",
    "id": f"UPDATE {{schema}}sessions SET session_id = 'damagee' {OF_DAMAGED}",
}
damaged = pytest.mark.parametrize("kind", DAMAGES)


@damaged
async def test_the_others_go_on(api: RawApi, execute: Execute, kind: str) -> None:
    await execute(DAMAGES[kind])
    with capture_logs() as logs:
        sweeping = sweeper(api, Retention(keep_last=1))
        assert await sweeping.sweep()
        assert await sweeping.sweep()
        await api.list_sessions(ListSessionsRequest())
        listed = (await api.list_sessions(ListSessionsRequest())).sessions
    by_id = {summary.session_id: summary for summary in listed}
    assert {"a", "z"} <= by_id.keys()
    assert [by_id[name].checkpoint_count for name in ("a", "z")] == [1, 1]
    assert [each for each in listed if each.error.code == grpc.StatusCode.DATA_LOSS.value[0]]
    assert not any(by_id[name].HasField("error") for name in ("a", "z"))
    told = [line["met_by"] for line in logs if line["event"] == "session_damaged"]
    assert sorted(told) == ["list", "sweep"]
    await api.store.snapshot(lambda repository: repository.catalog.totals())


@damaged
async def test_it_is_told_of_itself(api: RawApi, execute: Execute, kind: str) -> None:
    await execute(DAMAGES[kind])
    session = "damaged"
    if kind in ("labels", "tombstone"):  # of which a load or a save of a live session knows nothing
        await _is_data_loss(api.unary("GetSession", GetSessionRequest(session_id=session)))
        assert (await api.load_latest(LoadLatestRequest(session_id=session))).checkpoint.step == STEPS - 1
        return
    for call in (
        api.load_latest(LoadLatestRequest(session_id=session)),
        api.load(LoadRequest(session_id=session, step=1)),
        api.list_checkpoints(ListCheckpointsRequest(session_id=session)),
    ):
        await _is_data_loss(call)
    await _is_data_loss(api.save(full_save(session, STEPS)))
    if kind != "key":  # under its key, nothing is there
        await _is_data_loss(api.unary("GetSession", GetSessionRequest(session_id=session)))
    for name in ("a", "z"):
        await api.save(full_save(name, STEPS))
        assert (await api.load_latest(LoadLatestRequest(session_id=name))).checkpoint.step == STEPS


async def test_the_others_of_a_batch_are_saved(api: RawApi, execute: Execute) -> None:
    """The row of one lies under another key: it can be neither read nor written again under its own."""
    await execute(DAMAGES["key"])
    requests = [SaveStreamRequest(request_id=at, save=full_save(name, STEPS)) for at, name in enumerate(NAMES)]
    answers = [each async for answer in api.save_stream(sent([batch(requests)])) for each in flat(answer)]
    assert [answer.WhichOneof("result") for answer in answers] == ["saved", "error", "saved"]
    assert error_of(answers[1]).code is grpc.StatusCode.DATA_LOSS


@damaged
async def test_nothing_of_it_is_swept_away(api: RawApi, execute: Execute, kind: str) -> None:
    await execute(DAMAGES[kind])
    assert await sweeper(api, Retention(keep_last=1)).sweep()
    faults = [fault async for _, found in verify(api.store) for fault in found]
    assert "log_missing" not in {fault.kind for fault in faults}
    key = session_key("default", "damaged")
    counts = await api.store.snapshot(lambda repository: repository.catalog.checkpoint_counts([key]))
    assert list(counts.values()) == [STEPS]


async def test_a_list_goes_on_behind_a_damaged_checkpoint(api: RawApi, execute: Execute) -> None:
    await execute(f"UPDATE {{schema}}checkpoints SET record = {{bytes}}0011' {UNDER_KEY} AND step = 2")
    await _is_data_loss(api.list_checkpoints(ListCheckpointsRequest(session_id="damaged", page_size=2)))
    request = ListCheckpointsRequest(session_id="damaged", skip_damaged=True, page_size=2)
    steps, lost = list[int](), list[str]()
    while True:
        page = await api.list_checkpoints(request)
        steps += [found.step for found in page.checkpoints]
        lost += [found.checkpoint_id for found in page.damaged]
        assert len(page.details) == len(page.checkpoints)
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert (steps, [int(name) for name in lost]) == ([3, 1, 0], [2])


async def test_copies_and_dry_runs_go_on(api: RawApi, execute: Execute) -> None:
    """A copy has the same checkpoints; the damaged one is as damaged there."""
    await execute(f"UPDATE {{schema}}checkpoints SET record = {{bytes}}0011' {UNDER_KEY} AND step = 2")
    await api.unary("CopySession", CopySessionRequest(source_session_id="damaged", target_session_id="copy"))
    for step in (0, 1, 3):
        await api.load(LoadRequest(session_id="copy", step=step))
    await _is_data_loss(api.load(LoadRequest(session_id="copy", step=2)))
    request = PruneSessionsRequest(dry_run=True)
    request.retention.keep_last = 1
    assert (await api.unary("PruneSessions", request)).checkpoints == len(NAMES) * (STEPS - 1) + STEPS - 1


async def test_a_damaged_session_can_be_deleted(api: RawApi, execute: Execute) -> None:
    await execute(DAMAGES["labels"])
    request = DeleteSessionsRequest(session_ids=["damaged"], tombstone=Duration(nanos=1))
    assert (await api.unary("DeleteSessions", request)).deleted == 1
    assert not (await api.load_latest(LoadLatestRequest(session_id="damaged"))).HasField("checkpoint")
    await api.save(full_save("damaged", 1))
    assert (await api.load_latest(LoadLatestRequest(session_id="damaged"))).checkpoint.step == 1


async def _is_data_loss(call: Awaitable[object]) -> None:
    with pytest.raises(ApiError) as caught:
        await call
    assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.DATA_LOSS, "DATA_LOSS")
