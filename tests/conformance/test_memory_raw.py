"""The conformance suite on memory, in this process."""

from tests.conformance.suite import *  # noqa: F403

BACKEND, TRANSPORT = "memory", "raw"
