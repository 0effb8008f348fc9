"""How a connection is made, and what goes over it."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import grpc
import pytest

from lockstitch import AsyncClient, Checkpoint, DeadlineExceeded, LockstitchError, NoConnection, Unavailable
from lockstitch._calls import Caller
from lockstitch._deadline import Deadline
from lockstitch._limiter import Unlimited
from lockstitch._rpcs import SERVING, Rpc
from lockstitch._transport import run
from lockstitch._turns import NoTurns
from lockstitch.v1.checkpoint_service_pb2 import SaveResponse
from tests.client.either import Kind, open_client
from tests.client.scripted import scripted_server, succeed
from tests.support.server import LockstitchServer

NOT_SERVING = b"\x08\x02"


async def test_credentials_and_metadata_go_with_every_call(kind: Kind) -> None:
    with scripted_server(succeed, credentials=grpc.local_server_credentials()) as server:
        async with open_client(
            kind,
            server.target,
            credentials=grpc.local_channel_credentials(),
            metadata=[("authorization", "Bearer token"), ("x-bin", b"\x00")],
        ) as client:
            await client.save(Checkpoint(session_id="s"))
    assert server.metadata[0]["authorization"] == "Bearer token"
    assert server.metadata[0]["x-bin"] == b"\x00"


async def test_without_the_right_credentials_there_is_no_connection(kind: Kind) -> None:
    with scripted_server(succeed, credentials=grpc.local_server_credentials()) as server:
        async with open_client(
            kind, server.target, credentials=grpc.ssl_channel_credentials(), timeout=5, retry=False
        ) as client:
            with pytest.raises(Unavailable):
                await client.save(Checkpoint(session_id="s"))


async def test_the_caller_s_options_win(server: LockstitchServer, kind: Kind, session_id: str) -> None:
    async with open_client(kind, server.target, options=[("grpc.max_receive_message_length", 1)]) as client:
        with pytest.raises(LockstitchError) as caught:
            await client.save(Checkpoint(session_id=session_id))
        assert caught.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_more_than_grpc_takes_by_default_comes_back(client: AsyncClient, session_id: str) -> None:
    checkpoint = Checkpoint(session_id=session_id)
    checkpoint.state.custom["large"].blob.data = b"x" * 8 * 1024 * 1024
    await client.save(checkpoint)
    loaded = (await client.load(session_id, step=0)).checkpoint
    assert loaded.state == checkpoint.state


def test_an_asynchronous_client_may_be_made_anywhere_and_belongs_to_one_loop(server: LockstitchServer) -> None:
    client = AsyncClient(server.target)

    async def use() -> None:
        await client.load_latest("s")

    with asyncio.Runner() as first:
        first.run(use())
        with asyncio.Runner() as second, pytest.raises(RuntimeError, match="another event loop"):
            second.run(use())
        first.run(client.close())


class Health:
    """A transport that knows nothing but the health checks it is told."""

    def __init__(self, answers: Sequence[bytes | LockstitchError]) -> None:
        self.room, self.turns = Unlimited(), NoTurns()
        self.answers = list(answers)

    async def first_connection(self, timeout: float) -> None:
        pass

    async def check_connection(self) -> None:
        raise NoConnection("there", "no route")

    async def unary(self, rpc: Rpc[Any, Any], request: Any, timeout: float, *, wait: bool) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, LockstitchError):
            raise answer
        return answer

    def stream(self, rpc: Rpc[Any, Any], request: Any, timeout: float, *, wait: bool) -> AsyncGenerator[Any, None]:
        raise NotImplementedError

    async def save(self, request: bytes, session_id: str, timeout: float, *, wait: bool) -> SaveResponse:
        raise NotImplementedError

    async def renew_if_silent(self, seconds: float) -> None:
        pass

    async def sleep(self, seconds: float) -> None:
        pass

    async def close(self) -> None:
        pass


def test_ready_is_what_the_health_check_says() -> None:
    health = Health([NOT_SERVING, Unavailable(), b"", SERVING, SERVING])
    run(Caller(health, None).wait_ready(Deadline(30)))
    assert health.answers == [SERVING]


def test_a_server_that_never_gets_ready() -> None:
    health = Health([NOT_SERVING, DeadlineExceeded("late")])
    with pytest.raises(NoConnection, match="no connection to there: no route"):
        run(Caller(health, None, "there").wait_ready(Deadline(30)))


async def test_a_server_without_health_checks_is_ready_when_it_answers(kind: Kind) -> None:
    with scripted_server(succeed) as server:
        async with open_client(kind, server.target) as client:
            await client.wait_ready(30)
