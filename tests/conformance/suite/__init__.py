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
from tests.conformance.suite.damage import TestDamage
from tests.conformance.suite.delta import TestDelta, TestDeltaThatDoesNotFit
from tests.conformance.suite.exactness import TestExactness
from tests.conformance.suite.expected import TestExpectedLatest, TestLeaseToken
from tests.conformance.suite.expiry import TestExpired, TestExpiry, expired_sessions
from tests.conformance.suite.limits import TestTooLarge, TestTooMany
from tests.conformance.suite.load import TestLoad, TestLoadLatest, TestView
from tests.conformance.suite.paging import TestPaging
from tests.conformance.suite.save import TestSave, TestSaveAgain
from tests.conformance.suite.sessions import TestListSessions
from tests.conformance.suite.stream import TestLoadLatestStream
from tests.conformance.suite.validation import (
    TestIds,
    TestJson,
    TestMalformed,
    TestOtherRequests,
    TestSaveRequest,
)
from tests.conformance.suite.writes import TestWrites, TestWritesOfASave

pytestmark = pytest.mark.asyncio(loop_scope="module")

__all__ = [
    "TestDamage",
    "TestDelta",
    "TestDeltaThatDoesNotFit",
    "TestExactness",
    "TestExpectedLatest",
    "TestExpired",
    "TestExpiry",
    "TestFilters",
    "TestIds",
    "TestJson",
    "TestLeaseToken",
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
    "TestSave",
    "TestSaveAgain",
    "TestSaveRequest",
    "TestTooLarge",
    "TestTooMany",
    "TestTotal",
    "TestView",
    "TestWalkAncestors",
    "TestWalkAncestorsSelection",
    "TestWrites",
    "TestWritesOfASave",
    "expired_sessions",
    "pytestmark",
]
