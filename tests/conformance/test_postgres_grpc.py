"""The conformance suite on Postgres, over gRPC. Slow: the store is that of the raw suite, the way that of SQLite's."""

import pytest

from tests.conformance import suite
from tests.conformance.suite import *  # noqa: F403

BACKEND, TRANSPORT = "postgres", "grpc"
pytestmark = [suite.pytestmark, pytest.mark.slow]  # type: ignore[assignment]  # one more mark than the suite has
