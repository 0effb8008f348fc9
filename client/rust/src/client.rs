//! What a client can do.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use futures_util::stream::BoxStream;
use prost::Message;

use crate::{
    Builder, Error, Lease, Listed, lease,
    limiter::Limiter,
    memory::Memory,
    observing::Hooks,
    paging,
    retry::{Attempts, Deadline, RetryPolicy},
    rpcs::{self, Rpc},
    save_ids::SaveIds,
    save_streams::SaveStreams,
    saving, streams,
    transport::Transport,
    turns::Turns,
    v1::*,
};

const POLL: Duration = Duration::from_millis(100);

/// A stream of results.
pub type Stream<T> = BoxStream<'static, Result<T, Error>>;

/// A client of a Lockstitch server. Cheap to clone; all clones share the connection and what they remember.
///
/// The first call connects, and fails with UNAVAILABLE within the [connect timeout](Builder::connect_timeout) where there is
/// no server; [`wait_ready`](Self::wait_ready) waits for one that has yet to start. Once the client has been connected, calls
/// wait for a server that is away, and are repeated, for as long as the timeout. They need a Tokio runtime.
#[derive(Clone)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
    pub(crate) timeout: Duration,
}

pub(crate) struct Shared {
    pub(crate) transport: Arc<Transport>,
    pub(crate) retry: Option<RetryPolicy>,
    pub(crate) memory: Option<Memory>,
    pub(crate) streams: Option<SaveStreams>,
    pub(crate) limiter: Limiter,
    pub(crate) turns: Turns,
    pub(crate) save_ids: SaveIds,
    pub(crate) hooks: Hooks,
    pub(crate) saving: Arc<AtomicUsize>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Client {
    /// A client with the usual settings. The connection is made by its first call.
    ///
    /// target: `host:port`, `dns:///host:port`, `http://host:port`, `https://host:port`, or `unix:///path/of/socket`.
    pub fn connect(target: impl Into<String>) -> Result<Self, Error> {
        Self::builder(target).build()
    }

    /// Settings for a client of this target; see [`connect`](Self::connect).
    pub fn builder(target: impl Into<String>) -> Builder {
        Builder::new(target.into())
    }

    /// The same client with another timeout.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self { shared: Arc::clone(&self.shared), timeout }
    }

