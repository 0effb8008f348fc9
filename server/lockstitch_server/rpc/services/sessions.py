"""`SessionService`: plain async functions of (request, context) -> answer."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from lockstitch.v1 import session_service_pb2 as pb
from lockstitch_server.config import Limits, SessionSettings
from lockstitch_server.core.format import search_terms
from lockstitch_server.core.format.checkpoint import NS_PER_SECOND
from lockstitch_server.core.format.reading import CheckpointQuery
from lockstitch_server.core.ids import digest, session_key
from lockstitch_server.core.sessions.events import SavedCheckpoint
from lockstitch_server.core.sessions.leases import Holder
from lockstitch_server.core.sessions.session import Lease, Retention, Session
from lockstitch_server.engine.maintenance.copier import Copier, Copy
from lockstitch_server.engine.maintenance.pruner import Deleted, Pruned, Pruner
from lockstitch_server.engine.maintenance.sessions import Sessions, Update
from lockstitch_server.engine.reads.watcher import Watcher, WatchItem
from lockstitch_server.records.v1.record_pb2 import PageToken
from lockstitch_server.rpc.call_context import CallContext
from lockstitch_server.rpc.metadata_facts import MetadataFacts
from lockstitch_server.rpc.paging import (
    fingerprint,
    page_size,
    read_resume_token,
    read_token,
    write_resume_token,
    write_token,
)
from lockstitch_server.rpc.session_summary import session_summary
from lockstitch_server.rpc.times import duration, timestamp


class SessionHandlers:
    """The service's methods by their names in the contract. Requests have been checked."""

    def __init__(
        self,
        sessions: Sessions,
        pruner: Pruner,
        copier: Copier,
        watcher: Watcher,
        settings: SessionSettings,
        limits: Limits,
        facts: MetadataFacts,
    ) -> None:
        self._watcher = watcher
        self._sessions = sessions
        self._pruner = pruner
        self._copier = copier
        self._settings = settings
        self._limits = limits
        self._facts = facts

    async def GetSession(self, request: pb.GetSessionRequest, context: CallContext) -> pb.GetSessionResponse:
        return _session(await self._sessions.get(context.tenant, request.session_id))

    async def UpdateSession(self, request: pb.UpdateSessionRequest, context: CallContext) -> pb.UpdateSessionResponse:
        update = Update(
            dict(request.set_labels),
            list(request.remove_labels),
            request.ttl.ToNanoseconds() if request.HasField("ttl") else None,
            request.clear_ttl,
            _retention(request.retention) if request.HasField("retention") else None,
            request.clear_retention,
            request.lease_token,
        )
        session = await self._sessions.update(context.tenant, request.session_id, update)
        return pb.UpdateSessionResponse(session=_session(session))

    async def DeleteSessions(
        self, request: pb.DeleteSessionsRequest, context: CallContext
    ) -> pb.DeleteSessionsResponse:
        tombstone = _ns_or(request, "tombstone", self._settings.tombstone_seconds)
        deleted = await self._sessions.delete(context.tenant, list(request.session_ids), tombstone)
        return pb.DeleteSessionsResponse(deleted=deleted)

    async def DeleteCheckpoints(
        self, request: pb.DeleteCheckpointsRequest, context: CallContext
    ) -> pb.DeleteCheckpointsResponse:
        deleted = await self._delete_checkpoints(request, context.tenant)
        return pb.DeleteCheckpointsResponse(deleted=deleted.checkpoints, revision=deleted.revision)

    async def _delete_checkpoints(self, request: pb.DeleteCheckpointsRequest, tenant: str) -> Deleted:
        token = request.lease_token
        if request.WhichOneof("which") == "after":
            after = request.after
            return await self._pruner.rewind(tenant, request.session_id, after.namespace, after.checkpoint_id, token)
        facts = await self._facts.of(tenant, request.metadata.entries)
        key = session_key(tenant, request.session_id) if request.session_id else None
        wanted = [search_terms.term(tenant.encode(), fact) for fact in facts]
        query = CheckpointQuery(tenant, 1, key, terms=wanted)
        return await self._pruner.delete_found(query, request.session_id, token)

    async def CopySession(self, request: pb.CopySessionRequest, context: CallContext) -> pb.CopySessionResponse:
        copy = Copy(
            context.tenant,
            request.source_session_id,
            request.target_session_id,
            digest(request.SerializeToString(deterministic=True)),
            (request.at.namespace, request.at.checkpoint_id) if request.HasField("at") else None,
            dict(request.labels),
            request.ttl.ToNanoseconds() if request.HasField("ttl") else None,
        )
        row = await self._copier.copy(copy)
        return pb.CopySessionResponse(revision=row.revision, checkpoint_count=row.checkpoint_count)

    async def PruneSessions(self, request: pb.PruneSessionsRequest, context: CallContext) -> pb.PruneSessionsResponse:
        policy = _retention(request.retention) if request.HasField("retention") else None
        names, more = await self._to_prune(request, context.tenant)
        pruned = [
            await self._pruner.prune(context.tenant, name, policy, dry_run=request.dry_run)
            for name in dict.fromkeys(names)
        ]
        response = _pruned(pruned)
        if more:
            token = PageToken(request_digest=fingerprint(request, context.tenant), id=names[-1])
            response.next_page_token = write_token(token)
        return response

    async def _to_prune(self, request: pb.PruneSessionsRequest, tenant: str) -> tuple[Sequence[str], bool]:
        """A page of sessions, and whether there are more."""
        token = read_token(request.page_token, fingerprint(request, tenant))
        if request.session_ids:
            return list(request.session_ids), False
        size = page_size(request.page_size, self._limits.default_page_size, self._limits.max_page_size)
        found = await self._sessions.ids(tenant, token.id if token else "", size + 1)
        return found[:size], len(found) > size

    async def WatchSession(
        self, request: pb.WatchSessionRequest, context: CallContext
    ) -> AsyncGenerator[pb.WatchSessionResponse, None]:
        bound_to = digest(b"watch", session_key(context.tenant, request.session_id))
        seen = read_resume_token(request.resume_token, bound_to)
        heartbeat = _ns_or(request, "heartbeat", self._settings.heartbeat_seconds) / NS_PER_SECOND
        closing = context.closing or asyncio.get_running_loop().create_future()
        told = self._watcher.watch(context.tenant, request.session_id, seen, heartbeat, closing)
        async with aclosing(told):
            async for each in told:
                yield _event(each, bound_to)

    async def AcquireLease(self, request: pb.AcquireLeaseRequest, context: CallContext) -> pb.AcquireLeaseResponse:
        ttl = _ns_or(request, "ttl", self._settings.lease_seconds)
        holder = Holder(request.holder, request.acquisition_id)
        lease = await self._sessions.acquire(context.tenant, request.session_id, holder, ttl)
        return pb.AcquireLeaseResponse(lease=_lease(lease, lease.token), ttl=duration(ttl))

    async def RenewLease(self, request: pb.RenewLeaseRequest, context: CallContext) -> pb.RenewLeaseResponse:
        ttl = _ns_or(request, "ttl", self._settings.lease_seconds)
        lease = await self._sessions.renew(context.tenant, request.session_id, request.lease_token, ttl)
        return pb.RenewLeaseResponse(lease=_lease(lease, lease.token), ttl=duration(ttl))

    async def ReleaseLease(self, request: pb.ReleaseLeaseRequest, context: CallContext) -> pb.ReleaseLeaseResponse:
        released = await self._sessions.release(context.tenant, request.session_id, request.lease_token)
        return pb.ReleaseLeaseResponse(released=released)

    async def BreakLease(self, request: pb.BreakLeaseRequest, context: CallContext) -> pb.BreakLeaseResponse:
        acquired_at = request.acquired_at.ToNanoseconds() if request.HasField("acquired_at") else None
        broken = await self._sessions.break_lease(context.tenant, request.session_id, acquired_at)
        return pb.BreakLeaseResponse(broken=broken)


