//! The contract's calls: their paths, and what goes in and comes out.

use std::marker::PhantomData;

use prost::Message;

use crate::proto::*;

/// A call that takes a `Q` and gives one or many `A`.
pub(crate) struct Rpc<Q, A> {
    pub(crate) path: &'static str,
    types: PhantomData<fn(Q) -> A>,
}

impl<Q, A> Clone for Rpc<Q, A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Q, A> Copy for Rpc<Q, A> {}

const fn rpc<Q, A>(path: &'static str) -> Rpc<Q, A> {
    Rpc { path, types: PhantomData }
}

macro_rules! rpcs {
    ($service:literal: $($constant:ident = $name:literal($request:ty) -> $answer:ty;)*) => {
        $(pub(crate) const $constant: Rpc<$request, $answer> = rpc(concat!("/", $service, "/", $name));)*
    };
}

rpcs! { "lockstitch.v1.CheckpointService":
    SAVE = "Save"(SaveRequest) -> SaveResponse;
    SAVE_STREAM = "SaveStream"(SaveStreamRequest) -> SaveStreamResponse;
    SAVE_WRITES = "SaveWrites"(SaveWritesRequest) -> SaveWritesResponse;
    LOAD_LATEST = "LoadLatest"(LoadLatestRequest) -> LoadLatestResponse;
    LOAD = "Load"(LoadRequest) -> LoadResponse;
    LOAD_LATEST_STREAM = "LoadLatestStream"(LoadLatestStreamRequest) -> LoadLatestStreamResponse;
    LIST_SESSIONS = "ListSessions"(ListSessionsRequest) -> ListSessionsResponse;
    LIST_CHECKPOINTS = "ListCheckpoints"(ListCheckpointsRequest) -> ListCheckpointsResponse;
    WALK_ANCESTORS = "WalkAncestors"(WalkAncestorsRequest) -> WalkAncestorsResponse;
}

rpcs! { "lockstitch.v1.SessionService":
    GET_SESSION = "GetSession"(GetSessionRequest) -> GetSessionResponse;
    UPDATE_SESSION = "UpdateSession"(UpdateSessionRequest) -> UpdateSessionResponse;
    DELETE_SESSIONS = "DeleteSessions"(DeleteSessionsRequest) -> DeleteSessionsResponse;
    DELETE_CHECKPOINTS = "DeleteCheckpoints"(DeleteCheckpointsRequest) -> DeleteCheckpointsResponse;
    COPY_SESSION = "CopySession"(CopySessionRequest) -> CopySessionResponse;
    PRUNE_SESSIONS = "PruneSessions"(PruneSessionsRequest) -> PruneSessionsResponse;
    WATCH_SESSION = "WatchSession"(WatchSessionRequest) -> WatchSessionResponse;
    ACQUIRE_LEASE = "AcquireLease"(AcquireLeaseRequest) -> AcquireLeaseResponse;
    RENEW_LEASE = "RenewLease"(RenewLeaseRequest) -> RenewLeaseResponse;
    RELEASE_LEASE = "ReleaseLease"(ReleaseLeaseRequest) -> ReleaseLeaseResponse;
    BREAK_LEASE = "BreakLease"(BreakLeaseRequest) -> BreakLeaseResponse;
}

rpcs! { "grpc.health.v1.Health":
    HEALTH = "Check"(HealthRequest) -> HealthAnswer;
}

/// grpc.health.v1.HealthCheckRequest on the wire.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct HealthRequest {
    #[prost(string, tag = "1")]
    service: String,
}

/// grpc.health.v1.HealthCheckResponse on the wire.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct HealthAnswer {
    #[prost(int32, tag = "1")]
    status: i32,
}

impl HealthAnswer {
    pub(crate) fn is_serving(&self) -> bool {
        self.status == 1
    }
}
