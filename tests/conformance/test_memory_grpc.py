"""The conformance suite on memory, over gRPC."""

from tests.conformance.suite import *  # noqa: F403

BACKEND, TRANSPORT = "memory", "grpc"
