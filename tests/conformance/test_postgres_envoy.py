"""The conformance suite on two replicas over Postgres, through Envoy."""

import pytest

from tests.conformance import suite
from tests.conformance.suite import *  # noqa: F403

BACKEND, TRANSPORT = "postgres", "envoy"
pytestmark = [suite.pytestmark, pytest.mark.slow]  # type: ignore[assignment]  # one more mark than the suite has
