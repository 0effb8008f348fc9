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
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    time::Instant,
};

use crate::{
    Error, RetryPolicy,
    lane::{self, Item},
    retry::Deadline,
    trace,
    transport::Transport,
    v1::SaveResponse,
};

const LANES: usize = 4;
/// How long no stream is tried after it has turned out that there are none.
const AVOID: Duration = Duration::from_secs(300);
/// How much may be under way over streams at once; further saves wait.
const MOST_SAVES: usize = 1024;
const MOST_KIBIBYTES: u32 = 32 * 1024;

/// What all lanes know of streams here.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    work: AtomicBool,
    avoid_until: Mutex<Option<Instant>>,
}

impl Streams {
    /// A stream has brought an answer.
    pub(crate) fn work(&self) {
        self.work.store(true, Ordering::Relaxed);
    }

    /// There are no streams here: the server does not know them, or a proxy does not let them through.
    pub(crate) fn avoid(&self) {
        *self.avoid_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + AVOID);
    }

    fn are_open(&self) -> bool {
        self.avoid_until.lock().unwrap_or_else(PoisonError::into_inner).is_none_or(|until| until < Instant::now())
    }
}

pub(crate) struct Lanes {
    transport: Arc<Transport>,
    retry: Option<RetryPolicy>,
    streams: Arc<Streams>,
    lanes: [Mutex<Option<mpsc::UnboundedSender<Item>>>; LANES],
    saves: Semaphore,
    kibibytes: Semaphore,
}

impl Lanes {
    pub(crate) fn new(transport: Arc<Transport>, retry: Option<RetryPolicy>) -> Self {
        Self {
            transport,
            retry,
            streams: Arc::default(),
            lanes: Default::default(),
            saves: Semaphore::new(MOST_SAVES),
            kibibytes: Semaphore::new(MOST_KIBIBYTES as usize),
        }
    }

    /// Whether saves may come.
    pub(crate) fn are_open(&self) -> bool {
        self.streams.are_open()
    }

    /// The answer to a serialized SaveRequest. None: it has to go by a call of its own.
    pub(crate) async fn save(
        &self,
        session_id: &str,
        body: Bytes,
        deadline: Deadline,
    ) -> Option<Result<SaveResponse, Error>> {
        match tokio::time::timeout_at(deadline.at, self.answer(session_id, body)).await {
            Ok(answer) => answer,
            Err(_) => {
                if !self.streams.work.load(Ordering::Relaxed) {
                    self.streams.avoid(); // there may be a proxy that waits for the end of the stream
                }
                Some(Err(self.transport.too_late(deadline).await))
            }
        }
    }

    async fn answer(&self, session_id: &str, body: Bytes) -> Option<Result<SaveResponse, Error>> {
        let size = u32::try_from(body.len() / 1024 + 1).unwrap_or(u32::MAX).min(MOST_KIBIBYTES);
        let _one = self.saves.acquire().await.ok()?;
        let _room = self.kibibytes.acquire_many(size).await.ok()?;
        let (answer, answered) = oneshot::channel();
        self.send(session_id, Item { body, trace: trace::current(), answer });
        answered.await.ok()
    }

    fn send(&self, session_id: &str, item: Item) {
        let mut hasher = DefaultHasher::new();
        session_id.hash(&mut hasher);
        let place = &self.lanes[hasher.finish() as usize % LANES];
        let mut lane = place.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = lane.get_or_insert_with(|| self.begin());
        if let Err(refused) = sender.send(item) {
            let sender = self.begin(); // the runtime that it ran on has ended
            let _ = sender.send(refused.0);
            *lane = Some(sender);
        }
    }

    fn begin(&self) -> mpsc::UnboundedSender<Item> {
        let (sender, items) = mpsc::unbounded_channel();
        let (transport, streams) = (Arc::clone(&self.transport), Arc::clone(&self.streams));
        tokio::spawn(lane::run(items, transport, streams, self.retry));
        sender
    }
}
