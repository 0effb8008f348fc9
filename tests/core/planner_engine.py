"""The planner alone, over a store in plain dictionaries, for any sequence of saves.

Each batch is planned three ways, which must come to the same: from the cache; from all facts at once; and from facts
that come piece by piece, in any order.
"""

import random
from collections.abc import Sequence
from dataclasses import replace

from lockstitch.v1.checkpoint_pb2 import Checkpoint
from lockstitch.v1.checkpoint_service_pb2 import (
    SaveOutcome,
    SaveRequest,
    SaveResponse,
    SaveWritesRequest,
    SaveWritesResponse,
)
from lockstitch_server.core.errors import Failure
from lockstitch_server.core.format.content import has_names, wrong_namespaces
from lockstitch_server.core.format.rows import CheckpointRef, SessionRow
from lockstitch_server.core.format.selection import ALL
from lockstitch_server.core.ids import session_key
from lockstitch_server.core.planning.facts import Facts, Missing, SessionFacts, learn
from lockstitch_server.core.planning.operations import Operation, PlanSettings, Result, Saved, WritesSaved
from lockstitch_server.core.planning.planner import Plan, plan
from lockstitch_server.core.planning.session_cache import SessionCache
from lockstitch_server.engine.reads.assembler import Loaded, LoadTarget, assemble_one, logs_of
from lockstitch_server.saving.intake import save_operation, save_writes_operation
from tests.core.dictionary_store import DictionaryStore, locked, some_of
from tests.core.model import Model, exact

START = 1_800_000_000_000_000_000
MICROSECOND = 1000
TENANT = "tenant"


