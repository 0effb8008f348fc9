"""Stored bytes that are not what was stored: they are never given out."""

from contextlib import suppress

import pytest

from lockstitch.v1.checkpoint_pb2 import Checkpoint
from lockstitch.v1.checkpoint_service_pb2 import CHECKPOINT_VIEW_HEADER, LoadLatestRequest, SaveWritesRequest
from tests.conformance.builders import (
    assert_same,
    checkpoint,
    checkpoint_of,
    latest,
    page,
    refused,
    save,
    save_request,
    state,
    walk,
    write,
)
from tests.conformance.conftest import Execute
from tests.support.api import Api, ApiError

OF_SESSION = "WHERE key = (SELECT key FROM {schema}sessions WHERE session_id = '{session}')"
RECORD_DAMAGES = {
    "a record has other bytes": f"UPDATE {{schema}}checkpoints SET record = {{bytes}}00' {OF_SESSION}",
    "a record has another checksum": f"UPDATE {{schema}}checkpoints SET crc = crc + 1 {OF_SESSION}",
    "a column has another value": f"UPDATE {{schema}}checkpoints SET step = step + 1 {OF_SESSION}",
}
LOG_DAMAGES = {
    "logs are gone": f"DELETE FROM {{schema}}segments {OF_SESSION}",
    "a log has other bytes": f"UPDATE {{schema}}segments SET data = {{bytes}}00' {OF_SESSION}",
    "a log begins later": f"UPDATE {{schema}}segments SET start = start + 1 {OF_SESSION}",
}
WRITE_DAMAGES = {
    "a write has other bytes": f"UPDATE {{schema}}writes SET data = {{bytes}}00' {OF_SESSION}",
    "a write has another size": f"UPDATE {{schema}}writes SET data = {{bytes}}0001ffffffff07' {OF_SESSION}",
    "a write has another checksum": f"UPDATE {{schema}}writes SET crc = crc + 1 {OF_SESSION}",
    "a write is for another channel": f"UPDATE {{schema}}writes SET channel = 'other' {OF_SESSION}",
}
PACKED_DAMAGES = {
    "a packed row ends early": f"UPDATE {{schema}}segments SET data = substr(data, 1, length(data) - 1) {OF_SESSION}",
    "a packed row begins late": f"UPDATE {{schema}}segments SET data = substr(data, 3) {OF_SESSION}",
    "a packed row has other bytes": f"UPDATE {{schema}}segments SET data = {{bytes}}20ff00ff00' {OF_SESSION}",
    "a packed row has another size": f"UPDATE {{schema}}segments SET size = size - 1 {OF_SESSION}",
}
DAMAGES = RECORD_DAMAGES | LOG_DAMAGES | WRITE_DAMAGES


def grown(session: str, **fields: object) -> Checkpoint:
    """A checkpoint whose state is too large to stand in its row."""
    return checkpoint(session, 2, **{"checkpoint_id": "grown", "state": state("x" * 500)} | fields)


async def damage(execute: Execute, session: str, kind: str) -> None:
    await execute((DAMAGES | PACKED_DAMAGES)[kind].replace("{session}", session))


class TestDamage:
    @pytest.mark.parametrize("kind", DAMAGES)
    async def test_is_told(self, api: Api, session: str, execute: Execute, kind: str) -> None:
        await save(api, grown(session), writes=[write()])
        await damage(execute, session, kind)
        for call in (
            api.load_latest(LoadLatestRequest(session_id=session)),
            page(api, session, include_writes=True),
        ):
            error = await refused(call)
            assert (error.code.name, error.reason) == ("DATA_LOSS", "DATA_LOSS")

    @pytest.mark.parametrize("kind", PACKED_DAMAGES)
    async def test_of_a_packed_row_is_told(self, api: Api, session: str, execute: Execute, kind: str) -> None:
        """It is full, and of text that has become much smaller."""
        packed = grown(session, state=state("x" * 100_000))
        await save(api, packed)
        assert_same(await latest(api, session), packed)
        await damage(execute, session, kind)
        assert (await refused(api.load_latest(LoadLatestRequest(session_id=session)))).reason == "DATA_LOSS"

    @pytest.mark.parametrize("kind", WRITE_DAMAGES)
    async def test_of_a_write_does_not_stop_others(self, api: Api, session: str, execute: Execute, kind: str) -> None:
        """Not even where it says that there is no room for more."""
        await save(api, grown(session), writes=[write()])
        await damage(execute, session, kind)
        request = SaveWritesRequest(session_id=session, checkpoint_id="grown", writes=[write("another")])
        assert (await api.save_writes(request)).stored == 1
        await save(api, grown(session, parent_id="other"))
        assert (await refused(api.load_latest(LoadLatestRequest(session_id=session)))).reason == "DATA_LOSS"

    async def test_of_logs_does_not_stop_saves_for_ever(self, api: Api, session: str, execute: Execute) -> None:
        """What is remembered of their ends is forgotten when it turns out to be wrong."""
        await save(api, grown(session))
        await damage(execute, session, "logs are gone")
        another = checkpoint(session, 3, checkpoint_id="other", state=state("x" * 500, "y" * 500))
        with suppress(ApiError):
            await save(api, another)
        await save(api, another)

    @pytest.mark.parametrize("kind", LOG_DAMAGES)
    async def test_is_told_of_what_a_delta_made(self, api: Api, session: str, execute: Execute, kind: str) -> None:
        await save(api, grown(session))
        delta = {"messages": {"version": 2, "append": [{"content": "more"}]}}
        made = checkpoint_of(session_id=session, checkpoint_id="made")
        await api.save(save_request(checkpoint=made, base_checkpoint_id="grown", delta=delta))
        await damage(execute, session, kind)
        assert (await refused(api.load_latest(LoadLatestRequest(session_id=session)))).reason == "DATA_LOSS"

    async def test_is_told_of_an_ancestor(self, api: Api, session: str, execute: Execute) -> None:
        await save(api, grown(session))
        await save(api, checkpoint(session, checkpoint_id="child", parent_id="grown"))
        await damage(execute, session, "logs are gone")
        assert (await refused(walk(api, session, "child"))).reason == "DATA_LOSS"

    async def test_of_logs_leaves_headers_readable(self, api: Api, session: str, execute: Execute) -> None:
        await save(api, grown(session))
        await damage(execute, session, "logs are gone")
        answer = await api.load_latest(LoadLatestRequest(session_id=session, view=CHECKPOINT_VIEW_HEADER))
        assert answer.checkpoint.step == 2

    @pytest.mark.parametrize("kind", RECORD_DAMAGES)
    async def test_of_a_record_is_mended_by_saving_anew(
        self, api: Api, session: str, execute: Execute, kind: str
    ) -> None:
        await save(api, grown(session))
        await damage(execute, session, kind)
        await save(api, grown(session))
        assert_same(await latest(api, session), grown(session))
