"""Deletes checkpoints of sessions that go on, and then the logs that nothing names any more.

First the checkpoints go, some at a time, each time in one transaction that leaves the session whole. What only they
needed is then an orphan for ever: a save builds on checkpoints that are there, and log numbers never come again. So
orphans can be looked for beside everything else.

Retention keeps the ancestors that a checkpoint which stays depends on (`Checkpoint.depends_on`). What callers name
is deleted as they say.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from lockstitch_server.core.chunks import chunks
from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.format.ancestry import Ancestry
from lockstitch_server.core.format.content import has_names, with_name
from lockstitch_server.core.format.named_logs import add_named_logs, lacking_logs, named_logs
from lockstitch_server.core.format.reading import CheckpointQuery
from lockstitch_server.core.format.rows import CheckpointRow, Seek
from lockstitch_server.core.ids import session_key
from lockstitch_server.core.sessions.session import Retention, Session, held
from lockstitch_server.engine.reads.lister import not_found
from lockstitch_server.storage.session_repository import PAGE, CheckpointName, SessionRepository
from lockstitch_server.storage.store import Store

BATCH = 200
"""Checkpoints, or logs, that are deleted in one transaction."""

Pause = Callable[[], Awaitable[None]]


class Pruned(NamedTuple):
    """What was deleted, or would be."""

    checkpoints: int = 0
    bytes: int = 0


class _Outdated(NamedTuple):
    """Checkpoints that need not stay, as a session was seen. ancestry: of all its checkpoints at that time."""

    session: Session
    names: Sequence[CheckpointName]
    ancestry: Ancestry


class Deleted(NamedTuple):
    """What came of a deletion of checkpoints."""

    checkpoints: int
    revision: int


class _Orphans(NamedTuple):
    """Logs that no checkpoint names, as long as the session is the one that it was: saves name new logs only."""

    created_at: int
    deletion_revision: int
    logs: frozenset[int]


_NO_ORPHANS = _Orphans(0, 0, frozenset())


async def _no_pause() -> None:
    await asyncio.sleep(0)


class Pruner:
    """Thins sessions out."""

    def __init__(self, store: Store, retention: Retention) -> None:
        self._store = store
        self.retention = retention
        """Of sessions without their own."""

    # Retention

    async def prune(
        self, tenant: str, session_id: str, retention: Retention | None, *, dry_run: bool, pause: Pause = _no_pause
    ) -> Pruned:
        """Delete what need not stay. retention: instead of the session's own, or the server's."""
        name = (tenant, session_id)
        if dry_run:
            return await self._store.snapshot(partial(self._would_go, name, retention))
        checkpoints = size = 0
        again = True
        while again:
            outdated = await self._store.snapshot(partial(self._outdated, name, retention))
            again = False
            for some in chunks(outdated.names, BATCH):
                await pause()
                gone = await self._delete_some(outdated, some)
                if gone is None:  # the session has changed so that other checkpoints have to stay
                    again = True
                    break
                checkpoints, size = checkpoints + gone.checkpoints, size + gone.bytes
        if checkpoints:
            size += await self.collect(tenant, session_id, pause)
        return Pruned(checkpoints, size)

    def _policy(self, session: Session, asked: Retention | None) -> Retention:
        if asked is not None:
            return asked
        return session.retention if session.retention is not None else self.retention

    async def _outdated(
        self, name: tuple[str, str], asked: Retention | None, repository: SessionRepository
    ) -> _Outdated:
        session, ancestry = await repository.get(*name), Ancestry()
        policy = self._policy(session, asked)
        names = await repository.outdated(session, policy) if policy and session.alive else []
        if names:
            leaving = {name[:2] for name in names}
            async for rows in repository.pages(session):
                ancestry.add(rows, leaving=leaving)
            needed = ancestry.needed()
            names = [name for name in names if name[:2] not in needed]
        return _Outdated(session, names, ancestry)

    async def _would_go(self, name: tuple[str, str], asked: Retention | None, repository: SessionRepository) -> Pruned:
        session, names, _ = await self._outdated(name, asked, repository)
        if not names:
            return Pruned()
        leaving = set(names)
        size = await repository.write_bytes_of(session, names)
        named: dict[int, int] = {}
        staying_is_whole = True
        async for rows in repository.pages(session):
            size += sum(len(row.record) for row in rows if _name(row) in leaving)
            staying = [row for row in rows if _name(row) not in leaving]
            staying_is_whole = staying_is_whole and all(row.intact for row in staying)
            named |= named_logs(row for row in staying if row.intact)
        if staying_is_whole:  # else no log goes: it is not known which of them the damaged checkpoints need
            size += sum(length for log, length in (await repository.logs(session)).items() if log not in named)
        return Pruned(len(names), size)

    async def _delete_some(self, outdated: _Outdated, names: Sequence[CheckpointName]) -> Pruned | None:
        """Delete checkpoints. None: meanwhile others have deleted some, or have saved what depends on these."""
        seen = outdated.session

        async def unit(repository: SessionRepository) -> tuple[Pruned, int] | None:
            session = await repository.lock(seen.row.tenant, seen.row.session_id)
            if not session.alive or session.deletion_revision != seen.deletion_revision:
                return None
            if not await _still_unneeded(repository, session, outdated, names):
                return None
            before = session.row.stored_bytes
            rows = await repository.rows(session, names)
            await repository.delete_checkpoints(session, rows)
            await repository.put(session)
            return Pruned(len(rows), before - session.row.stored_bytes), session.deletion_revision

        done = await self._store.transaction(unit)
        if done is None:
            return None
        pruned, seen.deletion_revision = done
        return pruned

    # Orphans

    async def collect(self, tenant: str, session_id: str, pause: Pause = _no_pause) -> int:
        """Delete logs that no checkpoint names. Gives how many bytes they had."""
        orphans = await self._store.snapshot(lambda repository: _orphans(repository, tenant, session_id))
        size = 0
        for some in chunks(sorted(orphans.logs), BATCH):
            await pause()
            size += await self._delete_logs(tenant, session_id, orphans._replace(logs=frozenset(some)))
        return size

    async def _delete_logs(self, tenant: str, session_id: str, orphans: _Orphans) -> int:
        async def unit(repository: SessionRepository) -> int:
            session = await repository.lock(tenant, session_id)
            known = (session.row.created_at, session.deletion_revision)
            if not session.alive or known != (orphans.created_at, orphans.deletion_revision):
                return 0  # an import may have named them; what a deletion has left is collected after it
            # Another collection may have deleted some of them.
            logs = {log: size for log, size in (await repository.logs(session)).items() if log in orphans.logs}
            if not logs:
                return 0
            await repository.delete_logs(session, logs)
            session.touch()
            await repository.put(session)
            return sum(logs.values())

        return await self._store.transaction(unit)

    # What callers name

    async def rewind(self, tenant: str, session_id: str, namespace: str, checkpoint_id: str, token: int) -> Deleted:
        """Delete all that came after a checkpoint, at once. Fails with CHECKPOINT_NOT_FOUND, LEASE_LOST."""

        async def unit(repository: SessionRepository) -> Deleted:
            session = await repository.lock(tenant, session_id)
            seek = Seek(session.row.key, namespace, "at", checkpoint_id)
            row = (await repository.catalog.checkpoints([seek])).get(seek) if session.alive else None
            if row is None:
                raise not_found(session_id)
            session.check_lease(token)
            before = session.row.stored_bytes
            rows = await repository.rows(session, await repository.later(row))
            await repository.delete_checkpoints(session, rows)
            if session.row.write_bytes:
                await repository.delete_later_writes(session, row)
            if rows or session.row.stored_bytes != before:
                session.changed()
                await repository.put(session)
            return Deleted(len(rows), session.row.revision)

        return await self._then_collect(tenant, session_id, await self._store.transaction(unit))

    async def delete_found(self, query: CheckpointQuery, session_id: str, token: int) -> Deleted:
        """Delete what a search finds, in one session or in all of the tenant. Fails with LEASE_LOST, LEASE_HELD."""
        deleted, idle = 0, 0
        query = replace(query, limit=BATCH)
        while idle < 2:
            found = await self._store.snapshot(lambda repository: repository.catalog.list_checkpoints(query))
            if not found:
                break
            by_session: dict[str, list[CheckpointName]] = defaultdict(list)
            for listed in found:
                by_session[listed.session_id].append(_name(listed.row))
            gone = [
                await self._delete_named(query.tenant, name, by_session[name], token, alone=bool(session_id))
                for name in sorted(by_session, key=lambda name: session_key(query.tenant, name))
            ]
            deleted += sum(gone)
            idle = 0 if any(gone) else idle + 1  # they were saved again meanwhile
        revision = 0
        if session_id:
            session = await self._store.snapshot(lambda repository: repository.get(query.tenant, session_id))
            revision = session.row.revision if session.alive else 0
        return Deleted(deleted, revision)

    async def _delete_named(
        self, tenant: str, session_id: str, names: Sequence[CheckpointName], token: int, *, alone: bool
    ) -> int:
        async def unit(repository: SessionRepository) -> int:
            session = await repository.lock(tenant, session_id)
            if not session.alive:
                return 0
            lease = session.lease
            if lease is not None and lease.token != token and not alone:
                raise held(session_id, lease)
            if alone:
                session.check_lease(token)
            rows = await repository.rows(session, names)
            if rows:
                await repository.delete_checkpoints(session, rows)
                session.changed()
                await repository.put(session)
            return len(rows)

        gone = await self._store.transaction(unit)
        if gone:
            await self.collect(tenant, session_id)
        return gone

    async def _then_collect(self, tenant: str, session_id: str, deleted: Deleted) -> Deleted:
        """What was asked for is done: orphans that cannot be collected now are later."""
        if deleted.checkpoints:
            await self.collect(tenant, session_id)
        return deleted


async def _still_unneeded(
    repository: SessionRepository, session: Session, outdated: _Outdated, names: Sequence[CheckpointName]
) -> bool:
    """Whether nothing that was saved since `outdated` was read depends on these checkpoints."""
    if session.row.revision == outdated.session.row.revision:
        return True
    saved = await repository.saved_since(session, outdated.session.row.revision, PAGE + 1, lately=False)
    if len(saved) > PAGE:
        return False
    outdated.ancestry.add(
        await repository.rows(session, [CheckpointName(s.namespace, s.checkpoint_id, s.revision) for s in saved])
    )
    return outdated.ancestry.needed().isdisjoint(name[:2] for name in names)


async def _orphans(repository: SessionRepository, tenant: str, session_id: str) -> _Orphans:
    session = await repository.get(tenant, session_id)
    named: dict[int, int] = {}
    missing = session.row.content  # without the names of the checkpoints that are found
    try:
        async for rows in repository.pages(session):
            add_named_logs(named, rows)
            for row in rows:
                missing = with_name(missing, row.namespace, row.checkpoint_id)
    except Failure as failure:
        if failure.reason is not Reason.DATA_LOSS:
            raise
        return _NO_ORPHANS  # what a damaged checkpoint needs is not known
    logs = await repository.logs(session) if session.alive else {}
    if lacking_logs(named, logs) or not has_names(missing, ()):
        return _NO_ORPHANS  # rows are missing, which may be among them: a repair can put them back
    return _Orphans(session.row.created_at, session.deletion_revision, frozenset(logs.keys() - named.keys()))


def _name(row: CheckpointRow) -> CheckpointName:
    return CheckpointName(row.namespace, row.checkpoint_id, row.revision)
