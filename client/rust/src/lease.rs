//! A lease that is kept alive.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::{
    Client, Error,
    retry::Deadline,
    v1::{
        AcquireLeaseRequest, ErrorReason, ReleaseLeaseRequest, RenewLeaseRequest, SaveRequest, SaveResponse,
        SaveWritesRequest, SaveWritesResponse,
    },
};

/// How often to ask for a lease that another holds.
const POLL: Duration = Duration::from_millis(500);

/// The right to write to a session, renewed in the background until it is released, dropped or lost.
#[derive(Debug)]
pub struct Lease {
    client: Client,
    session_id: String,
    holder: String,
    token: u64,
    loss: watch::Receiver<Option<Arc<Error>>>,
    renewing: JoinHandle<()>,
}

impl Lease {
    /// wait: for how long to ask again while another holds it.
    pub(crate) async fn acquire(
        client: Client,
        session_id: String,
        holder: String,
        ttl: Option<Duration>,
        wait: Duration,
    ) -> Result<Self, Error> {
        let ttl = ttl.map(proto_duration);
        let acquisition_id = random_id();
        let request =
            AcquireLeaseRequest { session_id: session_id.clone(), holder: holder.clone(), ttl, acquisition_id };
        let end = Deadline::after(wait);
        let (begun, answer) = loop {
            let begun = Instant::now();
            match client.acquire_lease(request.clone()).await {
                Ok(answer) => break (begun, answer),
                Err(error) if error.reason() != ErrorReason::LeaseHeld || end.remaining().is_zero() => {
                    return Err(error);
                }
                Err(_) => sleep(POLL.min(end.remaining())).await,
            }
        };
        let token = answer.lease.map(|lease| lease.token).unwrap_or_default();
        let request = RenewLeaseRequest { session_id: session_id.clone(), lease_token: token, ttl };
        let (tell, loss) = watch::channel(None);
        let keeper = Keeper { client: client.clone(), request, lasts: lasting(answer.ttl), tell };
        let renewing = tokio::spawn(keeper.run(begun));
        Ok(Self { client, session_id, holder, token, loss, renewing })
    }

    /// The fencing token: what saves take as [`lease_token`](crate::SaveRequest::with_lease).
    pub fn token(&self) -> u64 {
        self.token
    }

    /// The session.
    pub fn session_id(&self) -> &str {
        &self.session_id
    }

    /// Who holds it.
    pub fn holder(&self) -> &str {
        &self.holder
    }

    /// Why the lease is held no more; `None` while it is.
    pub fn loss(&self) -> Option<Arc<Error>> {
        self.loss.borrow().clone()
    }

    /// Return when the lease has been lost; stop working on the session then. Borrows nothing, so that it can stand beside
    /// the work:
    ///
    /// ```no_run
    /// # async fn run(lease: lockstitch::Lease, checkpoint: lockstitch::Checkpoint) -> Result<(), lockstitch::Error> {
    /// tokio::select! {
    ///     saved = lease.save(checkpoint) => drop(saved?),
    ///     why = lease.lost() => println!("another runner has the session: {why}"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn lost(&self) -> impl Future<Output = Arc<Error>> + Send + use<> {
        let mut loss = self.loss.clone();
        async move {
            match loss.wait_for(Option::is_some).await {
                Ok(error) => error.clone().expect("was waited for"),
                Err(_) => Arc::new(Error::new(tonic::Code::Cancelled, "the runtime has ended")),
            }
        }
    }

    /// Store a checkpoint of the session under this lease. Fails where the lease is held no more.
    pub async fn save(&self, request: impl Into<SaveRequest>) -> Result<SaveResponse, Error> {
        self.check()?;
        self.client.save(request.into().with_lease(self)).await
    }

    /// Fails where the lease is held no more.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.loss().map_or(Ok(()), |error| Err((*error).clone()))
    }

    /// Store pending writes of a checkpoint of the session under this lease.
    pub async fn save_writes(&self, request: SaveWritesRequest) -> Result<SaveWritesResponse, Error> {
        self.check()?;
        let (session_id, lease_token) = (self.session_id.clone(), self.token);
        self.client.save_writes(SaveWritesRequest { session_id, lease_token, ..request }).await
    }

    /// Give it back, so that another need not wait for its end. Returns whether it was still held.
    pub async fn release(self) -> Result<bool, Error> {
        self.give_back().await
    }

    pub(crate) async fn give_back(&self) -> Result<bool, Error> {
        self.renewing.abort();
        let request = ReleaseLeaseRequest { session_id: self.session_id.clone(), lease_token: self.token };
        Ok(self.client.release_lease(request).await?.released)
    }
}

/// Without a release it lasts until its time is over.
impl Drop for Lease {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}

struct Keeper {
    client: Client,
    request: RenewLeaseRequest,
    lasts: Duration,
    tell: watch::Sender<Option<Arc<Error>>>,
}

impl Keeper {
    /// Renew after a third of the time, so that two attempts may fail. `since`: from when on it surely lasts.
    async fn run(mut self, mut since: Instant) {
        loop {
            sleep(self.lasts / 3).await;
            let begun = Instant::now();
            let left = (since + self.lasts).saturating_duration_since(begun);
            match self.client.with_timeout(left).renew_lease(self.request.clone()).await {
                Ok(answer) => (since, self.lasts) = (begun, lasting(answer.ttl)),
                Err(error) if error.is_transient() && Instant::now() < since + self.lasts => {}
                Err(error) => {
                    tracing::warn!(session_id = self.request.session_id, %error, "the lease is lost");
                    self.tell.send_replace(Some(Arc::new(error)));
                    return;
                }
            }
        }
    }
}

impl Error {
    /// Whether somebody else may write to the session now.
    pub fn is_fenced(&self) -> bool {
        matches!(self.reason(), ErrorReason::LeaseLost | ErrorReason::LeaseHeld)
    }
}

/// 128 bits that no other acquisition has. The keys of a `RandomState` come from the operating system.
pub(crate) fn random_id() -> String {
    let random = || RandomState::new().hash_one(());
    format!("{:016x}{:016x}", random(), random())
}

pub(crate) fn proto_duration(duration: Duration) -> prost_types::Duration {
    let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    prost_types::Duration { seconds, nanos: duration.subsec_nanos() as i32 }
}

fn lasting(ttl: Option<prost_types::Duration>) -> Duration {
    ttl.and_then(|ttl| ttl.try_into().ok()).unwrap_or(Duration::from_secs(30))
}
