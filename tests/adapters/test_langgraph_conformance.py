"""LangGraph's own conformance suite, all of it."""

from langgraph.checkpoint.conformance.report import CapabilityReport

from tests.adapters.conformance import check
from tests.support.server import LockstitchServer

TESTS = {
    "put": 17,
    "put_writes": 10,
    "get_tuple": 10,
    "list": 16,
    "delete_thread": 5,
    "delete_for_runs": 7,
    "copy_thread": 8,
    "prune": 8,
}


def assert_all_passed(report: CapabilityReport) -> None:
    failures = {name: result.failures for name, result in report.results.items() if result.failures}
    assert failures == {}
    assert {name for name, result in report.results.items() if result.detected} == set(TESTS)
    assert {name: result.tests_passed for name, result in report.results.items()} == TESTS
    assert sum(result.tests_passed for result in report.results.values()) == 81
    assert [result.tests_failed + result.tests_skipped for result in report.results.values()] == [0] * 8
    assert report.passed_all_base()
    assert report.passed_all()


async def test_the_whole_suite_passes_on_sqlite(sqlite_server: LockstitchServer) -> None:
    assert_all_passed(await check(sqlite_server.target))


async def test_the_whole_suite_passes_on_postgres(postgres_server: LockstitchServer) -> None:
    assert_all_passed(await check(postgres_server.target))
