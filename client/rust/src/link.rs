//! A connection, and whether anything comes over it.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use hyper::rt::Executor;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};

use crate::Error;

/// A connection is replaced at most this often: a server that is busy for a moment is not called again and again.
const RENEW: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) channel: Channel,
    opened: Instant,
    /// Cancelled: the connection is closed, and its calls end with UNAVAILABLE.
    closed: CancellationToken,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    /// The latest moment when a response came; at first, when the connection was opened.
    heard: Instant,
    /// Whether the latest call failed without a response.
    failed: bool,
}

impl Link {
    /// A connection that is made by its first call.
    pub(crate) fn lazy(endpoint: &Endpoint) -> Self {
        let closed = CancellationToken::new();
        Self::over(endpoint.clone().executor(Tasks(closed.clone())).connect_lazy(), closed)
    }

    /// A connection that is made now.
    pub(crate) async fn connect(endpoint: &Endpoint) -> Result<Self, tonic::transport::Error> {
        let closed = CancellationToken::new();
        let channel = endpoint.clone().executor(Tasks(closed.clone())).connect().await?;
        Ok(Self::over(channel, closed))
    }

    fn over(channel: Channel, closed: CancellationToken) -> Self {
        let opened = Instant::now();
        Self { channel, opened, closed, seen: Mutex::new(Seen { heard: opened, failed: false }) }
    }

    /// A response came.
    pub(crate) fn hear(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = Seen { heard: Instant::now(), failed: false };
    }

    /// A call failed.
    pub(crate) fn note(&self, error: &Error) {
        if error.code() != Code::Unavailable || !error.reason_name().is_empty() {
            return self.hear(); // only a server says so
        }
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).failed = true;
    }

    /// Whether the latest call has failed without a response.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).failed
    }

    /// Whether nothing has come for this long, and the connection is old enough to be replaced.
    pub(crate) fn is_silent(&self, silence: Duration) -> bool {
        let heard = self.seen.lock().unwrap_or_else(PoisonError::into_inner).heard;
        heard.elapsed() >= silence && self.opened.elapsed() >= silence.min(RENEW)
    }

    /// Close the connection. Its calls end with UNAVAILABLE, so that they are repeated on the next one.
    pub(crate) fn close(&self) {
        self.closed.cancel();
    }
}

/// Runs the tasks of a connection until it is closed. Nothing else ends a task that waits for a silent peer.
struct Tasks(CancellationToken);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        let closed = self.0.clone();
        tokio::spawn(async move {
            closed.run_until_cancelled_owned(task).await;
        });
    }
}
