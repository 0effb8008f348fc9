"""The conformance suite on a SQLite file, over gRPC."""

from tests.conformance.suite import *  # noqa: F403

BACKEND, TRANSPORT = "sqlite", "grpc"
EDGE = True
