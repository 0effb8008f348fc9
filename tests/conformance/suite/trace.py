"""The trace of the call that wrote a checkpoint stays with it."""

import pytest

from lockstitch.v1.checkpoint_service_pb2 import (
    SAVE_OUTCOME_REPLACED,
    SAVE_OUTCOME_UNCHANGED,
    LoadLatestRequest,
    LoadRequest,
    SaveResponse,
    SaveStreamRequest,
)
from tests.conformance.builders import checkpoint, page, save, save_request, state
from tests.support.api import Api
from tests.support.streams import save_all

TRACE = "0af7651916cd43dd8448eb211c80319c"
OTHER = "4bf92f3577b34da6a3ce929d0e0e4736"


def traceparent(trace_id: str, *, sampled: bool = True) -> str:
    return f"00-{trace_id}-b7ad6b7169203331-{sampled:02x}"


async def save_in(api: Api, session: str, text: str, context: dict[str, str]) -> SaveResponse:
    """Save step 1 as a part of a trace."""
    request = save_request(checkpoint=checkpoint(session, state=state(text)))
    (answer,) = await save_all(api, [SaveStreamRequest(request_id=1, save=request, trace_context=context)])
    assert answer.HasField("saved"), answer
    return answer.saved


async def trace_of(api: Api, session: str) -> str:
    return (await api.load_latest(LoadLatestRequest(session_id=session))).trace_id


class TestTraceId:
    @pytest.mark.parametrize("sampled", [True, False])
    async def test_is_in_every_answer(self, api: Api, session: str, sampled: bool) -> None:
        await save_in(api, session, "a", {"traceparent": traceparent(TRACE, sampled=sampled)})
        assert await trace_of(api, session) == TRACE
        assert (await api.load(LoadRequest(session_id=session, step=1))).trace_id == TRACE
        assert (await page(api, session)).details[0].trace_id == TRACE

    async def test_is_that_of_the_call_which_wrote_the_content(self, api: Api, session: str) -> None:
        await save_in(api, session, "a", {"traceparent": traceparent(TRACE)})
        again = await save_in(api, session, "a", {"traceparent": traceparent(OTHER)})
        assert again.outcome == SAVE_OUTCOME_UNCHANGED
        assert await trace_of(api, session) == TRACE
        other = await save_in(api, session, "b", {"traceparent": traceparent(OTHER)})
        assert other.outcome == SAVE_OUTCOME_REPLACED
        assert await trace_of(api, session) == OTHER

    @pytest.mark.parametrize(
        "context",
        [
            {},
            {"traceparent": ""},
            {"traceparent": traceparent("0" * 32)},
            {"traceparent": traceparent(TRACE.upper())},
            {"traceparent": traceparent(TRACE) + "-more"},
            {"traceparent": "ff" + traceparent(TRACE)[2:]},
            {"tracestate": "a=b", "baggage": "x=" + "y" * 8000},
        ],
    )
    async def test_is_empty_where_there_is_none(self, api: Api, session: str, context: dict[str, str]) -> None:
        await save_in(api, session, "a", context)
        assert await trace_of(api, session) == ""

    async def test_is_empty_after_a_plain_save(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session))
        assert await trace_of(api, session) == ""

    async def test_of_a_version_to_come_is_understood(self, api: Api, session: str) -> None:
        await save_in(api, session, "a", {"traceparent": f"cc{traceparent(TRACE)[2:]}-and-more"})
        assert await trace_of(api, session) == TRACE
