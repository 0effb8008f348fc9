"""What differs on a distributed database, in this process, on a Postgres of one node that has its schema.

test_citus_raw.py runs the whole suite on a real one.
"""

import pytest

from tests.conformance.suite import (
    TestCopySession,
    TestDamage,
    TestDelta,
    TestExpired,
    TestFilters,
    TestLargeExpired,
    TestLeases,
    TestListCheckpoints,
    TestListSessions,
    TestPruneSessions,
    TestRewind,
    TestSave,
    TestTotal,
    TestWatchSession,
    TestWrites,
    expired_sessions,
    large_expired_sessions,
    target,
)

__all__ = [
    "TestCopySession",
    "TestDamage",
    "TestDelta",
    "TestExpired",
    "TestFilters",
    "TestLargeExpired",
    "TestLeases",
    "TestListCheckpoints",
    "TestListSessions",
    "TestPruneSessions",
    "TestRewind",
    "TestSave",
    "TestTotal",
    "TestWatchSession",
    "TestWrites",
    "expired_sessions",
    "large_expired_sessions",
    "target",
]
BACKEND, TRANSPORT = "buckets", "raw"
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]
