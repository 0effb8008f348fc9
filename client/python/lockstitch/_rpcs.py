"""The calls of the contract, as data: a path, how a request is encoded and how an answer is decoded."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from lockstitch.v1 import checkpoint_service_pb2 as pb

SERVICE = "lockstitch.v1.CheckpointService"

Request = TypeVar("Request")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Rpc(Generic[Request, Answer]):
    """One method of a gRPC service, with one answer or a stream of them."""

    path: str
    encode: Callable[[Request], bytes]
    decode: Callable[[bytes], Answer]


SAVE = Rpc(f"/{SERVICE}/Save", pb.SaveRequest.SerializeToString, pb.SaveResponse.FromString)
SAVE_WRITES = Rpc(f"/{SERVICE}/SaveWrites", pb.SaveWritesRequest.SerializeToString, pb.SaveWritesResponse.FromString)
LOAD = Rpc(f"/{SERVICE}/Load", pb.LoadRequest.SerializeToString, pb.LoadResponse.FromString)
LOAD_LATEST = Rpc(f"/{SERVICE}/LoadLatest", pb.LoadLatestRequest.SerializeToString, pb.LoadLatestResponse.FromString)
LOAD_LATEST_STREAM = Rpc(
    f"/{SERVICE}/LoadLatestStream",
    pb.LoadLatestStreamRequest.SerializeToString,
    pb.LoadLatestStreamResponse.FromString,
)
LIST_SESSIONS = Rpc(
    f"/{SERVICE}/ListSessions", pb.ListSessionsRequest.SerializeToString, pb.ListSessionsResponse.FromString
)
LIST_CHECKPOINTS = Rpc(
    f"/{SERVICE}/ListCheckpoints", pb.ListCheckpointsRequest.SerializeToString, pb.ListCheckpointsResponse.FromString
)
WALK_ANCESTORS = Rpc(
    f"/{SERVICE}/WalkAncestors", pb.WalkAncestorsRequest.SerializeToString, pb.WalkAncestorsResponse.FromString
)

# gRPC's standard health check, in raw bytes: its generated code is a package of its own, which a client can do without.
HEALTH_CHECK = Rpc("/grpc.health.v1.Health/Check", bytes, bytes)
SERVING = b"\x08\x01"
"""A HealthCheckResponse whose status is SERVING."""
