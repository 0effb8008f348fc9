//! Work on a session under its lease.

use std::{sync::Arc, time::Duration};

use crate::{Client, Error, Latest, Lease, Save, SaveWrites, Saved, SavedWrites};

/// How a runner acquires the lease of its session; see [`Client::run`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct RunOptions {
    holder: String,
    ttl: Option<Duration>,
    wait: Duration,
}

impl RunOptions {
    /// Options with a holder: a readable name that others see, such as host and process. It need not be unique.
    pub fn new(holder: impl Into<String>) -> Self {
        Self { holder: holder.into(), ..Self::default() }
    }

    /// How long the lease outlives this process. Without this call: the server's default.
    pub fn ttl(self, ttl: Duration) -> Self {
        Self { ttl: Some(ttl), ..self }
    }

    /// How long to wait while another holder has the lease. Without this call, [`Client::run`] does not wait.
    pub fn wait(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }
}

/// A session under its lease, and its latest checkpoint; see [`Client::run`]. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Runner {
    lease: Arc<Lease>,
    latest: Arc<Latest>,
}

impl Runner {
    /// The latest checkpoint when the lease was acquired, and its pending writes.
    pub fn latest(&self) -> &Latest {
        &self.latest
    }

    /// The lease, for calls that have no method here.
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// As [`Client::save`], under the lease.
    pub async fn save(&self, save: impl Into<Save>) -> Result<Saved, Error> {
        self.lease.save(save).await
    }

    /// As [`Client::save_writes`], under the lease.
    pub async fn save_writes(&self, save: SaveWrites) -> Result<SavedWrites, Error> {
        self.lease.save_writes(save).await
    }
}

impl Client {
    /// Acquire the lease of a session, load its latest checkpoint, and run `work`. The lease is renewed meanwhile, and
    /// released at the end. If the lease is lost, the future of `work` is dropped, and the error says why.
    ///
    /// ```no_run
    /// # async fn run(client: lockstitch::Client) -> Result<(), lockstitch::Error> {
    /// use lockstitch::{Checkpoint, Error, RunOptions};
    /// use std::time::Duration;
    ///
    /// let options = RunOptions::new("worker-1").wait(Duration::from_secs(60));
    /// client.run("order-4711", options, async |runner| {
    ///     let step = runner.latest().checkpoint.as_ref().map_or(0, |latest| latest.step + 1);
    ///     runner.save(Checkpoint::new("order-4711", step)).await?;
    ///     Ok::<_, Error>(())
    /// }).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn run<T, E: From<Error>>(
        &self,
        session_id: impl Into<String>,
        options: RunOptions,
        work: impl AsyncFnOnce(Runner) -> Result<T, E>,
    ) -> Result<T, E> {
        let RunOptions { holder, ttl, wait } = options;
        let lease = Arc::new(self.wait_for_lease(session_id, holder, ttl, wait).await?);
        let outcome = self.work(&lease, work).await;
        if lease.loss().is_none()
            && let Err(error) = lease.give_back().await
        {
            tracing::warn!(session_id = lease.session_id(), %error, "the lease is not given back: it ends by itself");
        }
        outcome
    }

    async fn work<T, E: From<Error>>(
        &self,
        lease: &Arc<Lease>,
        work: impl AsyncFnOnce(Runner) -> Result<T, E>,
    ) -> Result<T, E> {
        let latest = Arc::new(self.load_latest(lease.session_id()).await?);
        let runner = Runner { lease: Arc::clone(lease), latest };
        tokio::select! {
            biased;
            why = lease.lost() => Err((*why).clone().into()),
            done = work(runner) => done,
        }
    }
}
