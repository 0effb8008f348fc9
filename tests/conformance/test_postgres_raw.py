"""The conformance suite on Postgres, in this process."""

from tests.conformance.suite import *  # noqa: F403

BACKEND, TRANSPORT = "postgres", "raw"
