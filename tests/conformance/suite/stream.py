"""LoadLatestStream: the latest of many sessions in one call."""

from lockstitch.v1.checkpoint_service_pb2 import (
    CHECKPOINT_VIEW_HEADER,
    LoadLatestRequest,
    LoadLatestResponse,
    LoadLatestStreamRequest,
    LoadLatestStreamResponse,
)
from tests.conformance.builders import assert_same, checkpoint, refused, save, write
from tests.conformance.conftest import Execute
from tests.conformance.suite.damage import damage, grown
from tests.support.api import Api


async def load_all(api: Api, *requests: LoadLatestRequest) -> list[LoadLatestStreamResponse]:
    """The answers, in the order of the requests."""
    answers = [answer async for answer in api.load_latest_stream(LoadLatestStreamRequest(requests=requests))]
    answers.sort(key=lambda answer: answer.index)
    assert [answer.index for answer in answers] == list(range(len(requests)))
    return answers


class TestLoadLatestStream:
    async def test_answers_as_load_latest_does(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, 1), writes=[write(data=b"w")])
        await save(api, checkpoint(session, 2, namespace="n"))
        requests = [
            LoadLatestRequest(session_id=session),
            LoadLatestRequest(session_id=session, namespace="n"),
            LoadLatestRequest(session_id=session, view=CHECKPOINT_VIEW_HEADER),
            LoadLatestRequest(session_id=f"{session}missing"),
            LoadLatestRequest(session_id=session),
        ]
        for request, answer in zip(requests, await load_all(api, *requests), strict=True):
            assert_same(answer.loaded, await api.load_latest(request))

    async def test_a_missing_session_has_an_answer_without_a_checkpoint(self, api: Api, session: str) -> None:
        (answer,) = await load_all(api, LoadLatestRequest(session_id=session))
        assert answer.WhichOneof("result") == "loaded"
        assert_same(answer.loaded, LoadLatestResponse())

    async def test_many(self, api: Api, session: str) -> None:
        names = [f"{session}{number}" for number in range(150)]
        for step, name in enumerate(names):
            if step % 3:
                await save(api, checkpoint(name, step))
        answers = await load_all(api, *(LoadLatestRequest(session_id=name) for name in names))
        assert [answer.loaded.checkpoint.step for answer in answers] == [n if n % 3 else 0 for n in range(150)]

    async def test_a_damaged_session_is_told_in_its_answer(self, api: Api, session: str, execute: Execute) -> None:
        names = [f"{session}{number}" for number in range(3)]
        for name in names:
            await save(api, grown(name))
        await damage(execute, names[1], "logs are gone")
        answers = await load_all(api, *(LoadLatestRequest(session_id=name) for name in names))
        assert [answer.WhichOneof("result") for answer in answers] == ["loaded", "error", "loaded"]
        assert answers[1].error.code == 15  # DATA_LOSS
        assert answers[1].error.details[0].type_url == "type.googleapis.com/google.rpc.ErrorInfo"

    async def test_a_malformed_request_among_them_refuses_the_call(self, api: Api, session: str) -> None:
        good, bad = LoadLatestRequest(session_id=session), LoadLatestRequest()
        error = await refused(load_all(api, good, bad))
        assert (error.code.name, error.metadata["field"]) == ("INVALID_ARGUMENT", "requests[1].session_id")

    async def test_no_sessions_at_all_is_refused(self, api: Api) -> None:
        error = await refused(load_all(api))
        assert (error.code.name, error.metadata["field"]) == ("INVALID_ARGUMENT", "requests")
