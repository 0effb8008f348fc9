"""Bounds the memory of answers that clients have not received yet."""

import asyncio
from collections import Counter
from contextlib import suppress
from typing import NamedTuple, TypeVar

from lockstitch_server.core.errors import Failure, Reason

USUAL_BYTES = 1024 * 1024
"""Memory for an answer of unknown size, while less than half of all memory is in use."""
LEAST_BYTES = 64 * 1024
"""Memory for an answer of unknown size, while more is in use."""
WAIT_SECONDS = 30.0
PASSED_SECONDS = 0.5
"""How long a caller waits for other callers of its connection that wait for more memory than is free."""

K = TypeVar("K")


class Recipient(NamedTuple):
    """The caller that an answer is for."""

    tenant: str
    connection: str


class Reservation:
    """Memory that is set aside for an answer, until `release`.

    weight: bytes of memory for each byte of the answer.
    """

    __slots__ = ("_held", "_memory", "_recipient", "_weight")

    def __init__(self, memory: "AnswerMemory", recipient: Recipient, held: int, weight: int = 1) -> None:
        self._memory = memory
        self._recipient = recipient
        self._held = held
        self._weight = weight

    @property
    def size(self) -> int:
        """Bytes that the answer may have."""
        return self._held // self._weight

    def shrink(self, size: int) -> None:
        """Keep the memory of an answer of this many bytes, at most what is reserved."""
        self._set(min(size * self._weight, self._held))

    def sent_as(self, size: int) -> None:
        """Count this many bytes for the answer from now on, even if they are not free."""
        self._set(size)
        self._weight = 1

    def release(self, _: object = None) -> None:
        """Free all of it. May be called again."""
        self._set(0)

    def _set(self, held: int) -> None:
        self._memory.take(self._recipient, held - self._held)
        self._held = held


class AnswerMemory:
    """Sets memory aside for answers. Callers that need more than is free wait.

    A connection may have one answer of any size. While all memory is in use, each tenant may still have its share, so
    no tenant waits because another one takes no answers.
    """

    def __init__(self, most: int, most_of_connection: int) -> None:
        """most: bytes of all answers together."""
        self._most = most
        self._most_of_connection = most_of_connection
        self._held = 0
        self._tenants: Counter[str] = Counter()
        self._connections: Counter[Recipient] = Counter()
        self._waiting: Counter[Recipient] = Counter()
        """How many wait for memory."""
        self._freed = asyncio.Event()

    @property
    def held(self) -> int:
        """Bytes that are set aside."""
        return self._held

    async def reserve(self, recipient: Recipient, size: int = 0, weight: int = 1) -> Reservation:
        """Reserve memory for an answer. Fails with OVERLOADED if none becomes free for WAIT_SECONDS.

        size: bytes of the answer; 0: unknown. weight: bytes of memory for each of them.
        """
        if recipient in self._waiting:
            await self._let_pass(recipient)
        needed = size * weight or (USUAL_BYTES if self._held < self._most // 2 else LEAST_BYTES)
        if not self._fits(recipient, needed):
            await self._room(recipient, needed)
        self.take(recipient, needed)
        return Reservation(self, recipient, needed, weight)

    def take(self, recipient: Recipient, size: int) -> None:
        """Count memory, whether or not it is free; a negative size frees it."""
        if not size:
            return
        self._held += size
        _add(self._tenants, recipient.tenant, size)
        _add(self._connections, recipient, size)
        if size < 0:
            self._freed.set()

    async def _room(self, recipient: Recipient, size: int) -> None:
        """Wait until it is free. Fails with OVERLOADED."""
        _add(self._waiting, recipient, 1)
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while not self._fits(recipient, size):
                    self._freed.clear()
                    await self._freed.wait()
        except TimeoutError as error:
            raise _untaken(self._most, self._most_of_connection) from error
        finally:
            _add(self._waiting, recipient, -1)
            self._freed.set()

    async def _let_pass(self, recipient: Recipient) -> None:
        """Wait a little for others: else many small answers would keep a large one waiting for ever."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PASSED_SECONDS):
                while recipient in self._waiting:
                    self._freed.clear()
                    await self._freed.wait()

    def _fits(self, recipient: Recipient, size: int) -> bool:
        mine = self._connections.get(recipient, 0)
        if mine and mine + size > self._most_of_connection:
            return False
        if self._held + size <= self._most:
            return True
        of_tenant = self._tenants.get(recipient.tenant, 0)
        tenants = len(self._tenants) + (not of_tenant)
        return not of_tenant or (of_tenant + size) * tenants <= self._most


def _add(held: Counter[K], key: K, size: int) -> None:
    held[key] += size
    if not held[key]:
        del held[key]


def _untaken(most: int, of_connection: int) -> Failure:
    return Failure(
        Reason.OVERLOADED,
        f"answers that clients have not read yet hold all the memory there is for them: {most} bytes for a tenant "
        f"(queue.max_answer_bytes), {of_connection} bytes for a connection (queue.connection_answer_bytes); read the "
        "answers of earlier calls",
    )
