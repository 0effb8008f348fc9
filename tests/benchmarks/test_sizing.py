"""What a fleet of agents needs, computed from what was measured."""

from typing import TYPE_CHECKING

import pytest

from tests.support.paths import ROOT

if TYPE_CHECKING:
    from benchmarks.scale.sizing import Measured


@pytest.fixture
def measured() -> "Measured":
    from benchmarks.scale.sizing import Cost, Measured

    return Measured(
        server_cpu=Cost(100e-6, 50e-6),
        database_cpu=Cost(40e-6, 10e-6),
        wal=Cost(1_000, 500),
        stored=Cost(500, 250),
        commits=Cost(0.05, 0),
        wal_rate=200e6,
        commit_rate=5_000,
    )


def test_a_million_agents(measured: "Measured") -> None:
    """60 % of a core and of a primary are planned for."""
    from benchmarks.scale.sizing import need

    needed = need(measured, agents=1_000_000, steps_a_minute=1.2, kb=2)
    assert needed.saves == 20_000
    assert needed.servers == 7  # 20,000 * 200 us are 4 cores
    assert needed.database_cores == 2  # 20,000 * 60 us are 1.2 cores
    assert needed.wal == 20_000 * 2_000
    assert needed.commits == 1_000
    assert needed.disk == 20_000 * 1_000 * 30 * 86_400
    assert needed.primaries == 1  # a fifth of its WAL, and a fifth of its commits


@pytest.mark.parametrize(("kb", "primaries"), [(9, 1), (16, 2), (64, 6)])
def test_a_primary_has_so_much_room(measured: "Measured", kb: int, primaries: int) -> None:
    from benchmarks.scale.sizing import need

    assert need(measured, agents=1_200_000, steps_a_minute=1, kb=kb).primaries == primaries


def test_costs_follow_two_sizes() -> None:
    from benchmarks.scale.sizing import Cost

    cost = Cost.between((2, 30.0), (32, 90.0))
    assert (cost.fixed, cost.per_kb, cost.of(8)) == (26.0, 2.0, 42.0)
    assert Cost.between((2, 30.0), (2, 30.0)).of(8) == 30.0
    assert Cost.between((2, 30.0), (32, 29.0)).of(8) == 30.0  # noise: larger ones do not cost less


def test_the_page_shows_what_was_measured() -> None:
    """Tables of docs/operations.md, of the figures in docs/benchmarks/scale.json."""
    from benchmarks.results import Results
    from benchmarks.scale.report import PAGE, RAW, filled
    from benchmarks.scale.sizing import sizing_table

    results = Results.read(ROOT / "docs" / RAW)
    page = (ROOT / "docs" / PAGE).read_text(encoding="utf-8")
    assert sizing_table(results) in page
    assert filled(page, results) == page
