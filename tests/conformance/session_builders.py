"""Requests about whole sessions, in few words; and what comes back of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from lockstitch.v1 import session_service_pb2 as pb
from tests.conformance.builders import refused
from tests.support.api import Api

SECOND = {"seconds": 1}
MINUTE = {"seconds": 60}
PATIENCE = 30.0


# Messages out of plain dictionaries, which the constructors take and their type hints do not.


async def ask(api: Api, name: str, **fields: Any) -> Any:
    """Call a method of SessionService."""
    make: Any = getattr(pb, f"{name}Request")
    return await api.unary(name, make(**fields))


async def get(api: Api, session: str) -> pb.GetSessionResponse:
    answer: pb.GetSessionResponse = await ask(api, "GetSession", session_id=session)
    return answer


async def update(api: Api, session: str, **fields: Any) -> pb.GetSessionResponse:
    answer: pb.UpdateSessionResponse = await ask(api, "UpdateSession", session_id=session, **fields)
    return answer.session


async def acquire(api: Api, session: str, holder: str = "me", **fields: Any) -> int:
    """Take a lease, for a minute if nothing else is said. Gives its token."""
    fields = {"ttl": MINUTE} | fields
    answer: pb.AcquireLeaseResponse = await ask(api, "AcquireLease", session_id=session, holder=holder, **fields)
    return answer.lease.token


async def renew(api: Api, session: str, token: int, **fields: Any) -> pb.RenewLeaseResponse:
    answer: pb.RenewLeaseResponse = await ask(api, "RenewLease", session_id=session, lease_token=token, **fields)
    return answer


async def release(api: Api, session: str, token: int) -> bool:
    answer: pb.ReleaseLeaseResponse = await ask(api, "ReleaseLease", session_id=session, lease_token=token)
    return answer.released


async def lapsed(api: Api, session: str) -> None:
    """Wait until nobody holds the lease."""

    async def wait() -> None:
        while (await get(api, session)).HasField("lease"):
            await asyncio.sleep(0.05)

    await asyncio.wait_for(wait(), PATIENCE)


async def delete(api: Api, *sessions: str, **fields: Any) -> int:
    """Delete sessions. Gives how many there were."""
    answer: pb.DeleteSessionsResponse = await ask(api, "DeleteSessions", session_ids=sessions, **fields)
    return answer.deleted


async def rewind(api: Api, session: str, checkpoint_id: str, namespace: str = "", **fields: Any) -> int:
    """Delete what came after a checkpoint. Gives how many there were."""
    after = {"checkpoint_id": checkpoint_id, "namespace": namespace}
    answer: pb.DeleteCheckpointsResponse = await ask(
        api, "DeleteCheckpoints", session_id=session, after=after, **fields
    )
    return answer.deleted


async def delete_found(api: Api, session: str, entries: dict[str, str], **fields: Any) -> pb.DeleteCheckpointsResponse:
    answer: pb.DeleteCheckpointsResponse = await ask(
        api, "DeleteCheckpoints", session_id=session, metadata={"entries": entries}, **fields
    )
    return answer


async def copy(api: Api, source: str, target: str, **fields: Any) -> pb.CopySessionResponse:
    answer: pb.CopySessionResponse = await ask(
        api, "CopySession", source_session_id=source, target_session_id=target, **fields
    )
    return answer


async def prune(api: Api, *sessions: str, **fields: Any) -> pb.PruneSessionsResponse:
    answer: pb.PruneSessionsResponse = await ask(api, "PruneSessions", session_ids=sessions, **fields)
    return answer


class Watch:
    """A call of WatchSession, read event by event."""

    def __init__(self, answers: AsyncIterator[pb.WatchSessionResponse]) -> None:
        self._answers = answers
        self.token = ""

    async def next(self) -> pb.WatchSessionResponse:
        """The next answer, heartbeats too."""
        answer = await asyncio.wait_for(anext(self._answers), PATIENCE)
        self.token = answer.resume_token
        return answer

    async def event(self) -> pb.WatchSessionResponse:
        """The next answer that is no heartbeat."""
        while (answer := await self.next()).WhichOneof("event") == "heartbeat":
            pass
        return answer

    async def close(self) -> None:
        answers: Any = self._answers
        await answers.aclose()


def watching(api: Api, session: str, **fields: Any) -> "aclosing[Any]":
    """A watch, to be used as a context."""
    make: Any = pb.WatchSessionRequest
    watch: Any = Watch(api.stream("WatchSession", make(session_id=session, **fields)))
    watch.aclose = watch.close
    return aclosing(watch)


async def refused_as(call: Any, reason: str) -> bool:
    """Whether a call fails for this reason, as it must fail."""
    return (await refused(call)).reason == reason