    /// Wait until the server says that it is ready to work.
    pub async fn wait_ready(&self) -> Result<(), Error> {
        let deadline = self.deadline();
        loop {
            let answer = self.call(rpcs::HEALTH, &rpcs::HealthRequest::default(), deadline).await;
            match answer {
                Ok(answer) if answer.is_serving() => return Ok(()),
                Err(error) if error.code() == tonic::Code::Unimplemented => return Ok(()), // but it answers
                Err(error) if !error.is_retryable() => return Err(error),
                fault if deadline.remaining() < POLL => return Err(Error::deadline(self.timeout, fault.err())),
                _ => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// Store a checkpoint; when this returns, it is durable.
    ///
    /// Takes a [`Checkpoint`], or a [`SaveRequest`] made from one to say more. Where the client remembers the session's
    /// last save, only what changed since is sent. Saving the same content again changes nothing. Saves of one session
    /// are sent in the order in which their futures are first polled, as that of the arguments of `join!`.
    ///
    /// A save that was given up cannot overwrite the one that was made in its place: where it reaches the server later, it
    /// fails with [`ErrorReason::Superseded`].
    pub async fn save(&self, request: impl Into<SaveRequest>) -> Result<SaveResponse, Error> {
        saving::save(&self.shared, &self.shared.save_ids, request.into(), self.deadline(), false).await
    }

    /// Store a checkpoint, over a stream that is shared with other saves, even if there are none at the moment.
    ///
    /// [`save`](Self::save) takes a stream by itself where saves are concurrent.
    pub async fn save_streamed(&self, request: impl Into<SaveRequest>) -> Result<SaveResponse, Error> {
        saving::save(&self.shared, &self.shared.save_ids, request.into(), self.deadline(), true).await
    }

    /// Store pending writes of a checkpoint, all of them or none. The checkpoint need not exist yet.
    pub async fn save_writes(&self, request: SaveWritesRequest) -> Result<SaveWritesResponse, Error> {
        self.call(rpcs::SAVE_WRITES, &request, self.deadline()).await
    }

    /// Load the latest checkpoint of a session, the one with the greatest id, and its pending writes.
    ///
    /// Takes a session id or a request. No such session is no error: then `checkpoint` is `None`.
    pub async fn load_latest(&self, request: impl Into<LoadLatestRequest>) -> Result<LoadLatestResponse, Error> {
        self.call(rpcs::LOAD_LATEST, &request.into(), self.deadline()).await
    }

    /// Load one checkpoint and its pending writes; see [`LoadRequest::step`] and [`LoadRequest::id`].
    pub async fn load(&self, request: LoadRequest) -> Result<LoadResponse, Error> {
        self.call(rpcs::LOAD, &request, self.deadline()).await
    }

    /// Load the latest checkpoints of many sessions, one answer each, in any order: for a fleet that restarts.
    ///
    /// The outer result is the stream's, the inner one the session's, so that an error is never taken for no checkpoint.
    pub fn load_latest_many<R: Into<LoadLatestRequest>>(
        &self,
        requests: impl IntoIterator<Item = R>,
    ) -> Stream<(LoadLatestRequest, Result<LoadLatestResponse, Error>)> {
        streams::load_latest_many(self.clone(), requests.into_iter().map(Into::into).collect())
    }

    /// Go back along `parent_id`, nearest ancestor first, without the checkpoint itself.
    pub fn walk_ancestors(&self, request: impl Into<WalkAncestorsRequest>) -> Stream<WalkAncestorsResponse> {
        streams::walk_ancestors(self.clone(), request.into())
    }

    /// List sessions that have at least one checkpoint. Pages are fetched as the stream is read.
    pub fn list_sessions(&self, request: impl Into<ListSessionsRequest>) -> Stream<SessionSummary> {
        paging::sessions(self.clone(), request.into())
    }

    /// One page of sessions, and the token of the next.
    pub async fn list_sessions_page(&self, request: ListSessionsRequest) -> Result<ListSessionsResponse, Error> {
        self.call(rpcs::LIST_SESSIONS, &request, self.deadline()).await
    }

    /// List checkpoints, newest first; takes a session id or a request. Pages are fetched as the stream is read.
    pub fn list_checkpoints(&self, request: impl Into<ListCheckpointsRequest>) -> Stream<Listed> {
        paging::checkpoints(self.clone(), request.into())
    }

    /// One page of checkpoints, and the token of the next.
    pub async fn list_checkpoints_page(
        &self,
        request: ListCheckpointsRequest,
    ) -> Result<ListCheckpointsResponse, Error> {
        self.call(rpcs::LIST_CHECKPOINTS, &request, self.deadline()).await
    }

    /// A session with its settings.
    pub async fn get_session(&self, session_id: impl Into<String>) -> Result<GetSessionResponse, Error> {
        let request = GetSessionRequest { session_id: session_id.into() };
        self.call(rpcs::GET_SESSION, &request, self.deadline()).await
    }

    /// Change labels, expiry or retention of a session. What the request does not name stays.
    pub async fn update_session(&self, request: UpdateSessionRequest) -> Result<UpdateSessionResponse, Error> {
        self.call(rpcs::UPDATE_SESSION, &request, self.deadline()).await
    }

    /// Delete sessions with all they have, and keep later saves from bringing them back.
    pub async fn delete_sessions(&self, request: DeleteSessionsRequest) -> Result<DeleteSessionsResponse, Error> {
        self.call(rpcs::DELETE_SESSIONS, &request, self.deadline()).await
    }

    /// Delete some checkpoints: those after one (a rewind), or those with given metadata.
    pub async fn delete_checkpoints(
        &self,
        request: DeleteCheckpointsRequest,
    ) -> Result<DeleteCheckpointsResponse, Error> {
        self.call(rpcs::DELETE_CHECKPOINTS, &request, self.deadline()).await
    }

    /// Delete all checkpoints of a session, in all namespaces, that came after a step: the session goes on from there.
    ///
    /// ```no_run
    /// # async fn run(client: lockstitch::Client) -> Result<(), lockstitch::Error> {
    /// println!("{} deleted", client.rewind("order-4711", 3).await?.deleted);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn rewind(&self, session_id: impl Into<String>, step: u64) -> Result<DeleteCheckpointsResponse, Error> {
        self.delete_checkpoints(DeleteCheckpointsRequest::after(session_id, step)).await
    }

    /// Copy a session, or its beginning up to a checkpoint, into a new one. No payload leaves the database.
    pub async fn copy_session(&self, request: CopySessionRequest) -> Result<CopySessionResponse, Error> {
        self.call(rpcs::COPY_SESSION, &request, self.deadline()).await
    }

    /// Delete old checkpoints of sessions, page by page; the sum of all pages.
    pub async fn prune_sessions(&self, request: PruneSessionsRequest) -> Result<PruneSessionsResponse, Error> {
        paging::prune(self, request).await
    }

    /// Follow a session; takes a session id or a request. Where the call breaks off, it goes on after the last event.
    /// Heartbeats are given, too. The stream has no end of its own: drop it.
    pub fn watch_session(&self, request: impl Into<WatchSessionRequest>) -> Stream<WatchSessionResponse> {
        streams::watch_session(self.clone(), request.into())
    }

    /// Take the lease of a session and keep it, renewing it in the background, until it is released or dropped.
    ///
    /// holder: a readable name, such as host and process, which others are shown. It need not be unique.
    /// ttl: how long it outlives this process; `None`: the server's default.
    pub async fn hold_lease(
        &self,
        session_id: impl Into<String>,
        holder: impl Into<String>,
        ttl: impl Into<Option<Duration>>,
    ) -> Result<Lease, Error> {
        self.wait_for_lease(session_id, holder, ttl, Duration::ZERO).await
    }

    /// As [`hold_lease`](Self::hold_lease), but wait while another holds the lease, for this long. Then it fails with
    /// [`ErrorReason::LeaseHeld`].
    ///
    /// ```no_run
    /// # async fn run(client: lockstitch::Client) -> Result<(), lockstitch::Error> {
    /// use std::time::Duration;
    /// let lease = client.wait_for_lease("order-42", "worker-1", None, Duration::from_secs(60)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn wait_for_lease(
        &self,
        session_id: impl Into<String>,
        holder: impl Into<String>,
        ttl: impl Into<Option<Duration>>,
        wait: Duration,
    ) -> Result<Lease, Error> {
        Lease::acquire(self.clone(), session_id.into(), holder.into(), ttl.into(), wait).await
    }

    /// Take a lease once. [`hold_lease`](Self::hold_lease) also renews it.
    ///
    /// A request without an `acquisition_id` gets a random one: while its lease lasts, any other call is refused, even
    /// one with the same holder.
    pub async fn acquire_lease(&self, mut request: AcquireLeaseRequest) -> Result<AcquireLeaseResponse, Error> {
        if request.acquisition_id.is_empty() {
            request.acquisition_id = lease::random_id();
        }
        self.call(rpcs::ACQUIRE_LEASE, &request, self.deadline()).await
    }

    /// Prolong a lease that is live.
    pub async fn renew_lease(&self, request: RenewLeaseRequest) -> Result<RenewLeaseResponse, Error> {
        self.call(rpcs::RENEW_LEASE, &request, self.deadline()).await
    }

    /// Give a lease back.
    pub async fn release_lease(&self, request: ReleaseLeaseRequest) -> Result<ReleaseLeaseResponse, Error> {
        self.call(rpcs::RELEASE_LEASE, &request, self.deadline()).await
    }

    /// End the live lease of a session, whoever holds it, such as a holder that hangs. Needs the right `admin`.
    pub async fn break_lease(&self, request: BreakLeaseRequest) -> Result<BreakLeaseResponse, Error> {
        self.call(rpcs::BREAK_LEASE, &request, self.deadline()).await
    }

    pub(crate) fn deadline(&self) -> Deadline {
        Deadline::after(self.timeout)
    }

    pub(crate) async fn call<Q: Message, A: Message + Default + 'static>(
        &self,
        rpc: Rpc<Q, A>,
        request: &Q,
        deadline: Deadline,
    ) -> Result<A, Error> {
        let call = self.shared.call(rpc.path, request.encode_to_vec().into(), deadline);
        self.shared.hooks.observed(rpc.path, call).await
    }
}

