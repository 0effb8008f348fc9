//! All the streams of saves of a client: those of one session always over the same, in their order.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;
use tonic::Code;

use crate::{
    Error, RetryPolicy,
    outbox::{Answer, Outbox, Waiting},
    per_runtime::PerRuntime,
    retry::Deadline,
    stream_worker::StreamWorker,
    trace,
    transport::Transport,
};

const STREAMS: usize = 4;
/// How long no stream is tried after it has turned out that there are none.
const AVOID: Duration = Duration::from_secs(300);

/// What is known of whether streams work here.
#[derive(Debug, Default)]
pub(crate) struct Support {
    confirmed: AtomicBool,
    avoid_until: Mutex<Option<Instant>>,
}

impl Support {
    /// A stream has brought an answer.
    pub(crate) fn confirm(&self) {
        self.confirmed.store(true, Ordering::Relaxed);
    }

    /// There are no streams here: the server does not know them, or a proxy does not let them through.
    pub(crate) fn avoid(&self) {
        *self.avoid_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + AVOID);
    }

    fn is_open(&self) -> bool {
        self.avoid_until.lock().unwrap_or_else(PoisonError::into_inner).is_none_or(|until| until < Instant::now())
    }
}

pub(crate) struct SaveStreams {
    transport: Arc<Transport>,
    retry: Option<RetryPolicy>,
    support: Arc<Support>,
    workers: PerRuntime<Workers>,
}

/// The outboxes of tasks that belong to one runtime.
struct Workers([Arc<Outbox>; STREAMS]);

impl Drop for Workers {
    fn drop(&mut self) {
        self.0.iter().for_each(|outbox| outbox.close());
    }
}

impl SaveStreams {
    pub(crate) fn new(transport: Arc<Transport>, retry: Option<RetryPolicy>) -> Self {
        Self { transport, retry, support: Arc::default(), workers: PerRuntime::new() }
    }

    /// Whether saves may come.
    pub(crate) fn are_open(&self) -> bool {
        self.support.is_open()
    }

    /// Begin to send a serialized SaveRequest, after all that this was called with before for its session.
    pub(crate) fn send(&self, session_id: &str, body: Bytes, deadline: Deadline) -> Waiting {
        let mut hasher = DefaultHasher::new();
        session_id.hash(&mut hasher);
        let workers = self.workers.get(|| self.begin());
        workers.0[hasher.finish() as usize % STREAMS].add(session_id, body, trace::current(), deadline)
    }

    /// The answer to what was sent.
    pub(crate) async fn answer(&self, mut waiting: Waiting, deadline: Deadline) -> Answer {
        if let Ok(answer) = tokio::time::timeout_at(deadline.at, &mut waiting.answer).await {
            return answer.unwrap_or_else(|_| Err(Error::new(Code::Cancelled, "the runtime has ended")));
        }
        let Some(expired) = waiting.expire() else {
            return waiting.answer.try_recv().unwrap_or_else(|_| Err(Error::deadline(deadline.timeout, None)));
        };
        drop(waiting);
        if expired.sent && !self.support.confirmed.load(Ordering::Relaxed) {
            self.support.avoid(); // there may be a proxy that waits for the end of the stream
        }
        Err(self.transport.too_late(expired.link.as_deref(), deadline, expired.fault).await)
    }

    fn begin(&self) -> Workers {
        Workers(std::array::from_fn(|_| {
            let outbox = Arc::<Outbox>::default();
            let worker = StreamWorker {
                outbox: Arc::clone(&outbox),
                transport: Arc::clone(&self.transport),
                support: Arc::clone(&self.support),
                retry: self.retry,
                failures: 0,
            };
            tokio::spawn(worker.run());
            outbox
        }))
    }
}
