"""Repairs what `verifier` finds, where nothing is lost by it.

These are indexes, keys and counters of sessions, rows that are out of place or under a wrong key, search terms,
orphaned logs and rows without a session.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial

from lockstitch_server.core.errors import Failure
from lockstitch_server.core.sessions.session import Retention
from lockstitch_server.engine.maintenance.pruner import Pruner
from lockstitch_server.engine.maintenance.verifier import MOVED, ORPHAN, OUT_OF_PLACE, Fault
from lockstitch_server.storage.lost_rows import Lacking, put_log_rows_back, put_strays_back
from lockstitch_server.storage.repairs import delete_strays, move, put_in_place, put_terms, recount
from lockstitch_server.storage.session_repository import SessionRepository
from lockstitch_server.storage.store import Store

INDEXES = frozenset({"database_damaged", "table_unreadable"})
LOST = frozenset({"checkpoints_lost", "latest_lost", "writes_lost"})
COUNTERS = LOST | {"counter_wrong", "revision_wrong", "session_damaged"}
LOST_SESSIONS = frozenset({"session_unreadable", "key_wrong", "table_unreadable", OUT_OF_PLACE})
"""Where there are such, rows without a session may be theirs, and stay."""
LACKS_CHECKPOINTS = frozenset({"checkpoints_lost", "latest_lost", "session_damaged"})
LACKS_LOGS = frozenset({"log_missing", "log_short", "log_damaged"})
LACKS_WRITES = frozenset({"counter_wrong", "writes_lost", "session_damaged"})

Step = Callable[[SessionRepository], Awaitable[str]]


async def repair(store: Store, faults: list[Fault]) -> AsyncIterator[str]:
    """Repair what can be repaired. Gives a sentence for each step, whether it was done or failed.

    Where rows of a session are put back, what else is wrong with it may follow from that: the next check tells.
    """
    back = {fault.key for fault in faults if fault.kind == OUT_OF_PLACE}
    faults = [fault for fault in faults if fault.kind == OUT_OF_PLACE or fault.key not in back]
    for what, step in _steps(faults):
        try:
            yield f"{what} {await store.transaction(step)}"
        except Failure as failure:
            yield f"{what} cannot be repaired: {failure.message}"
    pruner = Pruner(store, Retention())
    for tenant, session_id in _sessions(faults, frozenset({ORPHAN})):
        size = await pruner.collect(tenant, session_id)
        yield f"session {session_id!r} of {tenant!r} has {size} bytes of orphaned logs less"


def _steps(faults: list[Fault]) -> Iterator[tuple[str, Step]]:
    kinds = {fault.kind for fault in faults}
    if kinds & INDEXES:
        yield "the database", _reindex
    for fault in faults:
        key = bytes.fromhex(fault.key)
        if fault.kind == OUT_OF_PLACE:
            yield f"rows of {fault.table} under the key {fault.key}", partial(put_in_place, table=fault.table, key=key)
        if fault.kind == "key_wrong" and fault.mend == MOVED:
            step = partial(move, key=key, tenant=fault.tenant, session_id=fault.session_id)
            yield _whose(fault.tenant, fault.session_id), step
    # Before the counts accept what is missing, and before what fits nowhere is deleted.
    yield from _lost_rows(faults)
    for name in _sessions(faults, COUNTERS):
        yield _whose(*name), partial(recount, tenant=name[0], session_id=name[1])
    for name in _sessions(faults, frozenset({"terms_wrong"})):
        yield _whose(*name), partial(put_terms, tenant=name[0], session_id=name[1])
    if not kinds & LOST_SESSIONS:
        for fault in faults:
            if fault.kind == "stray":
                yield f"the rows under the key {fault.key}", partial(delete_strays, key=bytes.fromhex(fault.key))


def _lost_rows(faults: list[Fault]) -> Iterator[tuple[str, Step]]:
    """Put rows back that may be those that sessions lack."""
    lacking = Lacking(*(_keys(faults, kinds) for kinds in (LACKS_CHECKPOINTS, LACKS_LOGS, LACKS_WRITES)))
    for fault in faults:
        if fault.kind == "stray" and any(lacking):
            step = partial(put_strays_back, key=bytes.fromhex(fault.key), lacking=lacking)
            yield f"the rows under the key {fault.key}", step
    lacks_logs = _sessions(faults, LACKS_LOGS)
    for name in _sessions(faults, frozenset({ORPHAN})):
        if name in lacks_logs:
            yield _whose(*name), partial(put_log_rows_back, tenant=name[0], session_id=name[1])


def _keys(faults: list[Fault], kinds: frozenset[str]) -> list[bytes]:
    return [bytes.fromhex(key) for key in dict.fromkeys(fault.key for fault in faults if fault.kind in kinds)]


def _sessions(faults: list[Fault], kinds: frozenset[str]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((fault.tenant, fault.session_id) for fault in faults if fault.kind in kinds))


def _whose(tenant: str, session_id: str) -> str:
    return f"session {session_id!r} of {tenant!r}"


async def _reindex(repository: SessionRepository) -> str:
    await repository.executor.reindex()
    return "has built its indexes again"
