"""What a client can do to whole sessions, written once as the other calls are."""

# ruff: noqa: ASYNC109 - a timeout here is the deadline that gRPC sends to the server

import secrets
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from datetime import timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from lockstitch import _rpcs, _streams
from lockstitch._answers import lease, session_details
from lockstitch._calls import Caller
from lockstitch._convert import to_duration, to_retention
from lockstitch._deadline import Deadline
from lockstitch._types import CopiedSession, DeletedCheckpoints, Lease, Pruned, Retention, SessionDetails
from lockstitch.v1 import session_service_pb2 as pb


class SessionApi:
    """The calls. Every `timeout` is in seconds; None means the client's."""

    def __init__(self, caller: Caller, timeout: float) -> None:
        self._caller = caller
        self._timeout = timeout

    async def get_session(self, session_id: str, *, timeout: float | None = None) -> SessionDetails:
        """One session with its settings. Raises SessionNotFound and what any call may raise."""
        request = pb.GetSessionRequest(session_id=session_id)
        return session_details(await self._caller.call(_rpcs.GET_SESSION, request, self._deadline(timeout)))

    async def update_session(
        self,
        session_id: str,
        *,
        set_labels: Mapping[str, str] | None = None,
        remove_labels: Iterable[str] = (),
        ttl: timedelta | float | None = None,
        clear_ttl: bool = False,
        retention: Retention | None = None,
        clear_retention: bool = False,
        lease_token: int = 0,
        timeout: float | None = None,
    ) -> SessionDetails:
        """Change settings of a session; what is not named stays.

        ttl: the session ends this long after its last change; a number means seconds. clear_ttl: it stays for ever.
        retention: which checkpoints stay. clear_retention: those that the server's own policy keeps.

        Raises SessionNotFound, InvalidArgument, LeaseLost and what any call may raise.
        """
        request = pb.UpdateSessionRequest(
            session_id=session_id,
            set_labels=set_labels,
            remove_labels=remove_labels,
            ttl=to_duration(ttl),
            clear_ttl=clear_ttl,
            retention=to_retention(retention),
            clear_retention=clear_retention,
            lease_token=lease_token,
        )
        answer = await self._caller.call(_rpcs.UPDATE_SESSION, request, self._deadline(timeout))
        return session_details(answer.session)

    async def delete_sessions(
        self,
        session_ids: Iterable[str],
        *,
        tombstone: timedelta | float | None = None,
        timeout: float | None = None,
    ) -> int:
        """Delete sessions with all they have, even if others hold their leases. Returns how many there were.

        tombstone: how long they cannot be created again, so that a late save does not bring them back; 0: they can at
            once; None: as long as the server says.

        Raises InvalidArgument and what any call may raise.
        """
        request = pb.DeleteSessionsRequest(session_ids=session_ids, tombstone=to_duration(tombstone))
        return (await self._caller.call(_rpcs.DELETE_SESSIONS, request, self._deadline(timeout))).deleted

    async def delete_checkpoints(
        self,
        session_id: str,
        metadata: Mapping[str, str],
        *,
        lease_token: int = 0,
        timeout: float | None = None,
    ) -> DeletedCheckpoints:
        """Delete the checkpoints that have these metadata entries, each a key and its JSON text, with their writes.

        session_id: of which session; "" for all of them.

        Raises InvalidArgument, LeaseLost, LeaseHeld and what any call may raise.
        """
        request = pb.DeleteCheckpointsRequest(
            session_id=session_id, metadata=pb.MetadataFilter(entries=metadata), lease_token=lease_token
        )
        answer = await self._caller.call(_rpcs.DELETE_CHECKPOINTS, request, self._deadline(timeout))
        return DeletedCheckpoints(answer.deleted, answer.revision)

    async def rewind(
        self,
        session_id: str,
        checkpoint_id: str,
        *,
        namespace: str = "",
        lease_token: int = 0,
        timeout: float | None = None,
    ) -> DeletedCheckpoints:
        """Delete all that came after a checkpoint: greater ids in its namespace, later saves in others.

        Raises NotFound (the checkpoint), LeaseLost and what any call may raise.
        """
        request = pb.DeleteCheckpointsRequest(
            session_id=session_id,
            after=pb.CheckpointRef(namespace=namespace, checkpoint_id=checkpoint_id),
            lease_token=lease_token,
        )
        answer = await self._caller.call(_rpcs.DELETE_CHECKPOINTS, request, self._deadline(timeout))
        return DeletedCheckpoints(answer.deleted, answer.revision)

    async def copy_session(
        self,
        source_session_id: str,
        target_session_id: str,
        *,
        checkpoint_id: str = "",
        namespace: str = "",
        labels: Mapping[str, str] | None = None,
        ttl: timedelta | float | None = None,
        timeout: float | None = None,
    ) -> CopiedSession:
        """Copy a session into a new one, within the database.

        checkpoint_id, namespace: copy up to this checkpoint; without an id, all of it.
        labels, ttl: of the new session. Those of the source are not copied.

        Raises SessionNotFound, NotFound (the checkpoint), AlreadyExists (the target), SessionDeleted, LeaseHeld and
        what any call may raise.
        """
        request = pb.CopySessionRequest(
            source_session_id=source_session_id,
            target_session_id=target_session_id,
            labels=labels,
            ttl=to_duration(ttl),
        )
        if checkpoint_id:
            request.at.CopyFrom(pb.CheckpointRef(namespace=namespace, checkpoint_id=checkpoint_id))
        answer = await self._caller.call(_rpcs.COPY_SESSION, request, self._deadline(timeout))
        return CopiedSession(answer.revision, answer.checkpoint_count)

    async def prune_sessions(
        self,
        session_ids: Sequence[str] = (),
        *,
        retention: Retention | None = None,
        dry_run: bool = False,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Pruned:
        """Delete old checkpoints. The latest of every namespace always stays.

        session_ids: of these sessions, 1,000 at most; none for all of them, page by page.
        retention: which ones stay; None: those that each session's own policy keeps, else the server's.
        dry_run: whether only to tell what would go.
        timeout: seconds for each page.

        Raises InvalidArgument and what any call may raise.
        """
        request = pb.PruneSessionsRequest(
            session_ids=session_ids, retention=to_retention(retention), dry_run=dry_run, page_size=page_size
        )
        checkpoints = size = sessions = 0
        while True:
            answer = await self._caller.call(_rpcs.PRUNE_SESSIONS, request, self._deadline(timeout))
            checkpoints, size, sessions = (
                checkpoints + answer.checkpoints,
                size + answer.bytes,
                sessions + answer.sessions,
            )
            if not answer.next_page_token:
                return Pruned(checkpoints, size, sessions)
            request.page_token = answer.next_page_token

    async def watch_session(
        self,
        session_id: str,
        resume_token: str = "",
        *,
        heartbeats: bool = False,
        heartbeat: timedelta | float | None = None,
        timeout: float | None = None,
    ) -> AsyncGenerator[pb.WatchSessionResponse, None]:
        """What happens to a session, each event once and in order, until you stop reading.

        resume_token: that of the last event you have seen; "": only what happens from now on. A watch that breaks off
            is taken up again by itself.
        heartbeats: whether to give those answers, too, that only tell where a watch can be taken up.
        heartbeat: how often the server gives a sign of life; below `timeout`.
        timeout: how long to wait for one, in seconds.

        Raises ResumeTooOld, InvalidArgument and what any call may raise.
        """
        request = pb.WatchSessionRequest(
            session_id=session_id, resume_token=resume_token, heartbeat=to_duration(heartbeat)
        )
        answers = _streams.watch_session(self._caller, request, self._seconds(timeout))
        async with aclosing(answers):
            async for answer in answers:
                if heartbeats or not answer.HasField("heartbeat"):
                    yield answer

    async def acquire_lease(
        self,
        session_id: str,
        holder: str,
        *,
        ttl: timedelta | float | None = None,
        acquisition_id: str = "",
        timeout: float | None = None,
    ) -> Lease:
        """Take the lease of a session, which need not exist. `session(...).runner(...)` also renews and releases it.

        holder: a readable name, which others are shown. It need not be unique: while the lease lasts, another call
            raises LeaseHeld, even with the same name.
        ttl: how long the lease lasts unless renewed, 1 second or more; None: as long as the server says.
        acquisition_id: identifies this acquisition, up to 64 bytes; "": a random one. Give that of an earlier call
            which failed without an answer to get the lease that the call may have taken.

        Raises LeaseHeld, SessionDeleted, InvalidArgument and what any call may raise.

            lease = client.acquire_lease("case-1", "worker-1", ttl=30)
            client.save(checkpoint, lease_token=lease.token)
        """
        request = pb.AcquireLeaseRequest(
            session_id=session_id,
            holder=holder,
            ttl=to_duration(ttl),
            acquisition_id=acquisition_id or secrets.token_hex(16),
        )
        answer = await self._caller.call(_rpcs.ACQUIRE_LEASE, request, self._deadline(timeout))
        return lease(session_id, answer.lease, answer.ttl)

    async def renew_lease(
        self, session_id: str, token: int, *, ttl: timedelta | float | None = None, timeout: float | None = None
    ) -> Lease:
        """Prolong a lease that is live. Raises LeaseLost and what any call may raise."""
        request = pb.RenewLeaseRequest(session_id=session_id, lease_token=token, ttl=to_duration(ttl))
        answer = await self._caller.call(_rpcs.RENEW_LEASE, request, self._deadline(timeout))
        return lease(session_id, answer.lease, answer.ttl)

    async def release_lease(self, session_id: str, token: int, *, timeout: float | None = None) -> bool:
        """Give a lease back. Returns whether it was held under this token."""
        request = pb.ReleaseLeaseRequest(session_id=session_id, lease_token=token)
        return (await self._caller.call(_rpcs.RELEASE_LEASE, request, self._deadline(timeout))).released

    async def break_lease(
        self, session_id: str, *, acquired_at: Timestamp | None = None, timeout: float | None = None
    ) -> bool:
        """End the live lease of a session for any holder, such as one that hangs. Needs the right `admin`.

        acquired_at: only the lease that was acquired then (`Lease.acquired_at`); None: whichever is live.

        Returns whether there was one. Its holder's calls raise LeaseLost from then on. Raises what any call may raise.

            lease = client.get_session("case-1").lease
            client.break_lease("case-1", acquired_at=lease.acquired_at)
        """
        request = pb.BreakLeaseRequest(session_id=session_id, acquired_at=acquired_at)
        return (await self._caller.call(_rpcs.BREAK_LEASE, request, self._deadline(timeout))).broken

    async def _pause(self, seconds: float) -> None:
        await self._caller.transport.sleep(seconds)

    def _seconds(self, timeout: float | None) -> float:
        return self._timeout if timeout is None else timeout

    def _deadline(self, timeout: float | None) -> Deadline:
        return Deadline(self._seconds(timeout))
