"""What every backend promises, over every transport. A module that imports all of this runs it: see conftest.py."""

import pytest

from tests.conformance.suite.ancestors import TestWalkAncestors, TestWalkAncestorsSelection
from tests.conformance.suite.checkpoints import (
    TestFilters,
    TestListCheckpoints,
    TestListCheckpointsThatCannotBe,
    TestPageBytes,
    TestTotal,
)
from tests.conformance.suite.copies import TestCopySession, target
from tests.conformance.suite.damage import TestDamage
from tests.conformance.suite.deletion import TestDeleteByMetadata, TestDeleteSessions, TestRewind
from tests.conformance.suite.delta import TestDelta, TestDeltaThatDoesNotFit
from tests.conformance.suite.dependencies import TestDependencies
from tests.conformance.suite.exactness import TestExactness
from tests.conformance.suite.expected import TestExpectedLatest, TestLeaseToken
from tests.conformance.suite.expiry import (
    TestExpired,
    TestExpiry,
    TestLargeExpired,
    expired_sessions,
    large_expired_sessions,
)
from tests.conformance.suite.leases import TestLeases
from tests.conformance.suite.limits import TestTooLarge, TestTooMany
from tests.conformance.suite.load import TestLoad, TestLoadLatest, TestView
from tests.conformance.suite.paging import TestForgedTokens, TestPaging
from tests.conformance.suite.retention import TestPruneSessions
from tests.conformance.suite.save import TestSave, TestSaveAgain
from tests.conformance.suite.save_ids import TestEqualSaves, TestExpectedRevision, TestSaveId
from tests.conformance.suite.save_stream import TestSaveStream, TestSaveStreamOrder
from tests.conformance.suite.sessions import TestListSessions
from tests.conformance.suite.settings import TestGetSession, TestUpdateSession
from tests.conformance.suite.stream import TestLoadLatestStream
from tests.conformance.suite.trace import TestTraceId
from tests.conformance.suite.validation import (
    TestIds,
    TestJson,
    TestMalformed,
    TestOtherRequests,
    TestSaveRequest,
)
from tests.conformance.suite.watch import TestWatchSession
from tests.conformance.suite.writes import TestWrites, TestWritesOfASave

pytestmark = pytest.mark.asyncio(loop_scope="module")

__all__ = [
    "TestCopySession",
    "TestDamage",
    "TestDeleteByMetadata",
    "TestDeleteSessions",
    "TestDelta",
    "TestDeltaThatDoesNotFit",
    "TestDependencies",
    "TestEqualSaves",
    "TestExactness",
    "TestExpectedLatest",
    "TestExpectedRevision",
    "TestExpired",
    "TestExpiry",
    "TestFilters",
    "TestForgedTokens",
    "TestGetSession",
    "TestIds",
    "TestJson",
    "TestLargeExpired",
    "TestLeaseToken",
    "TestLeases",
    "TestListCheckpoints",
    "TestListCheckpointsThatCannotBe",
    "TestListSessions",
    "TestLoad",
    "TestLoadLatest",
    "TestLoadLatestStream",
    "TestMalformed",
    "TestOtherRequests",
    "TestPageBytes",
    "TestPaging",
    "TestPruneSessions",
    "TestRewind",
    "TestSave",
    "TestSaveAgain",
    "TestSaveId",
    "TestSaveRequest",
    "TestSaveStream",
    "TestSaveStreamOrder",
    "TestTooLarge",
    "TestTooMany",
    "TestTotal",
    "TestTraceId",
    "TestUpdateSession",
    "TestView",
    "TestWalkAncestors",
    "TestWalkAncestorsSelection",
    "TestWatchSession",
    "TestWrites",
    "TestWritesOfASave",
    "expired_sessions",
    "large_expired_sessions",
    "pytestmark",
    "target",
]
