//! A lease that is renewed in the background.

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
    Client, Error, LeaseDetails, Save, SaveWrites, Saved, SavedWrites,
    proto::{AcquireLeaseRequest, ErrorReason},
    retry::Deadline,
    times::proto_duration,
};

/// How often to ask for a lease that another holds.
const POLL: Duration = Duration::from_millis(500);
/// How long a lease lasts by default.
const TTL: Duration = Duration::from_secs(30);

/// A held lease: the exclusive right to write to a session. Renewed in the background until it is released, dropped or lost.
///
/// [`Client::hold_lease`] acquires it. A lease that is dropped without [`release`](Self::release) lasts until its time to live
/// is over.
#[derive(Debug)]
pub struct Lease {
    client: Client,
    session_id: String,
    details: LeaseDetails,
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
        let request = AcquireLeaseRequest {
            session_id: session_id.clone(),
            holder,
            ttl: ttl.map(proto_duration),
            acquisition_id: random_id(),
        };
        let end = Deadline::after(wait);
        let (begun, grant) = loop {
            let begun = Instant::now();
            match client.acquire(&request).await {
                Ok(grant) => break (begun, grant),
                Err(error) if error.reason() != ErrorReason::LeaseHeld || end.remaining().is_zero() => {
                    return Err(error);
                }
                Err(_) => sleep(POLL.min(end.remaining())).await,
            }
        };
        let (tell, loss) = watch::channel(None);
        let keeper = Keeper {
            client: client.clone(),
            session_id: session_id.clone(),
            token: grant.lease.token,
            ttl,
            lasts: grant.ttl.unwrap_or(TTL),
            tell,
        };
        let renewing = tokio::spawn(keeper.run(begun));
        Ok(Self { client, session_id, details: grant.lease, loss, renewing })
    }

    /// The fencing token, for [`Save::with_lease_token`].
    pub fn token(&self) -> u64 {
        self.details.token
    }

    /// The session.
    pub fn session_id(&self) -> &str {
        &self.session_id
    }

    /// The readable name of the holder.
    pub fn holder(&self) -> &str {
        &self.details.holder
    }

    /// The lease as it was acquired: its times are not updated when it is renewed.
    pub fn details(&self) -> &LeaseDetails {
        &self.details
    }

    /// Why the lease was lost; `None` while it is held.
    pub fn loss(&self) -> Option<Arc<Error>> {
        self.loss.borrow().clone()
    }

    /// Wait until the lease is lost: stop working on the session then. The future borrows nothing, so it can stand beside the
    /// work:
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

    /// Store a checkpoint of the session under this lease. Fails if the lease was lost.
    pub async fn save(&self, save: impl Into<Save>) -> Result<Saved, Error> {
        self.check()?;
        self.client.save(save.into().with_lease(self)).await
    }

    /// Fails where the lease is held no more.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.loss().map_or(Ok(()), |error| Err((*error).clone()))
    }

    /// Store pending writes of a checkpoint of the session under this lease.
    pub async fn save_writes(&self, save: SaveWrites) -> Result<SavedWrites, Error> {
        self.check()?;
        self.client.save_writes(save.with_lease(self)).await
    }

    /// Release the lease, so that others need not wait until it expires. Returns whether it was still held.
    pub async fn release(self) -> Result<bool, Error> {
        self.give_back().await
    }

    pub(crate) async fn give_back(&self) -> Result<bool, Error> {
        self.renewing.abort();
        self.client.release_lease(&self.session_id, self.token()).await
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
    session_id: String,
    token: u64,
    ttl: Option<Duration>,
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
            match self.client.with_timeout(left).renew_lease(&self.session_id, self.token, self.ttl).await {
                Ok(grant) => (since, self.lasts) = (begun, grant.ttl.unwrap_or(TTL)),
                Err(error) if error.is_transient() && Instant::now() < since + self.lasts => {}
                Err(error) => {
                    tracing::warn!(session_id = self.session_id, %error, "the lease is lost");
                    self.tell.send_replace(Some(Arc::new(error)));
                    return;
                }
            }
        }
    }
}

impl Error {
    /// Whether another holder may write to the session now: the lease was lost, or another holder has it.
    pub fn is_fenced(&self) -> bool {
        matches!(self.reason(), ErrorReason::LeaseLost | ErrorReason::LeaseHeld)
    }
}

/// 128 bits that no other acquisition has. The keys of a `RandomState` come from the operating system.
pub(crate) fn random_id() -> String {
    let random = || RandomState::new().hash_one(());
    format!("{:016x}{:016x}", random(), random())
}
