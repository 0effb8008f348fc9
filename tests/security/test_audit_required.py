"""`audit.required`: what cannot be recorded is not done, and nothing is answered before it is recorded."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest

from lockstitch.v1 import checkpoint_service_pb2 as pb
from lockstitch.v1.checkpoint_pb2 import Checkpoint
from tests.cli.commands import Command
from tests.support.api import Api, ApiError, grpc_api
from tests.support.server import LockstitchServer
from tests.support.streams import error_of

SECONDS = 30


def save_request(session: str) -> pb.SaveRequest:
    return pb.SaveRequest(checkpoint=Checkpoint(session_id=session, step=1))


async def refused(api: Api, *sessions: str, streamed: bool) -> list[str]:
    """Why saves, one after the other, are refused; those that are streamed on one stream."""
    answered = asyncio.Queue[None]()
    answers = api.save_stream(one_by_one(sessions, answered)) if streamed else None
    told = []
    for session in sessions:
        if answers is not None:
            error = error_of(await anext(answers))
            answered.put_nowait(None)
        else:
            with pytest.raises(ApiError) as caught:
                await api.save(save_request(session))
            error = caught.value
        assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "OVERLOADED")
        assert error.detail("RetryInfo")
        told.append(str(error))
    return told


async def one_by_one(sessions: Sequence[str], answered: "asyncio.Queue[None]") -> AsyncIterator[bytes]:
    for session in sessions:
        yield pb.SaveStreamRequest(save=save_request(session)).SerializeToString()
        await answered.get()


async def is_there(api: Api, session: str) -> bool:
    return (await api.load_latest(pb.LoadLatestRequest(session_id=session))).HasField("checkpoint")


def records(file: Path) -> list[tuple[str, str]]:
    lines: list[Any] = [json.loads(line) for line in file.read_text().splitlines()]
    saves = (line for line in lines if line["method"] in ("Save", "SaveStream"))
    # A stream that the test leaves has a record of its own, without a session.
    return [(line["sessions"][0], line["code"]) for line in saves if line["sessions"]]


@pytest.mark.parametrize("streamed", [False, True], ids=["unary", "streamed"])
async def test_what_cannot_be_recorded_is_not_done(tmp_path: Path, streamed: bool) -> None:
    directory = tmp_path / "audit"
    directory.mkdir()
    file = directory / "audit.jsonl"
    arguments = ["--set", f"audit.file={file}", "--set", "audit.required=true"]
    with LockstitchServer("memory://", arguments) as server:
        async with grpc_api(server.target) as api:
            await api.save(save_request("before"))
            assert records(file) == [("before", "OK")]
            directory.rename(tmp_path / "away")  # the file is looked for under its name before each write
            # It was let in before anybody knew. Its record is kept until it can be written.
            first, second = await refused(api, "unknown", "refused", streamed=streamed)
            assert "its audit record is not written yet" in first
            assert "nothing was done" in second
            directory.mkdir()
            await until_written(api, "after")
            assert await is_there(api, "unknown")
            assert not await is_there(api, "refused")
        found = records(file)
    assert ("unknown", "OK") in found
    assert ("refused", "OK") not in found
    assert found[-1] == ("after", "OK")


async def until_written(api: Api, session: str) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            await api.save(save_request(session))
            return
        except ApiError as error:
            if error.reason != "OVERLOADED" or time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.1)


async def test_each_save_of_a_stream_is_recorded_before_it_is_answered(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"

    async def requests() -> AsyncIterator[bytes]:
        for number in range(50):
            yield pb.SaveStreamRequest(request_id=number, save=save_request(f"s{number}")).SerializeToString()

    arguments = ["--set", f"audit.file={file}", "--set", "audit.required=true"]
    with LockstitchServer("memory://", arguments) as server:
        async with grpc_api(server.target) as api:
            async for answer in api.save_stream(requests()):
                assert (f"s{answer.request_id}", "OK") in records(file)
    assert len(records(file)) == 50


def test_it_needs_a_file() -> None:
    done = Command(
        "serve", "--listen", "127.0.0.1:0", "--store", "memory://", "--set", "audit.required=true"
    ).in_process()
    assert done.code != 0
    assert "audit.file" in done.err