impl Shared {
    /// Return when there is a connection, or has ever been one; see [`Builder::connect_timeout`].
    pub(crate) async fn first_connection(&self, deadline: Deadline) -> Result<(), Error> {
        self.transport.first_connection(deadline, self.retry.is_some()).await
    }

    /// One answer, over as many attempts as it takes and there is time for.
    pub(crate) async fn call<A: Message + Default + 'static>(
        &self,
        path: &'static str,
        body: bytes::Bytes,
        deadline: Deadline,
    ) -> Result<A, Error> {
        if path != rpcs::HEALTH.path {
            self.first_connection(deadline).await?;
        }
        let mut attempts = Attempts::new(self.retry, deadline);
        let mut fault = None;
        loop {
            match self.transport.unary(path, vec![body.clone()].into(), deadline).await {
                Ok(answer) => {
                    if path == rpcs::HEALTH.path {
                        self.transport.answered().await;
                    }
                    return Ok(answer);
                }
                Err(error) if error.code() == tonic::Code::DeadlineExceeded => {
                    return Err(match fault {
                        Some(fault) => Error::deadline(deadline.timeout, Some(fault)),
                        None => error,
                    });
                }
                Err(error) => {
                    fault = Some(error.clone());
                    attempts.pause(error).await?;
                }
            }
        }
    }
}
