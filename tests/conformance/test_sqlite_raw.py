"""The conformance suite on a SQLite file, in this process."""

from tests.conformance.suite import *  # noqa: F403

BACKEND, TRANSPORT = "sqlite", "raw"
EDGE = True
