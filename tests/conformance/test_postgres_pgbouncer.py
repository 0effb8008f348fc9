"""The conformance suite on Postgres behind PgBouncer in transaction mode, in this process."""

import pytest

from tests.conformance import suite
from tests.conformance.suite import *  # noqa: F403

BACKEND, TRANSPORT = "pgbouncer", "raw"
pytestmark = [suite.pytestmark, pytest.mark.slow]  # type: ignore[assignment]  # one more mark than the suite has
