"""Bearer keys on a real server: who gets in, with which rights, and until when."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from lockstitch.v1 import checkpoint_service_pb2 as pb
from tests.security.callers import Metadata, bearer, make_key, nothing_secret, revoke
from tests.support.api import Api, ApiError, grpc_api
from tests.support.server import DOORS, LockstitchServer

SECONDS = 30


@dataclass(frozen=True)
class World:
    """A server and those who may call it."""

    server: LockstitchServer
    file: Path
    tokens: dict[str, str]


@pytest.fixture(scope="module", params=DOORS)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    file = tmp_path_factory.mktemp("keys") / "keys.json"
    tokens = {
        "all": make_key(file, "all", ["acme"]),
        "reader": make_key(file, "reader", ["acme"], ["read"]),
        "writer": make_key(file, "writer", ["acme"], ["write"]),
        "other": make_key(file, "other", ["globex"]),
        "both": make_key(file, "both", ["acme", "globex"]),
        "expired": make_key(file, "expired", ["acme"], lasts=timedelta(seconds=-1)),
    }
    with LockstitchServer("memory://", ["--set", f"auth.keys={file}"], door=request.param) as server:
        yield World(server, file, tokens)


def save_request(session: str = "s", step: int = 1) -> pb.SaveRequest:
    request = pb.SaveRequest()
    request.checkpoint.session_id = session
    request.checkpoint.step = step
    return request


async def saved(world: World, metadata: Metadata) -> pb.SaveResponse:
    async with grpc_api(world.server.target, metadata) as api:
        return await api.save(save_request())


async def refused(world: World, metadata: Metadata) -> tuple[grpc.StatusCode, str]:
    """How a save and a stream of saves are refused, which is alike."""
    async with grpc_api(world.server.target, metadata) as api:
        with pytest.raises(ApiError) as unary:
            await api.save(save_request())
        with pytest.raises(ApiError) as stream:
            [_ async for _ in api.save_stream(_no_requests())]
    assert (stream.value.code, stream.value.reason) == (unary.value.code, unary.value.reason)
    return unary.value.code, unary.value.reason


async def _no_requests() -> AsyncIterator[bytes]:
    nothing: tuple[bytes, ...] = ()
    for request in nothing:
        yield request


async def test_a_good_key_opens_its_tenant(world: World) -> None:
    assert (await saved(world, bearer(world.tokens["all"]))).revision


async def test_no_key(world: World) -> None:
    assert await refused(world, ()) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_MISSING")


def wrong_tokens(token: str) -> list[str]:
    key_id = token.split("_")[1]
    return [
        "",
        "lsk",
        "lsk__",
        f"lsk_{key_id}",
        f"lsk_{key_id}_",
        f"lsk_{key_id}_{'A' * 43}",
        f"lsk_aaaaaaaaaaaaa_{token.split('_', 2)[2]}",
        token[:-1],
        f"{token}A",
        token.upper(),
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGwifQ.",
        "x" * 4000,
    ]


async def test_a_wrong_key(world: World) -> None:
    for wrong in wrong_tokens(world.tokens["all"]):
        if world.server.door == "http" and not wrong:
            continue  # a value that ends with a space, for which the door ends the request (docs/http.md)
        found = await refused(world, bearer(wrong))
        assert found == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_INVALID"), wrong


@pytest.mark.parametrize("scheme", ["Basic ", "", "Bearer", "Bearer  "])
async def test_what_is_no_bearer_key(world: World, scheme: str) -> None:
    found = await refused(world, (("authorization", scheme + world.tokens["all"]),))
    assert found == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_INVALID")


async def test_the_scheme_may_be_written_in_any_case(world: World) -> None:
    assert (await saved(world, (("authorization", f"bearer {world.tokens['all']}"),))).revision


async def test_two_keys_in_one_call(world: World) -> None:
    """Which of them has been checked by somebody in between cannot be known."""
    for order in (("all", "other"), ("other", "all"), ("all", "all")):
        shown = tuple(entry for name in order for entry in bearer(world.tokens[name]))
        assert await refused(world, shown) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_INVALID")


async def test_an_expired_key(world: World) -> None:
    found = await refused(world, bearer(world.tokens["expired"]))
    assert found == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_INVALID")


async def test_a_key_of_another_tenant_finds_nothing(world: World) -> None:
    await saved(world, bearer(world.tokens["all"]))
    async with grpc_api(world.server.target, bearer(world.tokens["other"])) as api:
        latest = await api.load_latest(pb.LoadLatestRequest(session_id="s"))
    assert not latest.HasField("checkpoint")
    assert latest.revision == 0


@pytest.mark.parametrize("tenant", ["globex", "default", "acme2", "ACME", "nobody"])
async def test_a_tenant_that_is_not_the_callers(world: World, tenant: str) -> None:
    found = await refused(world, bearer(world.tokens["all"], tenant))
    assert found == (grpc.StatusCode.PERMISSION_DENIED, "TENANT_FORBIDDEN")


async def test_one_of_several_tenants_has_to_be_named(world: World) -> None:
    both = world.tokens["both"]
    assert await refused(world, bearer(both)) == (grpc.StatusCode.PERMISSION_DENIED, "TENANT_FORBIDDEN")
    assert (await saved(world, bearer(both, "globex"))).revision
    named_twice = (*bearer(both, "globex"), ("lockstitch-tenant", "acme"))
    assert await refused(world, named_twice) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_INVALID")


async def test_a_right_that_is_missing_is_named(world: World) -> None:
    async with grpc_api(world.server.target, bearer(world.tokens["reader"])) as api:
        with pytest.raises(ApiError) as caught:
            await api.save(save_request())
    assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.PERMISSION_DENIED, "RIGHT_MISSING")
    assert caught.value.metadata == {"right": "write"}
    async with grpc_api(world.server.target, bearer(world.tokens["writer"])) as api:
        with pytest.raises(ApiError) as caught:
            await api.load_latest(pb.LoadLatestRequest(session_id="s"))
    assert caught.value.metadata == {"right": "read"}


async def until_refused(api: Api) -> ApiError:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        try:
            await api.save(save_request())
        except ApiError as error:
            return error
        await asyncio.sleep(0.1)
    raise AssertionError("never refused")


async def test_a_key_is_replaced_while_the_server_runs(world: World) -> None:
    old = make_key(world.file, "rotating", ["acme"])
    async with grpc_api(world.server.target, bearer(old)) as api:
        await eventually_saves(api)
        new = make_key(world.file, "rotating", ["acme"])
        async with grpc_api(world.server.target, bearer(new)) as api_new:
            await eventually_saves(api_new)
            await api.save(save_request())  # both are good
            revoke(world.file, old)
            assert (await until_refused(api)).reason == "CREDENTIALS_INVALID"
            await api_new.save(save_request())


async def eventually_saves(api: Api) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            await api.save(save_request())
        except ApiError:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
        else:
            return


@pytest.mark.slow
async def test_a_stream_ends_when_its_key_is_revoked(world: World) -> None:
    """What was read is answered; whoever opens the next stream has to show a key that is good."""
    token = make_key(world.file, "streaming", ["acme"])
    more = asyncio.Event()

    async def requests() -> AsyncIterator[bytes]:
        yield pb.SaveStreamRequest(request_id=1, save=save_request("streamed")).SerializeToString()
        await more.wait()

    async with grpc_api(world.server.target, bearer(token)) as api:
        await eventually_saves(api)
        answers = api.save_stream(requests())
        assert (await anext(answers)).saved.revision
        revoke(world.file, token)
        with pytest.raises(ApiError) as caught:
            async with asyncio.timeout(SECONDS):
                await anext(answers)
    more.set()
    assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")


async def test_a_broken_file_changes_nothing(world: World) -> None:
    before = world.file.read_bytes()
    world.file.write_bytes(b'{"keys": [{"id": ')
    try:
        async with asyncio.timeout(SECONDS):
            while "file_reload_failed" not in world.server.log.read_text():
                assert (await saved(world, bearer(world.tokens["all"]))).revision
        assert (await saved(world, bearer(world.tokens["all"]))).revision
    finally:
        world.file.write_bytes(before)


async def test_health_is_open_and_reflection_is_not(world: World) -> None:
    async with grpc.aio.insecure_channel(world.server.target) as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/grpc.health.v1.Health/Check")
        assert await call(b"", timeout=SECONDS) == b"\x08\x01"
        reflect: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
        )
        # Nothing is sent: gRPC's own client says INTERNAL, now and then, of a message that meets the end of its call.
        assert await reflect(timeout=SECONDS).code() is grpc.StatusCode.UNIMPLEMENTED


async def test_nothing_secret_is_logged(world: World) -> None:
    await refused(world, bearer(world.tokens["expired"]))
    await refused(world, bearer(world.tokens["all"][:-1]))
    nothing_secret(world.server.log, list(world.tokens.values()))
    assert "credentials_refused" in world.server.log.read_text()
