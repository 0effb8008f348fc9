//! The client and its calls.

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

/// A stream of results, to read with the traits of the crate `futures-util`.
///
/// ```no_run
/// # async fn run(client: lockstitch::Client) -> Result<(), lockstitch::Error> {
/// use futures_util::TryStreamExt;
/// use lockstitch::SessionQuery;
///
/// let mut sessions = client.list_sessions(SessionQuery::all());
/// while let Some(session) = sessions.try_next().await? {
///     println!("{}", session.session_id);
/// }
/// # Ok(())
/// # }
/// ```
pub type Stream<T> = BoxStream<'static, Result<T, Error>>;

/// A client of a Lockstitch server. Cheap to clone: all clones share the connections, and one client is enough for a process.
///
/// The first call connects. If there is no server, it fails with UNAVAILABLE after the
/// [connect timeout](Builder::connect_timeout); [`wait_ready`](Self::wait_ready) waits for a server that has not started yet.
/// Once the client has been connected, calls wait for an unavailable server, and are retried, until their timeout. Calls need a
/// Tokio runtime, with I/O and time enabled. A call stops when its future is dropped.
///
/// ```no_run
/// # async fn run() -> Result<(), lockstitch::Error> {
/// use lockstitch::{Checkpoint, Client};
/// let client = Client::connect("127.0.0.1:50051")?;
/// client.save(Checkpoint::new("order-4711", 0)).await?;
/// # Ok(())
/// # }
/// ```
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
    /// A client with the default settings. The first call makes the connection.
    ///
    /// target: `host:port`, `dns:///host:port`, `http://host:port`, `https://host:port` (TLS), or `unix:///path/of/socket`;
    /// several addresses of one service as `host:port,host:port`. Fails with INVALID_ARGUMENT for any other target.
    pub fn connect(target: impl Into<String>) -> Result<Self, Error> {
        Self::builder(target).build()
    }

    /// Settings for a client of this target, which has the forms of [`connect`](Self::connect).
    pub fn builder(target: impl Into<String>) -> Builder {
        Builder::new(target.into())
    }

    /// The same client, with the same connections, with another timeout.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self { shared: Arc::clone(&self.shared), timeout }
    }

    /// Wait until the server reports that it is ready; at most for the client's timeout.
    ///
    /// ```no_run
    /// # async fn run(client: lockstitch::Client) -> Result<(), lockstitch::Error> {
    /// client.with_timeout(std::time::Duration::from_secs(300)).wait_ready().await?;
    /// # Ok(())
    /// # }
    /// ```
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
    /// Takes a [`Checkpoint`](crate::Checkpoint), or a [`Save`] with conditions and options. If the client remembers the
    /// session's last save, it sends only the changes. Saving the same content again changes nothing. Saves of one session
    /// are sent in the order in which their futures are first polled, which is that of the arguments of `join!`.
    ///
    /// If a save was given up and reaches the server after a later save of the same checkpoint, it fails with
    /// [`ErrorReason::Superseded`](crate::ErrorReason::Superseded) and overwrites nothing.
    ///
    /// ```no_run
    /// # async fn run(client: lockstitch::Client) -> Result<(), lockstitch::Error> {
    /// use lockstitch::{Checkpoint, ErrorReason, Save};
    /// let save = Save::from(Checkpoint::new("order-4711", 8)).expect_step(7);
    /// match client.save(save).await {
    ///     Ok(saved) => println!("{:?} in revision {}", saved.outcome, saved.revision),
    ///     Err(error) if error.reason() == ErrorReason::ExpectedLatestMismatch => println!("another runner was faster"),
    ///     Err(error) => return Err(error),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn save(&self, save: impl Into<Save>) -> Result<Saved, Error> {
        let Save(request) = save.into();
        let saved = saving::save(&self.shared, &self.shared.save_ids, request, self.deadline(), false).await?;
        Ok(Saved::of(saved))
    }

    /// Store a checkpoint over a shared stream, also if no other save is in flight.
    ///
    /// [`save`](Self::save) uses a stream automatically while saves are concurrent.
    pub async fn save_streamed(&self, save: impl Into<Save>) -> Result<Saved, Error> {
        let Save(request) = save.into();
        let saved = saving::save(&self.shared, &self.shared.save_ids, request, self.deadline(), true).await?;
        Ok(Saved::of(saved))
    }

    /// Store pending writes of a checkpoint, all of them or none. The checkpoint need not exist yet. See [`SaveWrites`].
    pub async fn save_writes(&self, save: SaveWrites) -> Result<SavedWrites, Error> {
        Ok(SavedWrites::of(self.call(rpcs::SAVE_WRITES, &save.0, self.deadline()).await?))
    }

    /// Load the latest checkpoint of a session, which is the one with the greatest id, and its pending writes.
    ///
    /// Takes a session id or a query. If there is no such session, [`Latest::checkpoint`] is `None`; that is no error.
    ///
    /// ```no_run
    /// # async fn run(client: lockstitch::Client) -> Result<(), lockstitch::Error> {
    /// match client.load_latest("order-4711").await?.checkpoint {
    ///     None => println!("a new session"),
    ///     Some(latest) => println!("resume after step {}", latest.step),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn load_latest(&self, query: impl Into<LatestQuery>) -> Result<Latest, Error> {
        Ok(Latest::of(self.call(rpcs::LOAD_LATEST, &query.into().0, self.deadline()).await?))
    }

    /// Load one checkpoint and its pending writes; see [`LoadQuery::step`] and [`LoadQuery::id`]. Fails with
    /// [`ErrorReason::CheckpointNotFound`](crate::ErrorReason::CheckpointNotFound) if it does not exist.
    pub async fn load(&self, query: LoadQuery) -> Result<Loaded, Error> {
        Loaded::of(self.call(rpcs::LOAD, &query.0, self.deadline()).await?)
    }

    /// Load the latest checkpoints of many sessions in one call, for a fleet that restarts. Results come in any order.
    ///
    /// Each session has its own [result](LatestOf::result). An error of the stream itself means that the other results are
    /// missing.
    pub fn load_latest_many<Q: Into<LatestQuery>>(&self, queries: impl IntoIterator<Item = Q>) -> Stream<LatestOf> {
        streams::load_latest_many(self.clone(), queries.into_iter().map(|query| query.into().0).collect())
    }

    /// The ancestors of a checkpoint along `parent_id`, the nearest first, without the checkpoint itself. Takes a session id
    /// or a query.
    pub fn walk_ancestors(&self, query: impl Into<AncestorQuery>) -> Stream<Ancestor> {
        streams::walk_ancestors(self.clone(), query.into().0)
    }

    /// List sessions that have at least one checkpoint. The stream fetches further pages as it is read.
    pub fn list_sessions(&self, query: SessionQuery) -> Stream<SessionSummary> {
        paging::sessions(self.clone(), query)
    }

    /// One page of sessions, and the token of the next page.
    pub async fn list_sessions_page(&self, query: SessionQuery) -> Result<SessionPage, Error> {
        Ok(SessionPage::of(self.call(rpcs::LIST_SESSIONS, &query.0, self.deadline()).await?))
    }

    /// List checkpoints, newest first. Takes a session id or a query. The stream fetches further pages as it is read.
    pub fn list_checkpoints(&self, query: impl Into<CheckpointQuery>) -> Stream<ListedCheckpoint> {
        paging::checkpoints(self.clone(), query.into())
    }

    /// One page of checkpoints, and the token of the next page.
    pub async fn list_checkpoints_page(&self, query: impl Into<CheckpointQuery>) -> Result<CheckpointPage, Error> {
        Ok(CheckpointPage::of(self.call(rpcs::LIST_CHECKPOINTS, &query.into().0, self.deadline()).await?))
    }

    /// A session with its settings. Fails with [`ErrorReason::SessionNotFound`](crate::ErrorReason::SessionNotFound) if it
    /// does not exist.
    pub async fn get_session(&self, session_id: impl Into<String>) -> Result<SessionDetails, Error> {
        let request = GetSessionRequest { session_id: session_id.into() };
        SessionDetails::of(self.call(rpcs::GET_SESSION, &request, self.deadline()).await?)
    }

    /// Change labels, expiry or retention of a session. Returns the session with its new settings.
    pub async fn update_session(
        &self,
        session_id: impl Into<String>,
        update: SessionUpdate,
    ) -> Result<SessionDetails, Error> {
        let request = UpdateSessionRequest { session_id: session_id.into(), ..update.0 };
        let UpdateSessionResponse { session } = self.call(rpcs::UPDATE_SESSION, &request, self.deadline()).await?;
        SessionDetails::of(required(session)?)
    }

    /// Delete sessions with all their checkpoints. Returns how many of the sessions existed.
    ///
    /// tombstone: how long later saves cannot create the sessions again; `None`: the server's default.
    ///
    /// ```no_run
    /// # async fn run(client: lockstitch::Client) -> Result<(), lockstitch::Error> {
    /// let deleted = client.delete_sessions(["order-4711", "order-4712"], None).await?;
    /// # Ok(())
    /// # }
    /// ```
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

    /// Delete checkpoints of a session: all after a given one (a rewind), or all with given metadata.
    pub async fn delete_checkpoints(&self, deletion: CheckpointDeletion) -> Result<DeletedCheckpoints, Error> {
        Ok(DeletedCheckpoints::of(self.call(rpcs::DELETE_CHECKPOINTS, &deletion.0, self.deadline()).await?))
    }

    /// Delete all checkpoints of a session after a step, in all namespaces. The session continues from that step.
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

    /// Copy a session, or its beginning up to a checkpoint, into a new session. No payload leaves the database. Fails with
    /// [`ErrorReason::SessionAlreadyExists`](crate::ErrorReason::SessionAlreadyExists) if the target exists.
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

    /// Delete old checkpoints of sessions, page by page. Returns the sums over all pages.
    pub async fn prune_sessions(&self, options: PruneOptions) -> Result<Pruned, Error> {
        paging::prune(self, options.0).await
    }

    /// Watch the events of a session, heartbeats included. Takes a session id or a query. An interrupted call continues after
    /// the last event. The stream never ends by itself: drop it to stop.
    ///
    /// ```no_run
    /// # async fn run(client: lockstitch::Client) -> Result<(), lockstitch::Error> {
    /// use futures_util::TryStreamExt;
    /// let mut events = client.watch_session("order-4711");
    /// while let Some(event) = events.try_next().await? {
    ///     println!("{:?}", event.kind);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn watch_session(&self, query: impl Into<WatchQuery>) -> Stream<SessionEvent> {
        streams::watch_session(self.clone(), query.into().0)
    }

    /// Acquire the lease of a session, and renew it in the background until it is released or dropped. Fails with
    /// [`ErrorReason::LeaseHeld`](crate::ErrorReason::LeaseHeld) if another holder has it.
    ///
    /// holder: a readable name that others see, such as host and process. It need not be unique.
    /// ttl: how long the lease outlives this process; `None`: the server's default.
    ///
    /// ```no_run
    /// # async fn run(client: lockstitch::Client) -> Result<(), lockstitch::Error> {
    /// let lease = client.hold_lease("order-42", "worker-1", None).await?;
    /// lease.save(lockstitch::Checkpoint::new("order-42", 0)).await?;
    /// lease.release().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn hold_lease(
        &self,
        session_id: impl Into<String>,
        holder: impl Into<String>,
        ttl: impl Into<Option<Duration>>,
    ) -> Result<Lease, Error> {
        self.wait_for_lease(session_id, holder, ttl, Duration::ZERO).await
    }

    /// As [`hold_lease`](Self::hold_lease), but wait for this long while another holder has the lease.
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

    /// Acquire a lease without renewing it. [`hold_lease`](Self::hold_lease) also renews it.
    ///
    /// While the lease is live, every other call is refused, also one with the same holder.
    pub async fn acquire_lease(
        &self,
        session_id: impl Into<String>,
        holder: impl Into<String>,
        ttl: impl Into<Option<Duration>>,
    ) -> Result<LeaseGrant, Error> {
        self.acquire_lease_with_id(session_id, holder, ttl, lease::random_id()).await
    }

    /// As [`acquire_lease`](Self::acquire_lease), with an id of the acquisition, at most 64 bytes: with the id of an earlier
    /// call that failed without a response, this call returns the lease that the earlier one may have acquired.
    pub async fn acquire_lease_with_id(
        &self,
        session_id: impl Into<String>,
        holder: impl Into<String>,
        ttl: impl Into<Option<Duration>>,
        acquisition_id: impl Into<String>,
    ) -> Result<LeaseGrant, Error> {
        let (session_id, holder, ttl) = (session_id.into(), holder.into(), ttl.into().map(proto_duration));
        let request = AcquireLeaseRequest { session_id, holder, ttl, acquisition_id: acquisition_id.into() };
        self.acquire(&request).await
    }

    pub(crate) async fn acquire(&self, request: &AcquireLeaseRequest) -> Result<LeaseGrant, Error> {
        LeaseGrant::acquired(self.call(rpcs::ACQUIRE_LEASE, request, self.deadline()).await?)
    }

    /// Renew a live lease.
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

    /// Release a lease. Returns whether it was live.
    pub async fn release_lease(&self, session_id: impl Into<String>, lease_token: u64) -> Result<bool, Error> {
        let request = ReleaseLeaseRequest { session_id: session_id.into(), lease_token };
        let ReleaseLeaseResponse { released } = self.call(rpcs::RELEASE_LEASE, &request, self.deadline()).await?;
        Ok(released)
    }

    /// End the live lease of a session although its holder has not released it, for example because the holder hangs.
    /// Returns whether there was a live lease. Needs the right `admin`.
    ///
    /// acquired_at: end only the lease that was acquired at this time
    /// ([`LeaseDetails::acquired_at`](crate::LeaseDetails::acquired_at)); `None`: any lease.
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
                        self.transport.answered();
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