class PlannerEngine:
    """A committer without a database."""

    def __init__(self, settings: PlanSettings, cache_bytes: int) -> None:
        self.store = DictionaryStore(START)
        self.cache = SessionCache(cache_bytes)
        self.settings = settings
        self.rng = random.Random(0)
        self.token = 0
        self.from_cache = 0
        """How many batches were planned from the cache."""

    # Saving

    def save(self, requests: list[SaveRequest]) -> list[SaveResponse | str]:
        read = [self._read(request) for request in requests]
        results = iter(self.commit([operation for operation in read if not isinstance(operation, Failure)]))
        return [_saved(operation if isinstance(operation, Failure) else next(results)) for operation in read]

    def save_writes(self, request: SaveWritesRequest) -> SaveWritesResponse | str:
        (result,) = self.commit([save_writes_operation(request, TENANT)])
        if isinstance(result, Failure):
            return result.reason.value
        assert isinstance(result, WritesSaved)
        return SaveWritesResponse(revision=result.revision, stored=result.stored)

    def _read(self, request: SaveRequest) -> Operation | Failure:
        try:
            return save_operation(SaveRequest.FromString(request.SerializeToString()), TENANT)
        except Failure as failure:
            return failure

    def commit(self, operations: Sequence[Operation]) -> Sequence[Result | Failure]:
        """Plan a batch in all ways, and apply the plan."""
        self.store.now += self.rng.choice([1, 1, 1000, 1_000_000]) * MICROSECOND
        if not operations:
            return []
        done = self._planned(operations)
        self.store.apply(done.changes)
        if self.rng.random() < 0.1:
            self.cache.drop(operations[0].key)
        else:
            self.cache.update(done.sessions)
        return done.results

    def _planned(self, operations: Sequence[Operation]) -> Plan:
        keys = {operation.key for operation in operations}
        at_once = self._read_and_planned(operations, locked(self.store, keys))
        bit_by_bit = self._read_and_planned(operations, locked(self.store, keys), self.rng)
        assert_same(bit_by_bit, at_once)
        assert bit_by_bit.sessions == at_once.sessions
        assert bit_by_bit.changes == at_once.changes
        cached = self.cache.facts(operations, self.store.now)
        warm = plan(operations, cached, self.settings, self.store.now)
        if isinstance(warm, Missing):
            warm = self._read_and_planned(operations, self._under_lock(cached, keys, warm))
        else:
            self.from_cache += 1
            assert self.store.holds(warm.expected) or not self._is_current(cached)
            if not self.store.holds(warm.expected):
                warm = self._read_and_planned(operations, self._under_lock(cached, keys, Missing()))
        assert_same(warm, at_once)
        assert self._content_after(warm) == self._content_after(at_once)
        return warm

    def _read_and_planned(
        self, operations: Sequence[Operation], facts: Facts, rng: random.Random | None = None
    ) -> Plan:
        """A plan from facts that are read as they are asked for: all that is missing, or only some of it each time."""
        asked = set[object]()
        while isinstance(planned := plan(operations, facts, self.settings, self.store.now), Missing):
            assert not planned.sessions
            part = some_of(planned, rng) if rng is not None else planned
            new: set[object] = {
                *part.checkpoints,
                *part.greatest_written,
                *part.segments,
                *part.write_sizes,
                *part.tails,
            }
            new |= {("messages", name) for name in part.writes}
            assert new
            assert not new & asked
            asked |= new
            learn(facts, part, self.store.found(part))
        return planned

    def _under_lock(self, cached: Facts, keys: set[bytes], missing: Missing) -> dict[bytes, SessionFacts]:
        facts = locked(self.store, keys)
        for key, row in ((key, found.row) for key, found in facts.items()):
            if row is not None and key in cached and key not in missing.sessions:
                before = cached[key].row
                if before is not None and (before.revision, before.expire_at) == (row.revision, row.expire_at):
                    facts[key] = cached[key].under_lock(row)
        return facts

    def _is_current(self, cached: Facts) -> bool:
        rows = {key: self.store.session(key) for key in cached}
        return all(row is None or cached[key].row == replace(row, read_at=0) for key, row in rows.items())

    def _content_after(self, planned: Plan) -> object:
        store = self.store.copy()
        store.apply(planned.changes)
        return store.content()

    # The session

    def revision(self, session: str) -> int:
        row = self.store.session(session_key(TENANT, session))
        return 0 if row is None or row.expired(self.store.now) else row.revision

    def acquire_lease(self, session: str) -> int:
        self._change_lease(session)
        self.token += 1
        self.store.leases[session_key(TENANT, session)] = (self.token, "me")
        return self.token

    def release_lease(self, session: str, token: int) -> None:
        key = session_key(TENANT, session)
        assert self.store.leases.pop(key) == (token, "me")
        self._change_lease(session)

    def _change_lease(self, session: str) -> None:
        """A lease changes the revision, and may begin a session."""
        key, now = session_key(TENANT, session), self.store.now
        row = self.store.session(key) or SessionRow(key, TENANT, session, now, now)
        row.touch(now)
        self.store.sessions[key] = row

    least_ttl = 1
    expiries = 1.0

    def let_time_pass(self) -> None:
        self.store.now += 1000 * MICROSECOND

    def look_through(self, session: str, model: Model) -> None:
        key = session_key(TENANT, session)
        row = self.store.session(key)
        if row is None or row.expired(self.store.now):
            assert not model.entries
            return
        assert {name[1:] for name in self.store.checkpoints} == set(model.entries)
        assert (row.checkpoint_count, row.ttl) == (len(model.entries), model.ttl)
        assert (row.stored_bytes, row.write_bytes) == self.store.stored_bytes(key)
        rows, writes = list(self.store.checkpoints.values()), list(self.store.writes.values())
        assert has_names(row.content, model.entries)
        assert not list(wrong_namespaces(row.content, rows, writes))
        for name, entry in model.entries.items():
            loaded = self._loaded(key, *name)
            assert exact(Checkpoint.FromString(loaded.checkpoint)) == exact(model.loaded(name))
            assert loaded.revision == entry.revision
            assert list(loaded.writes) == [write.SerializeToString() for write in model.pending(name)]

    def _loaded(self, key: bytes, namespace: str, checkpoint_id: str) -> Loaded:
        session = self.store.session(key)
        assert session is not None
        row = replace(self.store.checkpoints[key, namespace, checkpoint_id], _decoded=None, _parsed=None)
        target, ref = LoadTarget(session, row, ALL), CheckpointRef(key, namespace, checkpoint_id)
        segments = {log: self.store.segments(log) for log in logs_of([target])}
        writes = {ref: self.store.writes_of(ref)}
        loaded = assemble_one(target, segments, writes)
        assert not isinstance(loaded, Failure), str(loaded)
        return loaded


def assert_same(one: Plan, other: Plan) -> None:
    """The same versions and results."""
    assert one.expected == other.expected
    assert list(map(described, one.results)) == list(map(described, other.results))


def described(result: Result | Failure) -> object:
    return (result.reason, str(result), result.metadata) if isinstance(result, Failure) else result


def _saved(result: Result | Failure) -> SaveResponse | str:
    if isinstance(result, Failure):
        return result.reason.value
    assert isinstance(result, Saved)
    answer = SaveResponse(
        checkpoint_id=result.checkpoint_id,
        revision=result.revision,
        outcome=SaveOutcome.ValueType(result.outcome.value),
    )
    answer.saved_at.FromNanoseconds(result.saved_at)
    return answer
