"""Facts of sessions, kept from one batch to the next so that the next need not read them."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping

from lockstitch_server.core.planning.facts import SessionFacts
from lockstitch_server.core.planning.operations import Operation, Save

SESSION_BYTES = 2048
"""Memory of a session besides its records, about."""
RECORD_FACTOR = 6
"""Memory of a decoded record divided by its packed bytes, about."""
TAIL_BYTES = 200
WRITE_BYTES = 200
NAMESPACE_BYTES = 200


class SessionCache:
    """Facts about the sessions that were saved last, bounded in memory.

    Only speed depends on the cache: a plan made from it is applied only if its sessions are unchanged in the database.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._sessions: OrderedDict[bytes, tuple[SessionFacts, int]] = OrderedDict()

    def get(self, key: bytes) -> SessionFacts | None:
        """The facts of a session, if they are known."""
        found = self._sessions.get(key)
        return found[0] if found is not None else None

    def facts(self, operations: Iterable[Operation], now: int) -> dict[bytes, SessionFacts]:
        """The facts of those sessions of a batch whose operations can be planned from the cache.

        now: the database's time in ns, about.
        """
        found: dict[bytes, SessionFacts] = {}
        unusable: list[bytes] = []
        for operation in operations:
            kept = self._sessions.get(operation.key)
            if kept is not None and _is_usable(kept[0], operation, now):
                found[operation.key] = kept[0]
            else:
                unusable.append(operation.key)
        for key in unusable:
            found.pop(key, None)
        return found

    def put(self, key: bytes, facts: SessionFacts) -> None:
        """Keep facts in place of those before; forget the oldest sessions if there is no room."""
        self.drop(key)
        size = _size(facts)
        self._sessions[key] = (facts, size)
        self._bytes += size
        while self._bytes > self._max_bytes:
            self.drop(next(iter(self._sessions)))

    def update(self, sessions: Mapping[bytes, SessionFacts]) -> None:
        """Keep the facts of many sessions."""
        for key, facts in sessions.items():
            self.put(key, facts)

    def drop(self, key: bytes) -> None:
        """Forget a session."""
        _, size = self._sessions.pop(key, (None, 0))
        self._bytes -= size


def _is_usable(facts: SessionFacts, operation: Operation, now: int) -> bool:
    """Whether cached facts are enough for an operation.

    A save whose id may be taken needs what the database really holds: a damaged checkpoint must be replaced.
    """
    if facts.row is None or facts.row.expired(now):
        return False
    if not isinstance(operation, Save):
        return True
    latest = facts.latest.get(operation.namespace)
    return latest is None or latest.checkpoint_id < operation.checkpoint_id


def _size(facts: SessionFacts) -> int:
    size = SESSION_BYTES
    for tail in facts.tails.values():
        size += TAIL_BYTES + len(tail.data)
    for row in facts.latest.values():
        if row is not None:
            size += RECORD_FACTOR * len(row.record)
    for sizes in facts.written.sizes.values():
        size += WRITE_BYTES * len(sizes)
    return size + NAMESPACE_BYTES * len(facts.written.greatest)
