"""Medians, ratios and goals."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from benchmarks.results import Results


@pytest.fixture
def results() -> "Results":
    from benchmarks.results import Results

    return Results()


def test_medians(results: "Results") -> None:
    for rate in (1.0, 5.0, 2.0):
        results.add("saves", {"rate": rate, "cpu": None}, name="a", concurrency=1)
    results.add("saves", {"rate": 100.0}, name="b", concurrency=1)
    assert results.median("saves", "rate", name="a") == 2
    assert results.median("saves", "cpu", name="a") is None
    assert results.median("saves", "rate", name="c") is None
    assert results.values("saves", "name") == ["a", "b"]


def test_ratios_are_taken_within_a_repeat(results: "Results") -> None:
    for one, other in ((10.0, 1.0), (200.0, 100.0), (9.0, 3.0)):
        results.add("saves", {"rate": one}, name="one")
        results.add("saves", {"rate": other}, name="other")
    assert results.ratio("saves", "rate", {"name": "one"}, {"name": "other"}) == 3
    assert results.ratio("saves", "rate", {"name": "one"}, {"name": "nobody"}) is None


def test_goals(results: "Results") -> None:
    from benchmarks.report.goals import goals

    assert {goal.reached for goal in goals(results)} == {"not measured"}
    at = {"state_bytes": 2048, "concurrency": 64}
    for name, rate in (("Empty gRPC server", 100.0), ("Lockstitch unary, SQLite", 80.0), ("etcd", 300.0)):
        results.add("saves", {"rate": rate}, name=name, **at)
    results.add("saves", {"rate": 200.0}, name="Lockstitch stream, SQLite", **at)
    results.add("growth", {"stored": 1.3e6, "state": 1e6}, name="Lockstitch delta, SQLite", turns=1_000)
    results.add("merging", {"stored": 9e5, "at_once": 1.2e6, "state": 1e6}, name="merged, Postgres", turns=1_000)
    for name, rate in (("merged, Postgres", 96.0), ("not merged, Postgres", 100.0)):
        results.add("merging", {"rate": rate}, name=name, **at)
    results.add("sessions", {"memory": 100.0}, name="SQLite", sessions=1_000)
    results.add("sessions", {"memory": 120.0}, name="SQLite", sessions=100_000)
    merging = [(0.9, "yes"), (1.2, "yes"), (0.96, "yes")]
    measured = [(round(goal.figure, 3), goal.reached) for goal in goals(results) if goal.figure is not None]
    assert measured == [(0.8, "yes"), (2.5, "no"), (0.667, "no"), (0.929, "yes"), *merging, (1.2, "no")]


def test_gains_are_told_both_ways(results: "Results") -> None:
    from benchmarks.report.gains import gains, gains_table

    assert gains_table(results) == ""
    for name, rate in (("AsyncSqliteSaver", 100.0), ("Python client, SQLite", 250.0)):
        results.add("client", {"rate": rate}, name=name, state_bytes=2048)
    for name, wall in (("AsyncPostgresSaver", 1.0), ("LockstitchSaver, Postgres", 2.0)):
        results.add("graph", {"wall": wall}, name=name, turns=200)
    for name, stored in (("AsyncSqliteSaver", 500e6), ("Lockstitch delta, SQLite", 1e6)):
        results.add("growth", {"stored": stored}, name=name, turns=1_000)
    for name, load in (("SQLiteCheckpointer", 1.0), ("LockstitchCheckpointer, SQLite", 4.0)):
        results.add("weavegraph", {"load": load}, name=name, shape="small")
    assert [(gain.than, gain.factor) for gain in gains(results)] == [
        ("AsyncSqliteSaver", "2.5"),  # more saves a second are better
        ("AsyncSqliteSaver", "500"),
        ("AsyncPostgresSaver", "0.5"),  # more seconds are worse
        ("SQLiteCheckpointer", "0.25"),
    ]
