"""Sessions as a whole, leases and runners: the other half of the Python client's executor."""

import asyncio
import base64
from contextlib import suppress
from datetime import timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message as ProtobufMessage
from google.protobuf.timestamp_pb2 import Timestamp

import lockstitch
from lockstitch import Checkpoint, LeaseLost
from lockstitch.v1 import session_service_pb2 as pb

Args = dict[str, Any]
Ok = dict[str, Any]


class SessionOperations:
    """Operations for which the client calls SessionService."""

    def __init__(self) -> None:
        self._runner: RunningRunner | None = None

    @property
    def client(self) -> lockstitch.AsyncClient:
        raise NotImplementedError

    async def get_session(self, args: Args) -> Ok:
        return details(await self.client.get_session(args["session_id"]))

    async def update_session(self, args: Args) -> Ok:
        answer = await self.client.update_session(
            args["session_id"],
            set_labels=args.get("set_labels"),
            remove_labels=args.get("remove_labels") or (),
            ttl=milliseconds(args.get("ttl_ms")),
            clear_ttl=bool(args.get("clear_ttl")),
            retention=retention_of(args),
            clear_retention=bool(args.get("clear_retention")),
            lease_token=int(args.get("lease_token") or 0),
        )
        return details(answer)

    async def delete_sessions(self, args: Args) -> Ok:
        tombstone = milliseconds(args.get("tombstone_ms"))
        return {"deleted": await self.client.delete_sessions(args["session_ids"], tombstone=tombstone)}

    async def delete_checkpoints(self, args: Args) -> Ok:
        session_id, token = args.get("session_id") or "", int(args.get("lease_token") or 0)
        if after := args.get("after"):
            namespace = after.get("namespace") or ""
            answer = await self.client.rewind(
                session_id, after["checkpoint_id"], namespace=namespace, lease_token=token
            )
        else:
            answer = await self.client.delete_checkpoints(session_id, args.get("metadata") or {}, lease_token=token)
        return {"deleted": str(answer.deleted), "revision": str(answer.revision)}

    async def copy_session(self, args: Args) -> Ok:
        at = args.get("at") or {}
        answer = await self.client.copy_session(
            args["source"],
            args["target"],
            checkpoint_id=at.get("checkpoint_id") or "",
            namespace=at.get("namespace") or "",
            labels=args.get("labels"),
            ttl=milliseconds(args.get("ttl_ms")),
        )
        return {"revision": str(answer.revision), "checkpoint_count": str(answer.checkpoint_count)}

    async def prune_sessions(self, args: Args) -> Ok:
        answer = await self.client.prune_sessions(
            args.get("session_ids") or (),
            retention=retention_of(args),
            dry_run=bool(args.get("dry_run")),
            page_size=args.get("page_size") or 0,
        )
        return {
            "checkpoints": str(answer.checkpoints),
            "bytes": str(answer.bytes),
            "sessions": str(answer.sessions),
        }

    async def watch_session(self, args: Args) -> Ok:
        events: list[str] = []
        token = args.get("resume_token") or ""
        answers = self.client.watch_session(
            args["session_id"], token, heartbeats=True, heartbeat=milliseconds(args.get("heartbeat_ms"))
        )
        async for answer in answers:
            token = answer.resume_token
            if not answer.HasField("heartbeat"):
                events.append(encoded(answer))
            if len(events) >= args["count"]:
                break
        await answers.aclose()
        return {"events": events, "resume_token": token}

    async def acquire_lease(self, args: Args) -> Ok:
        ttl = milliseconds(args.get("ttl_ms"))
        acquisition_id = args.get("acquisition_id") or ""
        return lease(
            await self.client.acquire_lease(args["session_id"], args["holder"], ttl=ttl, acquisition_id=acquisition_id)
        )

    async def renew_lease(self, args: Args) -> Ok:
        ttl = milliseconds(args.get("ttl_ms"))
        return lease(await self.client.renew_lease(args["session_id"], int(args["lease_token"]), ttl=ttl))

    async def release_lease(self, args: Args) -> Ok:
        return {"released": await self.client.release_lease(args["session_id"], int(args["lease_token"]))}

    async def break_lease(self, args: Args) -> Ok:
        acquired_at = optional_time(args.get("acquired_at"))
        return {"broken": await self.client.break_lease(args["session_id"], acquired_at=acquired_at)}

    async def runner_start(self, args: Args) -> Ok:
        options = {} if args.get("ttl_ms") is None else {"ttl": args["ttl_ms"] / 1000}
        session = self.client.session(args["session_id"])
        self._runner = RunningRunner(session.runner(holder=args["holder"], **options))
        runner = await self._runner.begin()
        latest = runner.latest.checkpoint
        return {"token": str(runner.lease_token), "checkpoint": None if latest is None else encoded(latest)}

    async def runner_save(self, args: Args) -> Ok:
        assert self._runner is not None, "no runner"
        answer = await self._runner.runner.save(Checkpoint.FromString(base64.b64decode(args["checkpoint"])))
        return saved(answer)

    async def runner_stop(self, args: Args) -> Ok:
        assert self._runner is not None, "no runner"
        return {"released": await self._runner.end()}


