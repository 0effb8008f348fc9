"""Marks that tell, after a lost connection, whether a transaction was committed.

Each transaction that writes puts a number, greater than all before, into a row of its writer. If the response to COMMIT
is lost, the row has the number if and only if the transaction was committed. Transaction ids of Postgres cannot tell: a
server that crashed, or a standby that was promoted, can give the same id to another transaction.

The rows are in `elections`. Their `expire_at` is the number, and the time after which any server may remove them. In a
distributed database the mark is in the bucket of the transaction's sessions, so that one node commits both.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from lockstitch_server.storage.asyncpg_types import AnyConnection
from lockstitch_server.storage.executor import LostRace
from lockstitch_server.storage.postgres.clock import DatabaseClock
from lockstitch_server.storage.postgres.statements import DISTRIBUTED_SQL, SQL

PREFIX = "transaction of "
KEPT = 24 * 3600 * 1_000_000_000
"""How long, in ns, a row is kept after its last transaction: far longer than any transaction is in doubt."""
MARK = """
INSERT INTO lockstitch.elections AS e (name, holder, expire_at, position) VALUES ('{name}', '', {number}, '')
ON CONFLICT (name) DO UPDATE SET expire_at = excluded.expire_at WHERE e.expire_at < excluded.expire_at
"""


@dataclass(slots=True)
class Attempt:
    """One run of a transaction. result: what it has come to, if it is committed."""

    writer: str
    number: int
    result: Any = field(default=None)
    is_marked: bool = False
    """Whether its mark has been sent to the database. Until then it writes nothing."""
    bucket: int | None = None
    """Where the mark is, in a distributed database."""


class Writer:
    """Numbers transactions, one at a time."""

    def __init__(self, clock: DatabaseClock) -> None:
        self._clock = clock
        self._name = f"{PREFIX}{uuid.uuid4().hex}"
        self._number = 0

    def attempt(self) -> Attempt:
        self._number = max(self._number + 1, self._clock.now() + KEPT)
        return Attempt(self._name, self._number)


class Writers:
    """Writers of one server, as many as it has transactions at once."""

    def __init__(self, clock: DatabaseClock) -> None:
        self._clock = clock
        self._free: list[Writer] = []

    @contextmanager
    def borrow(self) -> Iterator[Writer]:
        writer = self._free.pop() if self._free else Writer(self._clock)
        try:
            yield writer
        finally:
            self._free.append(writer)


async def begin_marked(connection: AnyConnection, begin: str, attempt: Attempt) -> None:
    """Begin a transaction, and mark it, in one round trip. Raises LostRace."""
    attempt.is_marked = True
    status = await connection.execute(f"{begin}; {MARK.format(name=attempt.writer, number=attempt.number)}")
    if status != "INSERT 0 1":
        raise LostRace


class BucketMark:
    """Marks a transaction in a distributed database when it first asks for a bucket, in that bucket."""

    def __init__(self, connection: AnyConnection, attempt: Attempt) -> None:
        self._connection = connection
        self._attempt = attempt

    async def put(self, bucket: int) -> None:
        """Put the mark, unless it is there. Raises LostRace."""
        attempt = self._attempt
        if attempt.is_marked:
            return
        attempt.is_marked, attempt.bucket = True, bucket
        if not await self._connection.fetch(DISTRIBUTED_SQL["put_mark"], attempt.writer, attempt.number, bucket):
            raise LostRace


async def was_committed(connection: AnyConnection, attempt: Attempt, writer: Writer) -> bool:
    """Whether an attempt was committed. If not, it never will be, even if the database still works on it.

    The question always locks the row. So its own commit waits until the attempt is replicated, as any commit does.
    """
    if not attempt.is_marked:
        return False
    sql, bucket = (SQL, ()) if attempt.bucket is None else (DISTRIBUTED_SQL, (attempt.bucket,))
    number = writer.attempt().number
    await connection.execute("BEGIN")
    has_other_number = await connection.fetch(sql["was_committed"], attempt.writer, attempt.number, number, *bucket)
    await connection.execute("COMMIT")
    return not has_other_number


async def remove_old_marks(connection: AnyConnection) -> int:
    """Remove the rows of writers that are gone. Gives the database's time in ns."""
    now: int = await connection.fetchval(SQL["get_clock"])
    await connection.execute(SQL["remove_marks"], f"{PREFIX}%", now)
    return now
