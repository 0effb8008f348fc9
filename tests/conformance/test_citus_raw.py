"""The conformance suite on a distributed database, in this process, where somebody has a Citus for it."""

import pytest

from tests.conformance import suite
from tests.conformance.suite import *  # noqa: F403
from tests.support.citus import require_citus

require_citus()
BACKEND, TRANSPORT = "citus", "raw"
SECONDS = 1800
"""For a test and what follows it: after the last one, all sessions are checked, statement by statement."""
pytestmark = [suite.pytestmark, pytest.mark.timeout(SECONDS)]  # type: ignore[assignment]  # more marks
