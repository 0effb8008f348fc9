"""Moves sessions from a source to a server: several at a time, the steps of each in order."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from lockstitch import InvalidArgument, ResourceExhausted, SaveOutcome

# These are about one checkpoint; after any other error the rest would fail as well.
REFUSED = (InvalidArgument, ResourceExhausted)


class RowInvalid(Exception):
    """A row holds what its writer does not write. The text is for people, and names the row."""


class SessionOfSource(Protocol):
    """A session, and how many steps there are of it."""

    @property
    def steps(self) -> int:
        """How many."""


class StepOfSource(Protocol):
    """A step of a session."""

    @property
    def name(self) -> str:
        """What it is called, for people: "session 'a', step 1"."""


Session = TypeVar("Session", bound=SessionOfSource)
Step = TypeVar("Step", bound=StepOfSource)
Step_co = TypeVar("Step_co", bound=StepOfSource, covariant=True)


class Source(Protocol[Session, Step_co]):
    """Where sessions come from. Holds only a few rows in memory, whatever there is."""

    def sessions(self) -> AsyncGenerator[Session, None]:
        """All sessions that were asked for."""

    def steps(self, session: Session) -> AsyncGenerator[Step_co, None]:
        """The steps of a session, in the order in which they are best saved."""


Save = Callable[[Session, Step], Awaitable[SaveOutcome]]
"""Saves a step. Raises RowInvalid, and what the client raises."""


@dataclass
class Tally:
    """What an import has done so far. `failures` has a sentence for each step that was left out."""

    sessions: int = 0
    outcomes: Counter[SaveOutcome] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    @property
    def steps(self) -> int:
        """Steps that have been dealt with, in whatever way."""
        return self.outcomes.total() + len(self.failures)


async def count(source: Source[Session, Step]) -> int:
    """How many steps there are to save."""
    total = 0
    async with aclosing(source.sessions()) as sessions:
        async for session in sessions:
            total += session.steps
    return total


async def transfer(source: Source[Session, Step], save: Save[Session, Step], tally: Tally, jobs: int) -> None:
    """Save every step of the source, `jobs` sessions at a time. `tally` can be watched meanwhile.

    Goes on after steps that are invalid or refused; any other failure of a save ends it and is raised.
    """
    slots = asyncio.Semaphore(jobs)
    try:
        async with asyncio.TaskGroup() as group, aclosing(source.sessions()) as sessions:
            async for session in sessions:
                await slots.acquire()
                task = group.create_task(_transfer_session(source, session, save, tally))
                task.add_done_callback(lambda _: slots.release())
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def _transfer_session(
    source: Source[Session, Step], session: Session, save: Save[Session, Step], tally: Tally
) -> None:
    async with aclosing(source.steps(session)) as rows:
        async for row in rows:
            try:
                tally.outcomes[await save(session, row)] += 1
            except RowInvalid as error:
                tally.failures.append(str(error))
            except REFUSED as error:
                tally.failures.append(f"{row.name}: {error.message}")
    tally.sessions += 1
