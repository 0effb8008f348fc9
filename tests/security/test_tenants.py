"""Every RPC, attacked: one tenant tries to see or change what is another's."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from lockstitch.v1 import checkpoint_service_pb2 as pb
from lockstitch.v1 import session_service_pb2 as spb
from lockstitch.v1.checkpoint_pb2 import NodeKind
from lockstitch_server.auth import Right
from lockstitch_server.rpc.rights import RIGHTS
from tests.security.callers import bearer, make_key
from tests.support.api import METHODS, Api, ApiError, grpc_api
from tests.support.server import DOORS, LockstitchServer

SECRET = "what is nobody else's business"
SESSIONS = ("mine", "mine too")
Request = Callable[[], Message]


@dataclass(frozen=True)
class World:
    """A server, a victim whose sessions are there, and keys."""

    server: LockstitchServer
    keys: Path
    victim: str
    attacker: str

    def api(self, token: str, tenant: str = "") -> Any:
        return grpc_api(self.server.target, bearer(token, tenant))


@pytest.fixture(scope="module", params=DOORS)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("tenants")
    keys = directory / "keys.json"
    victim, attacker = make_key(keys, "victim", ["acme"]), make_key(keys, "attacker", ["globex"])
    store = f"sqlite:///{directory}/lockstitch.db"
    with LockstitchServer(store, ["--set", f"auth.keys={keys}"], door=request.param) as server:
        world = World(server, keys, victim, attacker)
        asyncio.run(_fill(world))
        yield world


async def _fill(world: World) -> None:
    async with world.api(world.victim) as api:
        for session in SESSIONS:
            for step in range(3):
                await api.save(save_request(session, step))
        await api.save_writes(writes_request("mine"))


def save_request(session: str, step: int, content: str = SECRET) -> pb.SaveRequest:
    request = pb.SaveRequest()
    request.checkpoint.session_id = session
    request.checkpoint.step = step
    request.checkpoint.metadata["secret"] = '"yes"'
    request.checkpoint.ran_nodes.add(custom="planner")
    request.checkpoint.state.messages.items.add(role="user", content=content)
    return request


def writes_request(session: str) -> pb.SaveWritesRequest:
    request = pb.SaveWritesRequest(session_id=session, checkpoint_id="0" * 19 + "2")
    request.writes.add(task_id="t", index=0, channel="c").value.data = SECRET.encode()
    return request


async def everything(world: World) -> list[bytes]:
    """All that the victim can see of its own."""
    async with world.api(world.victim) as api:
        sessions = await api.list_sessions(pb.ListSessionsRequest())
        checkpoints = await api.list_checkpoints(pb.ListCheckpointsRequest(include_writes=True))
        settings = [await api.unary("GetSession", spb.GetSessionRequest(session_id=session)) for session in SESSIONS]
    answers = [sessions, checkpoints, *settings]
    return [answer.SerializeToString(deterministic=True) for answer in answers]


LAST = "0" * 19 + "2"
REF = spb.CheckpointRef(checkpoint_id="0" * 20)

ATTACKS: dict[str, tuple[Request, ...]] = {
    "Load": (
        lambda: pb.LoadRequest(session_id="mine", step=2),
        lambda: pb.LoadRequest(session_id="mine", checkpoint_id=LAST),
    ),
    "LoadLatest": (lambda: pb.LoadLatestRequest(session_id="mine"),),
    "LoadLatestStream": (
        lambda: pb.LoadLatestStreamRequest(requests=[pb.LoadLatestRequest(session_id=name) for name in SESSIONS]),
    ),
    "ListSessions": (lambda: pb.ListSessionsRequest(), lambda: pb.ListSessionsRequest(session_id_prefix="mine")),
    "ListCheckpoints": (
        lambda: pb.ListCheckpointsRequest(),
        lambda: pb.ListCheckpointsRequest(session_id="mine"),
        lambda: pb.ListCheckpointsRequest(metadata={"secret": '"yes"'}),
        lambda: pb.ListCheckpointsRequest(ran_node=NodeKind(custom="planner"), include_total=True, include_writes=True),
    ),
    "WalkAncestors": (lambda: pb.WalkAncestorsRequest(session_id="mine", checkpoint_id=LAST),),
    "GetSession": (lambda: spb.GetSessionRequest(session_id="mine"),),
    "UpdateSession": (lambda: spb.UpdateSessionRequest(session_id="mine", set_labels={"owner": "globex"}),),
    "CopySession": (
        lambda: spb.CopySessionRequest(source_session_id="mine", target_session_id="stolen"),
        lambda: spb.CopySessionRequest(source_session_id="mine", target_session_id="mine too", at=REF),
    ),
    "DeleteSessions": (lambda: spb.DeleteSessionsRequest(session_ids=SESSIONS),),
    "DeleteCheckpoints": (
        lambda: spb.DeleteCheckpointsRequest(session_id="mine", after=REF),
        lambda: spb.DeleteCheckpointsRequest(metadata=spb.MetadataFilter(entries={"secret": '"yes"'})),
    ),
    "PruneSessions": (
        lambda: spb.PruneSessionsRequest(session_ids=SESSIONS, retention=spb.RetentionPolicy(keep_last=1)),
        lambda: spb.PruneSessionsRequest(retention=spb.RetentionPolicy(keep_last=1)),
    ),
    "RenewLease": (lambda: spb.RenewLeaseRequest(session_id="mine", lease_token=1),),
    "ReleaseLease": (lambda: spb.ReleaseLeaseRequest(session_id="mine", lease_token=1),),
    "BreakLease": (lambda: spb.BreakLeaseRequest(session_id="mine"),),
}
"""What one may try with sessions of another, by the method."""
ELSEWHERE = {"Save", "SaveStream", "SaveWrites", "AcquireLease", "WatchSession"}
"""Methods that make a session, or wait for one: their tests are below."""


def test_every_method_is_attacked_and_needs_a_right() -> None:
    assert ATTACKS.keys() | ELSEWHERE == METHODS.keys()
    assert RIGHTS.keys() == {method.full_name for method in METHODS.values()}


async def answered(api: Api, name: str, request: Message) -> bytes:
    """All that comes back, errors with all their details."""
    try:
        if METHODS[name].server_streaming:
            return b"".join([answer.SerializeToString() async for answer in api.stream(name, request)])
        answer: Message = await api.unary(name, request)
        return answer.SerializeToString()
    except ApiError as error:
        if error.code not in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.ABORTED):
            raise
        return b"".join([error.message.encode(), *(detail.SerializeToString() for detail in error.details)])


@pytest.mark.parametrize("name", ATTACKS)
async def test_nothing_is_seen_and_nothing_changes(world: World, name: str) -> None:
    """It is as if there were no such sessions: as with ids that nobody has ever used."""
    before = await everything(world)
    async with world.api(world.attacker) as api:
        for make in ATTACKS[name]:
            data = await answered(api, name, make())
            assert SECRET.encode() not in data
            nobodys = _renamed(make())
            assert _without_names(data) == _without_names(await answered(api, name, nobodys))
    assert await everything(world) == before


def _renamed(request: Message) -> Message:
    """The same about sessions that do not exist anywhere."""
    data = request.SerializeToString().replace(b"mine too", b"none too").replace(b"mine", b"none")
    return type(request).FromString(data)


def _without_names(data: bytes) -> bytes:
    return data.replace(b"none", b"mine")


async def test_forged_metadata_opens_no_door(world: World) -> None:
    request = pb.LoadLatestRequest(session_id="mine")
    for name in ("tenant", "x-tenant", "x-lockstitch-tenant", "lockstitch-principal", "x-forwarded-client-cert"):
        async with grpc_api(world.server.target, (*bearer(world.attacker), (name, "acme"))) as api:
            assert not (await api.load_latest(request)).HasField("checkpoint")
    async with world.api(world.attacker, "acme") as api:
        with pytest.raises(ApiError) as caught:
            await api.load_latest(request)
    assert caught.value.reason == "TENANT_FORBIDDEN"


async def test_page_tokens_of_another_are_refused(world: World) -> None:
    requests: list[tuple[str, Any]] = [
        ("ListSessions", pb.ListSessionsRequest(page_size=1)),
        ("ListCheckpoints", pb.ListCheckpointsRequest(page_size=1)),
        ("ListCheckpoints", pb.ListCheckpointsRequest(page_size=1, session_id="mine")),
        ("PruneSessions", spb.PruneSessionsRequest(page_size=1, dry_run=True)),
    ]
    for name, request in requests:
        async with world.api(world.victim) as api:
            request.page_token = (await api.unary(name, request)).next_page_token
            assert request.page_token
            await api.unary(name, request)
        async with world.api(world.attacker) as api:
            with pytest.raises(ApiError) as caught:
                await api.unary(name, request)
        assert caught.value.reason == "INVALID_PAGE_TOKEN", name


async def test_sessions_of_the_same_name_are_different_ones(world: World) -> None:
    before = await everything(world)
    async with world.api(world.attacker) as api:
        mine = await api.save(save_request("mine", 2, "something else"))
        wrong_base = save_request("mine too", 3)
        wrong_base.checkpoint.ClearField("state")
        wrong_base.base_checkpoint_id = LAST
        wrong_base.delta.SetInParent()
        with pytest.raises(ApiError) as caught:
            await api.save(wrong_base)
        assert caught.value.reason == "UNKNOWN_BASE"
        await api.save_writes(writes_request("mine too"))
        lease = await api.unary("AcquireLease", spb.AcquireLeaseRequest(session_id="mine", holder="attacker"))
        saved = [answer async for answer in api.save_stream(_items(lease.lease.token))]
        assert saved[0].saved.revision > mine.revision
        loaded = await api.load_latest(pb.LoadLatestRequest(session_id="mine"))
        assert loaded.checkpoint.state.messages.items[0].content == "streamed"
    assert await everything(world) == before
    async with world.api(world.victim) as api:  # whom the other's lease does not hold back
        await api.save(save_request("mine", 2))


async def _items(lease_token: int) -> AsyncIterator[bytes]:
    save = save_request("mine", 5, "streamed")
    save.lease_token = lease_token
    yield pb.SaveStreamRequest(request_id=1, save=save).SerializeToString()


async def test_nobody_watches_another(world: World) -> None:
    async with world.api(world.victim) as victim, world.api(world.attacker) as attacker:
        own = victim.stream("WatchSession", spb.WatchSessionRequest(session_id="mine too"))
        token = (await anext(own)).resume_token
        stolen = spb.WatchSessionRequest(session_id="mine too", resume_token=token)
        with pytest.raises(ApiError) as caught:
            await anext(attacker.stream("WatchSession", stolen))
        assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT
        request = spb.WatchSessionRequest(session_id="mine too", heartbeat=Duration(seconds=1))
        other = attacker.stream("WatchSession", request)
        first = await anext(other)
        await victim.save(save_request("mine too", 7, "news"))
        assert [event async for event in _until_saved(own)]
        beats = [first, await anext(other), await anext(other)]
        assert {beat.WhichOneof("event") for beat in beats} == {"heartbeat"}
        await own.aclose()
        await other.aclose()


async def _until_saved(events: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async with asyncio.timeout(30):
        async for event in events:
            if event.WhichOneof("event") == "saved":
                yield event
                return


@pytest.mark.parametrize("right", [None, *Right])
async def test_every_method_wants_its_right(world: World, right: Right | None) -> None:
    """Rights are looked at before requests: an empty one shows which are wanted."""
    rights = [right] if right else [Right.READ]
    token = make_key(world.keys, f"only {right}", ["rights"], rights)
    async with grpc_api(world.server.target, bearer(token) if right else ()) as api:
        await _known(api, wanted=right is not None)
        for name, method in METHODS.items():
            wanted = RIGHTS[method.full_name]
            reason = await _refusal(api, name)
            if right is None:
                assert reason == "CREDENTIALS_MISSING", name
            else:
                assert (reason == "RIGHT_MISSING") == (wanted is not right), name


async def _known(api: Api, *, wanted: bool) -> None:
    """Wait until the server has seen a new key."""
    async with asyncio.timeout(30):
        while wanted and await _refusal(api, "LoadLatest") == "CREDENTIALS_INVALID":
            await asyncio.sleep(0.1)


async def _refusal(api: Api, name: str) -> str:
    """The reason why an empty request is refused; empty: it is not."""
    method = METHODS[name]
    try:
        if method.client_streaming:
            [_ async for _ in api.save_stream(_nothing())]
        elif method.server_streaming:
            request = spb.WatchSessionRequest() if name == "WatchSession" else _empty(name)
            [_ async for _ in api.stream(name, request)]
        else:
            await api.unary(name, _empty(name))
    except ApiError as error:
        return error.reason
    return ""


def _empty(name: str) -> Message:
    kinds = {**vars(pb), **vars(spb)}
    request: Message = kinds[METHODS[name].input_type.name]()
    return request


async def _nothing() -> AsyncIterator[bytes]:
    nothing: tuple[bytes, ...] = ()
    for request in nothing:
        yield request
