//! What a client can do.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicUsize},
    time::{Duration, SystemTime},
};

use futures_util::stream::BoxStream;
use prost::Message;

use crate::{
    Ancestor, AncestorQuery, Builder, CheckpointDeletion, CheckpointPage, CheckpointQuery, CopiedSession, CopyOptions,
    DeletedCheckpoints, Error, Latest, LatestOf, LatestQuery, Lease, LeaseGrant, ListedCheckpoint, LoadQuery, Loaded,
    PruneOptions, Pruned, Save, SaveWrites, Saved, SavedWrites, SessionDetails, SessionEvent, SessionPage,
    SessionQuery, SessionSummary, SessionUpdate, Timestamp, WatchQuery, lease,
    limiter::Limiter,
    memory::Memory,
    observing::Hooks,
    paging,
    proto::{
        AcquireLeaseRequest, BreakLeaseRequest, BreakLeaseResponse, CopySessionRequest, DeleteSessionsRequest,
        DeleteSessionsResponse, GetSessionRequest, ReleaseLeaseRequest, ReleaseLeaseResponse, RenewLeaseRequest,
        UpdateSessionRequest, UpdateSessionResponse,
    },
    results::required,
    retry::{Attempts, Deadline, RetryPolicy},
    rpcs::{self, Rpc},
    save_ids::SaveIds,
    save_streams::SaveStreams,
    saving, streams,
    times::proto_duration,
    transport::Transport,
    turns::Turns,
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
    /// Takes a [`Checkpoint`](crate::Checkpoint), or a [`Save`] made from one to say more. Where the client remembers the session's
    /// last save, only what changed since is sent. Saving the same content again changes nothing. Saves of one session
    /// are sent in the order in which their futures are first polled, as that of the arguments of `join!`.
    ///
    /// A save that was given up cannot overwrite the one that was made in its place: where it reaches the server later, it
    /// fails with [`ErrorReason::Superseded`](crate::ErrorReason::Superseded).
    pub async fn save(&self, save: impl Into<Save>) -> Result<Saved, Error> {
        let Save(request) = save.into();
        let saved = saving::save(&self.shared, &self.shared.save_ids, request, self.deadline(), false).await?;
        Ok(Saved::of(saved))
    }

    /// Store a checkpoint, over a stream that is shared with other saves, even if there are none at the moment.
    ///
    /// [`save`](Self::save) takes a stream by itself where saves are concurrent.
    pub async fn save_streamed(&self, save: impl Into<Save>) -> Result<Saved, Error> {
        let Save(request) = save.into();
        let saved = saving::save(&self.shared, &self.shared.save_ids, request, self.deadline(), true).await?;
        Ok(Saved::of(saved))
    }

    /// Store pending writes of a checkpoint, all of them or none. The checkpoint need not exist yet.
    pub async fn save_writes(&self, save: SaveWrites) -> Result<SavedWrites, Error> {
        Ok(SavedWrites::of(self.call(rpcs::SAVE_WRITES, &save.0, self.deadline()).await?))
    }

    /// Load the latest checkpoint of a session, the one with the greatest id, and its pending writes.
    ///
    /// Takes a session id or a query. No such session is no error: then `checkpoint` is `None`.
    pub async fn load_latest(&self, query: impl Into<LatestQuery>) -> Result<Latest, Error> {
        Ok(Latest::of(self.call(rpcs::LOAD_LATEST, &query.into().0, self.deadline()).await?))
    }

    /// Load one checkpoint and its pending writes; see [`LoadQuery::step`] and [`LoadQuery::id`].
    pub async fn load(&self, query: LoadQuery) -> Result<Loaded, Error> {
        Loaded::of(self.call(rpcs::LOAD, &query.0, self.deadline()).await?)
    }

    /// Load the latest checkpoints of many sessions, one result each, in any order: for a fleet that restarts.
    ///
    /// The stream has errors of its own, beside each session's result, so that an error is never taken for no checkpoint.
    pub fn load_latest_many<Q: Into<LatestQuery>>(&self, queries: impl IntoIterator<Item = Q>) -> Stream<LatestOf> {
        streams::load_latest_many(self.clone(), queries.into_iter().map(|query| query.into().0).collect())
    }

    /// Go back along `parent_id`, nearest ancestor first, without the checkpoint itself.
    pub fn walk_ancestors(&self, query: impl Into<AncestorQuery>) -> Stream<Ancestor> {
        streams::walk_ancestors(self.clone(), query.into().0)
    }

    /// List sessions that have at least one checkpoint. Pages are fetched as the stream is read.
    pub fn list_sessions(&self, query: SessionQuery) -> Stream<SessionSummary> {
        paging::sessions(self.clone(), query)
    }

    /// One page of sessions, and the token of the next.
    pub async fn list_sessions_page(&self, query: SessionQuery) -> Result<SessionPage, Error> {
        Ok(SessionPage::of(self.call(rpcs::LIST_SESSIONS, &query.0, self.deadline()).await?))
    }

    /// List checkpoints, newest first; takes a session id or a query. Pages are fetched as the stream is read.
    pub fn list_checkpoints(&self, query: impl Into<CheckpointQuery>) -> Stream<ListedCheckpoint> {
        paging::checkpoints(self.clone(), query.into())
    }

    /// One page of checkpoints, and the token of the next.
    pub async fn list_checkpoints_page(&self, query: impl Into<CheckpointQuery>) -> Result<CheckpointPage, Error> {
        Ok(CheckpointPage::of(self.call(rpcs::LIST_CHECKPOINTS, &query.into().0, self.deadline()).await?))
    }

    /// A session with its settings.
    pub async fn get_session(&self, session_id: impl Into<String>) -> Result<SessionDetails, Error> {
        let request = GetSessionRequest { session_id: session_id.into() };
        SessionDetails::of(self.call(rpcs::GET_SESSION, &request, self.deadline()).await?)
    }

    /// Change labels, expiry or retention of a session. What the update does not name stays.
    pub async fn update_session(
        &self,
        session_id: impl Into<String>,
        update: SessionUpdate,
    ) -> Result<SessionDetails, Error> {
        let request = UpdateSessionRequest { session_id: session_id.into(), ..update.0 };
        let UpdateSessionResponse { session } = self.call(rpcs::UPDATE_SESSION, &request, self.deadline()).await?;
        SessionDetails::of(required(session)?)
    }

    /// Delete sessions with all they have. Returns how many existed.
    ///
    /// tombstone: for how long later saves cannot bring them back; `None`: the server's default.
    pub async fn delete_sessions(
        &self,
        session_ids: impl IntoIterator<Item = impl Into<String>>,
        tombstone: impl Into<Option<Duration>>,
    ) -> Result<u32, Error> {
        let session_ids = session_ids.into_iter().map(Into::into).collect();
        let request = DeleteSessionsRequest { session_ids, tombstone: tombstone.into().map(proto_duration) };
        let DeleteSessionsResponse { deleted } = self.call(rpcs::DELETE_SESSIONS, &request, self.deadline()).await?;
        Ok(deleted)
    }

    /// Delete some checkpoints of a session: those after one (a rewind), or those with given metadata.
    pub async fn delete_checkpoints(&self, deletion: CheckpointDeletion) -> Result<DeletedCheckpoints, Error> {
        Ok(DeletedCheckpoints::of(self.call(rpcs::DELETE_CHECKPOINTS, &deletion.0, self.deadline()).await?))
    }

    /// Delete all checkpoints of a session, in all namespaces, that came after a step: the session goes on from there.
    ///
    /// ```no_run
    /// # async fn run(client: lockstitch::Client) -> Result<(), lockstitch::Error> {
    /// println!("{} deleted", client.rewind("order-4711", 3).await?.deleted);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn rewind(&self, session_id: impl Into<String>, step: u64) -> Result<DeletedCheckpoints, Error> {
        self.delete_checkpoints(CheckpointDeletion::after_step(session_id, step)).await
    }

    /// Copy a session, or its beginning up to a checkpoint, into a new one. No payload leaves the database.
    pub async fn copy_session(
        &self,
        source: impl Into<String>,
        target: impl Into<String>,
        options: CopyOptions,
    ) -> Result<CopiedSession, Error> {
        let (source_session_id, target_session_id) = (source.into(), target.into());
        let request = CopySessionRequest { source_session_id, target_session_id, ..options.0 };
        Ok(CopiedSession::of(self.call(rpcs::COPY_SESSION, &request, self.deadline()).await?))
    }

    /// Delete old checkpoints of sessions, page by page; the sum of all pages.
    pub async fn prune_sessions(&self, options: PruneOptions) -> Result<Pruned, Error> {
        paging::prune(self, options.0).await
    }

    /// Follow a session; takes a session id or a query. Where the call breaks off, it goes on after the last event.
    /// Heartbeats are given, too. The stream has no end of its own: drop it.
    pub fn watch_session(&self, query: impl Into<WatchQuery>) -> Stream<SessionEvent> {
        streams::watch_session(self.clone(), query.into().0)
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
    /// [`ErrorReason::LeaseHeld`](crate::ErrorReason::LeaseHeld).
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
    /// While the lease lasts, any other call is refused, even one with the same holder.
    pub async fn acquire_lease(
        &self,
        session_id: impl Into<String>,
        holder: impl Into<String>,
        ttl: impl Into<Option<Duration>>,
    ) -> Result<LeaseGrant, Error> {
        let (session_id, holder, ttl) = (session_id.into(), holder.into(), ttl.into().map(proto_duration));
        let request = AcquireLeaseRequest { session_id, holder, ttl, acquisition_id: lease::random_id() };
        self.acquire(&request).await
    }

    pub(crate) async fn acquire(&self, request: &AcquireLeaseRequest) -> Result<LeaseGrant, Error> {
        LeaseGrant::acquired(self.call(rpcs::ACQUIRE_LEASE, request, self.deadline()).await?)
    }

    /// Prolong a lease that is live.
    pub async fn renew_lease(
        &self,
        session_id: impl Into<String>,
        lease_token: u64,
        ttl: impl Into<Option<Duration>>,
    ) -> Result<LeaseGrant, Error> {
        let (session_id, ttl) = (session_id.into(), ttl.into().map(proto_duration));
        let request = RenewLeaseRequest { session_id, lease_token, ttl };
        LeaseGrant::renewed(self.call(rpcs::RENEW_LEASE, &request, self.deadline()).await?)
    }

    /// Give a lease back. Returns whether it was live.
    pub async fn release_lease(&self, session_id: impl Into<String>, lease_token: u64) -> Result<bool, Error> {
        let request = ReleaseLeaseRequest { session_id: session_id.into(), lease_token };
        let ReleaseLeaseResponse { released } = self.call(rpcs::RELEASE_LEASE, &request, self.deadline()).await?;
        Ok(released)
    }

    /// End the live lease of a session, whoever holds it, such as a holder that hangs. Returns whether there was one.
    /// Needs the right `admin`.
    ///
    /// acquired_at: end only the lease that was acquired then ([`LeaseDetails::acquired_at`](crate::LeaseDetails::acquired_at)); `None`: any.
    pub async fn break_lease(
        &self,
        session_id: impl Into<String>,
        acquired_at: impl Into<Option<SystemTime>>,
    ) -> Result<bool, Error> {
        let acquired_at = acquired_at.into().map(Timestamp::from);
        let request = BreakLeaseRequest { session_id: session_id.into(), acquired_at };
        let BreakLeaseResponse { broken } = self.call(rpcs::BREAK_LEASE, &request, self.deadline()).await?;
        Ok(broken)
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
