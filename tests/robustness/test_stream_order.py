"""Saves of one SaveStream are applied in the order in which they were sent, while other streams are busy."""

import asyncio

from lockstitch.v1.checkpoint_service_pb2 import SAVE_OUTCOME_CREATED, LoadLatestRequest, SaveRequest
from tests.robustness.workload import checkpoint, delta_save, full_save
from tests.support.api import grpc_api
from tests.support.server import LockstitchServer
from tests.support.streams import save_all

STREAMS = 6
STEPS = 60
VARIANTS = 200


async def test_saves_of_one_stream_are_applied_in_their_order(store_url_of_each_door: str) -> None:
    """Each delta needs what the save before it has made."""
    with LockstitchServer(store_url_of_each_door, ["--migrate"]) as server:
        async with grpc_api(server.target) as api:
            answers = await asyncio.gather(*(save_all(api, _chain(f"stream-{number}")) for number in range(STREAMS)))
            for number, saved in enumerate(answers):
                assert [answer.saved.outcome for answer in saved] == [SAVE_OUTCOME_CREATED] * STEPS
                revisions = [answer.saved.revision for answer in saved]
                assert revisions == sorted(set(revisions))
                latest = await api.load_latest(LoadLatestRequest(session_id=f"stream-{number}"))
                assert latest.checkpoint == checkpoint(f"stream-{number}", STEPS - 1)


def _chain(session: str) -> list[SaveRequest]:
    return [(delta_save if step else full_save)(session, step) for step in range(STEPS)]


async def test_the_last_of_a_stream_wins(store_url: str) -> None:
    """All are of one checkpoint."""
    requests = [full_save("session", 0, variant) for variant in range(VARIANTS)]
    with LockstitchServer(store_url, ["--migrate"]) as server:
        async with grpc_api(server.target) as api:
            for last in (requests, requests[::-1]):
                revisions = [answer.saved.revision for answer in await save_all(api, last)]
                assert revisions == sorted(revisions)
                latest = await api.load_latest(LoadLatestRequest(session_id="session"))
                assert latest.checkpoint == last[-1].checkpoint
                assert latest.revision == revisions[-1]
