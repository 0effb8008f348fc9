"""The time in which operations are counted, and who keeps them in flight."""

import asyncio
import resource
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from time import perf_counter
from typing import Any, NamedTuple

import psutil

from benchmarks.driver.job import Job, Measured

LONGEST_SECONDS = 60.0
"""How long an operation may take."""
PAUSE_SECONDS = 0.01


class _Mark(NamedTuple):
    """Where everything stood at one moment."""

    at: float
    done: int
    own: float
    server: float
    database: float


class Window:
    """Gathers how long operations took, and closes after a time."""

    def __init__(self, job: Job) -> None:
        self.took: list[float] = []
        self.open = True
        self._job = job
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._working = 0
        self._all_left = asyncio.Event()

    def failed(self, error: Exception) -> None:
        """The whole run has failed."""
        if not self._failure.done():
            self._failure.set_exception(error)

    def enter(self) -> None:
        """A worker begins."""
        self._working += 1

    def leave(self) -> None:
        """A worker has its last answer."""
        self._working -= 1
        if not self._working:
            self._all_left.set()

    async def measure(self) -> Measured:
        """Let the workers work for as long as the job says, and wait for their last answers."""
        await self.unless_failed(asyncio.sleep(self._job.warm_up))
        server, database = _processes(self._job.server), _processes(self._job.database)
        begin = self._mark(server, database)
        await self.unless_failed(asyncio.sleep(self._job.seconds))
        await self.unless_failed(asyncio.wait_for(self._first_after(begin.done), LONGEST_SECONDS))
        end = self._mark(server, database)
        self.open = False
        await self.unless_failed(self._all_left.wait())
        return self._measured(begin, end)

    async def _first_after(self, done: int) -> None:
        """Wait until one more has ended, where all of them take longer than the window."""
        while len(self.took) == done:
            await asyncio.sleep(PAUSE_SECONDS)

    async def unless_failed(self, waiting: Coroutine[Any, Any, object]) -> None:
        """Wait for something, and no longer when the run has failed."""
        task = asyncio.create_task(waiting)
        both: list[asyncio.Future[Any]] = [task, self._failure]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if self._failure.done():
            task.cancel()
            self._failure.result()
        task.result()

    def _mark(self, server: list[psutil.Process], database: list[psutil.Process]) -> _Mark:
        own = resource.getrusage(resource.RUSAGE_SELF)
        cpu = own.ru_utime + own.ru_stime
        return _Mark(perf_counter(), len(self.took), cpu, _cpu(server), _cpu(database))

    def _measured(self, begin: _Mark, end: _Mark) -> Measured:
        took = sorted(self.took[begin.done : end.done])
        own, server, database = ((end[field] - begin[field]) / len(took) for field in (2, 3, 4))
        return Measured(
            rate=len(took) / (end.at - begin.at),
            p50=took[len(took) // 2],
            p99=took[len(took) * 99 // 100],
            load_cpu=own,
            server_cpu=server if self._job.server else None,
            database_cpu=database if self._job.database else None,
            count=len(took),
        )


class Worker:
    """Keeps one request in flight: sends the next when the last is answered. `send` sends it."""

    def __init__(self, window: Window, send: Callable[[], None]) -> None:
        self._window = window
        self._took = window.took
        self._send = send
        self._sent = 0.0

    def start(self) -> None:
        self._window.enter()
        self._sent = perf_counter()
        self._send()

    def answered(self, answer: bytes = b"") -> None:
        now = perf_counter()
        self._took.append(now - self._sent)
        if self._window.open:
            self._sent = now
            self._send()
        else:
            self._window.leave()


async def measure_tasks(job: Job, operations: Iterable[Callable[[], Awaitable[object]]]) -> Measured:
    """The same for what is awaited: a task for each operation repeats it until the window closes."""
    window = Window(job)
    tasks = [asyncio.create_task(_repeat(window, operation)) for operation in operations]
    try:
        return await window.measure()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _repeat(window: Window, operation: Callable[[], Awaitable[object]]) -> None:
    window.enter()
    try:
        while window.open:
            begin = perf_counter()
            await operation()
            window.took.append(perf_counter() - begin)
    except Exception as error:
        window.failed(error)
    window.leave()


def _processes(ids: tuple[int, ...]) -> list[psutil.Process]:
    """Them and their children."""
    roots = [psutil.Process(number) for number in ids]
    return [process for root in roots for process in (root, *root.children(recursive=True))]


def _cpu(processes: list[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes if process.is_running()]
    return sum(time.user + time.system for time in times)
