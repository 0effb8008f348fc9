"""The conformance suite on Postgres, over the HTTP door: the parts that depend most on how messages travel.

The whole suite passes, too, and takes minutes: `from tests.conformance.suite import *` runs it. Each of its other parts
runs over this door on SQLite, and on Postgres over gRPC.
"""

import pytest

from tests.conformance import suite
from tests.conformance.suite import (
    TestCopySession,
    TestExpectedLatest,
    TestLeases,
    TestLoad,
    TestLoadLatest,
    TestLoadLatestStream,
    TestSave,
    TestSaveStream,
    TestSaveStreamOrder,
    TestWatchSession,
    target,
)

__all__ = [
    "TestCopySession",
    "TestExpectedLatest",
    "TestLeases",
    "TestLoad",
    "TestLoadLatest",
    "TestLoadLatestStream",
    "TestSave",
    "TestSaveStream",
    "TestSaveStreamOrder",
    "TestWatchSession",
    "target",
]

BACKEND, TRANSPORT = "postgres", "http"
pytestmark = [suite.pytestmark, pytest.mark.slow]
