"""How many servers, cores of the database and bytes a number of agents needs: computed from what was measured."""

import math
from dataclasses import dataclass
from typing import Self

from benchmarks.options import KB
from benchmarks.report.table import table
from benchmarks.results import Results

PART, PRIMARY = "scale", "primary"
PLANNED = 0.6
"""The share of a core, and of what a primary can take, that is planned for. The rest is for peaks."""
MONTH = 30 * 24 * 3600
KIND = "unary"
"""A call for each save: agents in many processes share no streams."""
FLEETS = (
    (1_000, 1, 2),
    (10_000, 1, 2),
    (10_000, 6, 8),
    (100_000, 1, 2),
    (100_000, 1, 32),
    (1_000_000, 1, 2),
    (1_000_000, 1, 8),
)
"""(agents, steps a minute, KB a step)"""


@dataclass(frozen=True)
class Cost:
    """Of a save: a fixed part, and one for each KB that the step is new."""

    fixed: float
    per_kb: float

    def of(self, kb: float) -> float:
        """Of a step with this many KB."""
        return self.fixed + self.per_kb * kb

    @classmethod
    def between(cls, small: tuple[float, float], large: tuple[float, float]) -> Self:
        """From two points: (KB, cost)."""
        per_kb = max(0.0, (large[1] - small[1]) / (large[0] - small[0])) if large[0] > small[0] else 0.0
        return cls(small[1] - per_kb * small[0], per_kb)


@dataclass(frozen=True)
class Measured:
    """Costs of a save, in seconds of CPU, bytes and commits; and what a primary can take, by the second."""

    server_cpu: Cost
    database_cpu: Cost
    wal: Cost
    stored: Cost
    commits: Cost
    wal_rate: float
    commit_rate: float

    @classmethod
    def read(cls, results: Results) -> Self:
        """With as many servers as were measured at most: they share the primary's commits worst."""
        sizes = sorted(int(size) for size in results.values(PART, "state_bytes"))
        servers = max(int(count) for count in results.values(PART, "servers"))

        def point(figure: str, size: int) -> tuple[float, float]:
            found = results.median(PART, figure, kind=KIND, servers=servers, state_bytes=size)
            assert found is not None, f"{figure} of {size} B was not measured"
            return size / KB, found

        def cost(figure: str) -> Cost:
            return Cost.between(point(figure, sizes[0]), point(figure, sizes[-1]))

        wal_rate, commit_rate = (results.median(PRIMARY, figure) for figure in ("wal_rate", "commit_rate"))
        assert wal_rate is not None
        assert commit_rate is not None
        return cls(
            server_cpu=cost("server_cpu"),
            database_cpu=cost("database_cpu"),
            wal=cost("wal"),
            stored=cost("stored"),
            commits=cost("commits"),
            wal_rate=wal_rate,
            commit_rate=commit_rate,
        )


@dataclass(frozen=True)
class Need:
    """What a fleet needs. wal and commits: by the second. disk: bytes a month, with no retention."""

    saves: float
    servers: int
    database_cores: int
    wal: float
    commits: float
    disk: float
    primaries: int
    """How many primaries like the measured one, by their WAL and commits."""


def need(measured: Measured, agents: float, steps_a_minute: float, kb: float) -> Need:
    """What a number of agents needs. Each has `steps_a_minute`, with `kb` KB each.

    >>> need(measured, agents=1_000_000, steps_a_minute=1, kb=2).servers  # doctest: +SKIP
    """
    saves = agents * steps_a_minute / 60
    wal, commits = saves * measured.wal.of(kb), saves * measured.commits.of(kb)
    share = max(wal / measured.wal_rate, commits / measured.commit_rate)
    return Need(
        saves=saves,
        servers=_planned(saves * measured.server_cpu.of(kb)),
        database_cores=_planned(saves * measured.database_cpu.of(kb)),
        wal=wal,
        commits=commits,
        disk=saves * measured.stored.of(kb) * MONTH,
        primaries=_planned(share),
    )


def _planned(load: float) -> int:
    """How many of something that takes a load of 1."""
    return max(1, math.ceil(round(load / PLANNED, 6)))


def sizing_table(results: Results) -> str:
    """The table of docs/operations.md."""
    measured = Measured.read(results)
    rows = []
    for agents, steps, kb in FLEETS:
        needed = need(measured, agents, steps, kb)
        rows.append(
            (
                f"{agents:,}",
                f"{steps}",
                f"{kb}",
                f"{needed.saves:,.0f}",
                f"{needed.servers}",
                f"{needed.database_cores}",
                _figures(needed.wal / 1e6),
                _figures(needed.disk / 1e12),
                f"{needed.primaries}",
            )
        )
    head = (
        "agents",
        "steps a minute",
        "KB a step",
        "saves/s",
        "servers",
        "database cores",
        "WAL, MB/s",
        "disk, TB a month",
        "primaries",
    )
    return table(head, rows)


def worked(results: Results, agents: int = 1_000_000, steps: int = 1, kb: int = 2) -> str:
    """One row of the table, step by step."""
    measured = Measured.read(results)
    needed = need(measured, agents, steps, kb)
    server, database = measured.server_cpu, measured.database_cpu
    lines = [
        f"saves/s:        {agents:,} * {steps} / 60 = {needed.saves:,.0f}",
        f"servers:        {needed.saves:,.0f} * {_sum(server, kb, 1e6)} us / {PLANNED} = {needed.servers}",
        f"database cores: {needed.saves:,.0f} * {_sum(database, kb, 1e6)} us / {PLANNED} = {needed.database_cores}",
        f"WAL:            {needed.saves:,.0f} * {_sum(measured.wal, kb)} B = {_figures(needed.wal / 1e6)} MB/s, "
        f"{needed.wal / measured.wal_rate:.0%} of the limit",
        f"commits:        {needed.saves:,.0f} * {_sum(measured.commits, kb)} = {_figures(needed.commits)}/s, "
        f"{needed.commits / measured.commit_rate:.0%} of the limit",
        f"disk a month:   {needed.saves:,.0f} * {_sum(measured.stored, kb)} B * 2,592,000 s = "
        f"{_figures(needed.disk / 1e12)} TB",
    ]
    return "\n".join(["```text", *lines, "```"])


def _sum(cost: Cost, kb: int, scale: float = 1.0) -> str:
    fixed, each = _cost(cost, scale)
    return f"({fixed} + {kb} * {each})"


def costs_table(results: Results) -> str:
    """What the sizing table is computed from."""
    measured = Measured.read(results)
    rows = [
        ("CPU of a server, us", *_cost(measured.server_cpu, 1e6)),
        ("CPU of the database, us", *_cost(measured.database_cpu, 1e6)),
        ("WAL, bytes", *_cost(measured.wal)),
        ("stored, bytes", *_cost(measured.stored)),
        ("commits", *_cost(measured.commits)),
    ]
    return table(("of a save", "fixed", "for each KB"), rows)


def _cost(cost: Cost, scale: float = 1.0) -> tuple[str, str]:
    return _figures(cost.fixed * scale), _figures(cost.per_kb * scale)


def _figures(number: float) -> str:
    """Two significant digits, three above 100."""
    digits = 3 if abs(number) >= 100 else 2
    return f"{float(f'{number:.{digits}g}'):,.10g}"