class RunningRunner:
    """A runner's `async with` statement, in a task of its own, until it is ended or loses the lease."""

    def __init__(self, runner: lockstitch.AsyncRunner) -> None:
        self.runner = runner
        self._begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._end = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    async def begin(self) -> lockstitch.AsyncRunner:
        await asyncio.wait([self._begun, self._task], return_when=asyncio.FIRST_COMPLETED)
        if self._task.done():
            await self._task
        return self.runner

    async def end(self) -> bool:
        """Whether the lease was still held."""
        self._end.set()
        with suppress(LeaseLost):
            await self._task
            self.runner.check()
            return True
        return False

    async def _run(self) -> None:
        async with self.runner:
            self._begun.set_result(None)
            await self._end.wait()


def details(session: lockstitch.SessionDetails) -> Ok:
    """As the contract's message."""
    answer = pb.GetSessionResponse(session=session.summary)
    if session.ttl is not None:
        answer.ttl.FromTimedelta(session.ttl)
    if session.retention is not None:
        answer.retention.keep_last = session.retention.keep_last
        if session.retention.max_age is not None:
            answer.retention.max_age.FromTimedelta(session.retention.max_age)
    if session.lease is not None:
        answer.lease.CopyFrom(
            pb.Lease(
                token=session.lease.token,
                holder=session.lease.holder,
                acquired_at=session.lease.acquired_at,
                expire_at=session.lease.expire_at,
            )
        )
    return {"session": encoded(answer)}


def lease(answer: lockstitch.Lease) -> Ok:
    duration = Duration()
    if answer.ttl is not None:
        duration.FromTimedelta(answer.ttl)
    return {
        "token": str(answer.token),
        "holder": answer.holder,
        "ttl_ms": duration.ToMilliseconds(),
        "acquired_at": str(answer.acquired_at.ToNanoseconds()),
        "expire_at": str(answer.expire_at.ToNanoseconds()),
    }


def retention_of(args: Args) -> lockstitch.Retention | None:
    policy = args.get("retention")
    if policy is None:
        return None
    return lockstitch.Retention(policy.get("keep_last") or 0, milliseconds(policy.get("max_age_ms")))


def optional_time(nanoseconds: str | None) -> Timestamp | None:
    if nanoseconds is None:
        return None
    time = Timestamp()
    time.FromNanoseconds(int(nanoseconds))
    return time


def milliseconds(count: int | None) -> timedelta | None:
    return None if count is None else timedelta(milliseconds=count)


def saved(answer: lockstitch.Saved) -> Ok:
    return {
        "checkpoint_id": answer.checkpoint_id,
        "revision": str(answer.revision),
        "outcome": answer.outcome.name,
        "saved_at": str(answer.saved_at.ToNanoseconds()),
    }


def encoded(what: ProtobufMessage) -> str:
    return base64.b64encode(what.SerializeToString()).decode("ascii")
