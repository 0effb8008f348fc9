"""The calls of the contract, as data: a path, how a request is encoded and how an answer is decoded."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from lockstitch.v1 import checkpoint_service_pb2 as pb
from lockstitch.v1 import session_service_pb2 as sessions_pb

SERVICE = "lockstitch.v1.CheckpointService"
SESSION_SERVICE = "lockstitch.v1.SessionService"

Request = TypeVar("Request")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Rpc(Generic[Request, Answer]):
    """One method of a gRPC service, with one answer or a stream of them."""

    path: str
    encode: Callable[[Request], bytes]
    decode: Callable[[bytes], Answer]


SAVE = Rpc(f"/{SERVICE}/Save", bytes, pb.SaveResponse.FromString)
"""Takes requests that are serialized already."""
SAVE_STREAM = f"/{SERVICE}/SaveStream"
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

GET_SESSION = Rpc(
    f"/{SESSION_SERVICE}/GetSession",
    sessions_pb.GetSessionRequest.SerializeToString,
    sessions_pb.GetSessionResponse.FromString,
)
UPDATE_SESSION = Rpc(
    f"/{SESSION_SERVICE}/UpdateSession",
    sessions_pb.UpdateSessionRequest.SerializeToString,
    sessions_pb.UpdateSessionResponse.FromString,
)
DELETE_SESSIONS = Rpc(
    f"/{SESSION_SERVICE}/DeleteSessions",
    sessions_pb.DeleteSessionsRequest.SerializeToString,
    sessions_pb.DeleteSessionsResponse.FromString,
)
DELETE_CHECKPOINTS = Rpc(
    f"/{SESSION_SERVICE}/DeleteCheckpoints",
    sessions_pb.DeleteCheckpointsRequest.SerializeToString,
    sessions_pb.DeleteCheckpointsResponse.FromString,
)
COPY_SESSION = Rpc(
    f"/{SESSION_SERVICE}/CopySession",
    sessions_pb.CopySessionRequest.SerializeToString,
    sessions_pb.CopySessionResponse.FromString,
)
PRUNE_SESSIONS = Rpc(
    f"/{SESSION_SERVICE}/PruneSessions",
    sessions_pb.PruneSessionsRequest.SerializeToString,
    sessions_pb.PruneSessionsResponse.FromString,
)
WATCH_SESSION = Rpc(
    f"/{SESSION_SERVICE}/WatchSession",
    sessions_pb.WatchSessionRequest.SerializeToString,
    sessions_pb.WatchSessionResponse.FromString,
)
ACQUIRE_LEASE = Rpc(
    f"/{SESSION_SERVICE}/AcquireLease",
    sessions_pb.AcquireLeaseRequest.SerializeToString,
    sessions_pb.AcquireLeaseResponse.FromString,
)
RENEW_LEASE = Rpc(
    f"/{SESSION_SERVICE}/RenewLease",
    sessions_pb.RenewLeaseRequest.SerializeToString,
    sessions_pb.RenewLeaseResponse.FromString,
)
RELEASE_LEASE = Rpc(
    f"/{SESSION_SERVICE}/ReleaseLease",
    sessions_pb.ReleaseLeaseRequest.SerializeToString,
    sessions_pb.ReleaseLeaseResponse.FromString,
)
BREAK_LEASE = Rpc(
    f"/{SESSION_SERVICE}/BreakLease",
    sessions_pb.BreakLeaseRequest.SerializeToString,
    sessions_pb.BreakLeaseResponse.FromString,
)

# gRPC's standard health check, in raw bytes: its generated code is a package of its own, which a client can do without.
HEALTH_CHECK = Rpc("/grpc.health.v1.Health/Check", bytes, bytes)
SERVING = b"\x08\x01"
"""A HealthCheckResponse whose status is SERVING."""
