"""The same load on 1, 2 and 4 servers that share one Postgres, from processes of their own."""

import asyncio
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from benchmarks import servers
from benchmarks.contestants import CONNECTIONS
from benchmarks.driver.job import Job
from benchmarks.driver.process import Driver
from benchmarks.options import Options
from benchmarks.parts.rates import tell
from benchmarks.results import Figures, Results
from benchmarks.scale import primary
from benchmarks.scale.sizing import PART, PRIMARY
from benchmarks.servers import Server
from benchmarks.stored import stored_bytes
from tests.support.postgres import Postgres

KINDS = ("unary", "stream")
IN_FLIGHT = 64
"""For each server."""
WRITTEN = """
SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn, pg_snapshot_xmax(pg_current_snapshot()),
    (SELECT count(*) FROM lockstitch.checkpoints)
"""


def run(options: Options, results: Results) -> None:
    """Measure the servers, and then what the primary can take without them."""
    results.about["Load average before"] = f"{os.getloadavg()[0]:.1f}"
    for _ in range(options.repeat):
        with servers.postgres() as postgres, _served(postgres, max(options.servers)) as fleet:
            for size in options.state_bytes:
                for kind in KINDS:
                    for count in options.servers:
                        figures = fleet.measure(kind, count, size, options.seconds)
                        results.add(PART, figures, kind=kind, servers=count, state_bytes=size)
                        tell(f"{PART}: {count} servers, {kind}, {size} B: {figures['rate']:,.0f}/s")
        with servers.postgres() as postgres:
            limits = primary.limits(postgres, options.seconds)
        results.add(PRIMARY, {**limits})
        tell(f"{PRIMARY}: {limits['wal_rate'] / 1e6:,.0f} MB of WAL/s, {limits['commit_rate']:,.0f} commits/s")


@dataclass(frozen=True)
class _Fleet:
    """Servers on one database, each with a process that makes the load for it. Those that have none do nothing."""

    postgres: Postgres
    url: str
    members: list[tuple[Server, Driver]]

    def measure(self, kind: str, count: int, size: int, seconds: float) -> dict[str, float | None]:
        """The load of several of them at once."""
        before = self._written()
        with ThreadPoolExecutor(count) as threads:
            jobs = [
                Job(
                    kind,
                    server.target,
                    IN_FLIGHT,
                    size,
                    seconds,
                    connections=CONNECTIONS,
                    server=server.processes,
                    database=(self.postgres.pid,),
                )
                for server, _ in self.members[:count]
            ]
            drivers = [driver for _, driver in self.members[:count]]
            measured = list(threads.map(Driver.run, drivers, jobs))
        return {**_together(measured), **self._written().since(before)}

    def _written(self) -> "_Written":
        database = self.url.rpartition("/")[2]
        wal, commits, saves = map(int, self.postgres.execute(WRITTEN, database).split("|"))
        return _Written(wal, commits, saves, asyncio.run(stored_bytes(self.url)))


@contextmanager
def _served(postgres: Postgres, count: int) -> Iterator[_Fleet]:
    url = postgres.url(postgres.create_database())
    with ExitStack() as stack:
        running = [stack.enter_context(servers.lockstitch(url)) for _ in range(count)]
        yield _Fleet(postgres, url, [(server, stack.enter_context(Driver())) for server in running])


def _together(measured: list[Figures]) -> Figures:
    """Each driver has measured its own server, and the whole database."""
    saves = sum(each["count"] for each in measured)
    database = sum(each["database_cpu"] * each["count"] for each in measured) / len(measured)
    return {
        "rate": sum(each["rate"] for each in measured),
        "p50": max(each["p50"] for each in measured),
        "p99": max(each["p99"] for each in measured),
        "server_cpu": sum(each["server_cpu"] * each["count"] for each in measured) / saves,
        "load_cpu": sum(each["load_cpu"] * each["count"] for each in measured) / saves,
        "database_cpu": database / saves,
    }


@dataclass(frozen=True)
class _Written:
    """What a database has written since it was made. commits: transactions that wrote something."""

    wal: int
    commits: int
    saves: int
    stored: int

    def since(self, before: "_Written") -> Figures:
        """For each save."""
        saves = self.saves - before.saves
        return {
            "wal": (self.wal - before.wal) / saves,
            "commits": (self.commits - before.commits) / saves,
            "stored": (self.stored - before.stored) / saves,
        }