def _event(told: WatchItem, bound_to: bytes) -> pb.WatchSessionResponse:
    response = pb.WatchSessionResponse(
        resume_token=write_resume_token(told.seen, bound_to), revision=told.seen.revision
    )
    event = told.event
    if event is None:
        response.heartbeat.SetInParent()
    elif event.saved is not None:
        response.saved.CopyFrom(_saved(event.saved))
    elif event.kind == "checkpoints_deleted":
        response.checkpoints_deleted.SetInParent()
    elif event.kind == "session_deleted":
        response.session_deleted.SetInParent()
    else:
        response.lease_changed.SetInParent()
        if event.lease is not None:
            response.lease_changed.lease.CopyFrom(_lease(event.lease, 0))
    return response


def _saved(saved: SavedCheckpoint) -> pb.CheckpointSaved:
    return pb.CheckpointSaved(
        namespace=saved.namespace,
        checkpoint_id=saved.checkpoint_id,
        parent_id=saved.parent_id,
        step=saved.step,
        saved_at=timestamp(saved.saved_at),
    )


def _session(session: Session) -> pb.GetSessionResponse:
    holder = session.lease.holder if session.lease is not None else ""
    summary = session_summary(session.row, session.latest_checkpoint_id, session.latest_step, session.labels, holder)
    response = pb.GetSessionResponse(session=summary)
    if session.row.ttl is not None:
        response.ttl.CopyFrom(duration(session.row.ttl))
    if session.retention is not None:
        response.retention.keep_last = session.retention.keep_last
        if session.retention.max_age:
            response.retention.max_age.CopyFrom(duration(session.retention.max_age))
    if session.lease is not None:
        response.lease.CopyFrom(_lease(session.lease, 0))
    return response


def _lease(lease: Lease, token: int) -> pb.Lease:
    return pb.Lease(
        token=token,
        holder=lease.holder,
        acquired_at=timestamp(lease.acquired_at),
        expire_at=timestamp(lease.expire_at),
    )


def _pruned(pruned: Sequence[Pruned]) -> pb.PruneSessionsResponse:
    return pb.PruneSessionsResponse(
        checkpoints=sum(each.checkpoints for each in pruned),
        bytes=sum(each.bytes for each in pruned),
        sessions=sum(each.checkpoints > 0 for each in pruned),
    )


def _retention(policy: pb.RetentionPolicy) -> Retention:
    return Retention(policy.keep_last, policy.max_age.ToNanoseconds() if policy.HasField("max_age") else 0)


def _ns_or(request: Any, field: str, default: float) -> int:
    """A duration of a request, else the default in seconds."""
    if request.HasField(field):
        ns: int = getattr(request, field).ToNanoseconds()
        return ns
    return round(default * NS_PER_SECOND)
