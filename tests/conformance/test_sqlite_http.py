"""The conformance suite on a SQLite file, over the HTTP door, in native gRPC."""

import pytest

from tests.conformance import suite
from tests.conformance.suite import *  # noqa: F403

BACKEND, TRANSPORT = "sqlite", "http"
EDGE = True
pytestmark = [suite.pytestmark, pytest.mark.slow]  # type: ignore[assignment]  # one more mark than the suite has
