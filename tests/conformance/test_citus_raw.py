"""The conformance suite on a distributed database, in this process: see tests/support/citus.py."""

import pytest

from tests.conformance import suite
from tests.conformance.suite import *  # noqa: F403

BACKEND, TRANSPORT = "citus", "raw"
pytestmark = [suite.pytestmark, pytest.mark.slow]  # type: ignore[assignment]  # one more mark than the suite has
