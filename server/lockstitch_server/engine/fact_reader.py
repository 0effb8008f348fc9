"""Reads facts for the planner within a transaction."""

from collections.abc import Collection, Sequence

from lockstitch_server.core.format.rows import SessionRow
from lockstitch_server.core.planning.facts import Found, Missing, SessionFacts
from lockstitch_server.core.planning.operations import Operation
from lockstitch_server.core.planning.session_cache import SessionCache
from lockstitch_server.storage.reading import Reader

MOST_ROUNDS = 16
"""Rounds of reading and planning for one batch. An operation alone needs fewer."""
MOST_LOG_BYTES = 64 * 1024 * 1024
"""Bytes of logs that are read for one batch, and kept until it is planned."""
MOST_CHECKPOINTS = 64
"""Checkpoints whose pending writes are read for one batch, alike."""


class Reading:
    """How much has been read for a batch."""

    def __init__(self) -> None:
        self.rounds = 0
        self._log_bytes = 0
        self._checkpoints = 0

    def add(self, missing: Missing) -> None:
        """Count what is about to be read."""
        self.rounds += 1
        self._log_bytes += sum(ref.length for ref in missing.segments)
        self._checkpoints += len(missing.writes)

    @property
    def is_too_much(self) -> bool:
        """Whether a batch of several operations should be split."""
        return self.rounds > MOST_ROUNDS or self._log_bytes > MOST_LOG_BYTES or self._checkpoints > MOST_CHECKPOINTS


async def lock_sessions(
    operations: Sequence[Operation], reader: Reader, cache: SessionCache, unusable: Collection[bytes]
) -> dict[bytes, SessionFacts]:
    """Lock the sessions of a batch, and read their rows. Adds what the cache knows of sessions that have not changed.

    unusable: keys of sessions whose facts in the cache must not be used.
    """
    keys = sorted({operation.key for operation in operations})
    rows = await reader.sessions(keys)
    facts = {}
    for key in keys:
        row, cached = rows.get(key), cache.get(key)
        if row is None or cached is None or key in unusable or not _is_same(row, cached.row):
            facts[key] = SessionFacts(row)
        else:
            facts[key] = cached.under_lock(row)
    return facts


async def read_missing(reader: Reader, missing: Missing) -> Found:
    """Ask the database for facts: a question for each kind of fact, however many sessions the facts are of."""
    return Found(
        await reader.checkpoints([*missing.checkpoints]) if missing.checkpoints else {},
        await reader.greatest_written([*missing.greatest_written]) if missing.greatest_written else {},
        await reader.tails([*missing.tails]) if missing.tails else {},
        await reader.segments([*missing.segments]) if missing.segments else {},
        await reader.write_sizes([*missing.write_sizes]) if missing.write_sizes else {},
        await reader.writes([*missing.writes]) if missing.writes else {},
    )


def _is_same(row: SessionRow, cached: SessionRow | None) -> bool:
    return (
        not row.damaged and cached is not None and (row.revision, row.expire_at) == (cached.revision, cached.expire_at)
    )
