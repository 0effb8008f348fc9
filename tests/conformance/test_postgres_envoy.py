"""The conformance suite on two replicas over Postgres, through Envoy."""

from tests.conformance.suite import *  # noqa: F403

BACKEND, TRANSPORT = "postgres", "envoy"
