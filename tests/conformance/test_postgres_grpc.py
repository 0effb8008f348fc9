"""The conformance suite on Postgres, over gRPC."""

from tests.conformance.suite import *  # noqa: F403

BACKEND, TRANSPORT = "postgres", "grpc"
