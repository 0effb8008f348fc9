"""What a run of a graph has read and saved, so that it never goes on from a checkpoint that is no longer the latest.

A saver does not see where a run begins or ends. But a run reads the checkpoint that it begins from in its own context
(`contextvars`), and writes in this context or in copies of it; and every save names its parent. So the run that a save
belongs to is the newest one of the context that has read or saved this parent. Nothing is kept outside of contexts:
reading a thread costs no memory that stays.
"""

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Optional

from lockstitch._errors import LockstitchError
from lockstitch._types import NONE, NoCheckpoint

MOST_RUNS = 16
"""Runs that a context knows: more than one, since a run may read other threads, or its own, on the way."""

_runs: ContextVar[tuple["Run", ...]] = ContextVar("lockstitch_runs", default=())
"""The newest first."""


@dataclass(eq=False)
class Held:
    """A lease that is held, or being taken. token: not done while it is being taken. lost: why it no longer counts."""

    acquisition_id: str
    used_at: float
    token: "Future[int]" = field(default_factory=Future)
    lost: LockstitchError | None = None

    @property
    def is_live(self) -> bool:
        """Whether it was taken and, by what this process knows, still counts."""
        return self.lost is None and self.token.done() and self.token.exception() is None


@dataclass(slots=True, eq=False)
class Run:
    """A run, or what a reader would be if it went on to save.

    saver: whose run it is. tip: id of the checkpoint that the next save has as its parent; "" for none. latest: id of
    the latest checkpoint of the namespace, if nobody else has saved since; None: unknown, since the run began from a
    checkpoint that its caller named. held: the lease under which it has written. lost: why it may not write any more.
    """

    saver: object
    thread_id: str
    namespace: str
    tip: str
    latest: str | None
    above: Optional["Run"]
    held: Held | None = None
    lost: LockstitchError | None = None
    has_saved: bool = False

    @property
    def problem(self) -> LockstitchError | None:
        """Why it, or the run whose subgraph it is, may not write any more."""
        return self.lost or (self.above.problem if self.above else None)

    def expected(self, parent_id: str) -> str | NoCheckpoint | None:
        """What a save with this parent has to find as the latest checkpoint; None: anything."""
        if parent_id != self.tip or self.latest is None:
            return None
        return self.latest or NONE

    @contextmanager
    def saving(self, parent_id: str, checkpoint_id: str) -> Iterator[None]:
        """While the next checkpoint is saved: writes of its tasks may be on their way already.

        The caller may try again where that fails. An id may be below its parent's, where clocks differ.
        """
        before = self.tip, self.latest, self.has_saved
        if parent_id == self.tip:
            self.tip, self.latest, self.has_saved = checkpoint_id, max(self.latest or "", checkpoint_id), True
        try:
            yield
        except BaseException:
            if self.lost is None and self.tip == checkpoint_id:
                self.tip, self.latest, self.has_saved = before
            raise


class Runs:
    """The runs of a saver that the current context knows."""

    def begin(self, thread_id: str, namespace: str, checkpoint_id: str, *, named: bool) -> None:
        """A run may begin from a checkpoint ("": from nothing). named: its caller has named it."""
        known = _runs.get()
        above = next((run for run in known if self._is_above(run, thread_id, namespace)), None)
        latest = None if named else checkpoint_id
        run = Run(self, thread_id, namespace, checkpoint_id, latest, above)
        _runs.set((run, *known[: MOST_RUNS - 1]))

    def find(self, thread_id: str, namespace: str, checkpoint_id: str) -> Run | None:
        """The run that goes on from a checkpoint; else the newest one of the thread."""
        mine = [run for run in _runs.get() if run.saver is self and run.thread_id == thread_id]
        exact = (run for run in mine if (run.namespace, run.tip) == (namespace, checkpoint_id))
        return next(exact, mine[0] if mine else None)

    def __len__(self) -> int:
        return sum(run.saver is self for run in _runs.get())

    def _is_above(self, run: Run, thread_id: str, namespace: str) -> bool:
        if run.saver is not self or run.thread_id != thread_id or not namespace:
            return False
        return not run.namespace or namespace.startswith(f"{run.namespace}|")
