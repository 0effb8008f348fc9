//! Saves of some sessions, over one SaveStream after the other.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream;
use prost::encoding::{WireType, btree_map, encode_key, encode_varint, string, uint64};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, interval},
};
use tonic::{Code, Streaming};

use crate::{
    Error, RetryPolicy,
    lanes::Streams,
    rpcs,
    trace::TraceContext,
    transport::Transport,
    v1::{SaveResponse, SaveStreamResponse, save_stream_response::Result as Outcome},
};

/// A stream that nobody uses is closed after this time, or twice this time at most.
const IDLE: Duration = Duration::from_secs(5);
/// How long a stream is used, so that clients that run for long spread over the servers that there are by then.
const AGE: Duration = Duration::from_secs(300);

/// A serialized SaveRequest, and who waits for its answer. Dropping `answer` says: make a call of its own.
pub(crate) struct Item {
    pub(crate) body: Bytes,
    pub(crate) trace: TraceContext,
    pub(crate) answer: oneshot::Sender<Result<SaveResponse, Error>>,
}

/// Send what comes in its order, and what has no answer when a stream ends once more on the next, before anything newer.
///
/// Returns when no more can come.
pub(crate) async fn run(
    items: mpsc::UnboundedReceiver<Item>,
    transport: Arc<Transport>,
    streams: Arc<Streams>,
    retry: Option<RetryPolicy>,
) {
    let mut lane = Lane { items, transport, streams, retry, waiting: BTreeMap::new(), number: 0, failures: 0 };
    while lane.has_work().await {
        let end = lane.use_stream().await;
        lane.recover(end).await;
    }
}

struct Lane {
    items: mpsc::UnboundedReceiver<Item>,
    transport: Arc<Transport>,
    streams: Arc<Streams>,
    retry: Option<RetryPolicy>,
    /// What has no answer, by request_id.
    waiting: BTreeMap<u64, Item>,
    number: u64,
    /// Streams in a row that have brought nothing.
    failures: u32,
}

impl Lane {
    /// Wait until there is something to send. False: nothing will come any more.
    async fn has_work(&mut self) -> bool {
        self.forget_left();
        while self.waiting.is_empty() {
            match self.items.recv().await {
                Some(item) => drop(self.add(item)),
                None => return false,
            }
        }
        true
    }

    /// Take an item in; its message.
    fn add(&mut self, item: Item) -> Bytes {
        self.number += 1;
        let message = framed(self.number, &item);
        self.waiting.insert(self.number, item);
        message
    }

    /// Forget what nobody waits for any more.
    fn forget_left(&mut self) {
        self.waiting.retain(|_, item| !item.answer.is_closed());
    }

    /// Open a stream and use it until it ends. Returns how it did.
    async fn use_stream(&mut self) -> Result<(), Error> {
        self.failures += 1;
        let (sender, messages) = mpsc::unbounded_channel();
        for (number, item) in &self.waiting {
            let _ = sender.send(framed(*number, item));
        }
        let messages = stream::unfold(messages, |mut messages| async { Some((messages.recv().await?, messages)) });
        let transport = Arc::clone(&self.transport);
        let opening = transport.duplex::<SaveStreamResponse>(rpcs::SAVE_STREAM.path, messages);
        let mut sending = Some(sender);
        let Some(answers) = self.until_open(opening, &mut sending).await else {
            return Ok(());
        };
        self.exchange(answers?, sending).await
    }

    /// The server may well say nothing before it has something to answer: go on sending until then.
    async fn until_open(
        &mut self,
        opening: impl Future<Output = Result<Streaming<SaveStreamResponse>, Error>>,
        sending: &mut Sending,
    ) -> Option<Result<Streaming<SaveStreamResponse>, Error>> {
        tokio::pin!(opening);
        let mut look = interval(IDLE);
        loop {
            tokio::select! {
                answers = &mut opening => return Some(answers),
                item = self.items.recv(), if sending.is_some() => self.pass(item, sending),
                _ = look.tick() => {
                    self.forget_left();
                    if self.waiting.is_empty() {
                        return None; // it may be stuck, and nobody is on it
                    }
                }
            }
        }
    }

    async fn exchange(
        &mut self,
        mut answers: Streaming<SaveStreamResponse>,
        mut sending: Sending,
    ) -> Result<(), Error> {
        let until = Instant::now() + AGE;
        let (mut look, mut used) = (interval(IDLE), true);
        loop {
            tokio::select! {
                answer = answers.message() => match answer? {
                    Some(answer) => { used = true; self.answered(answer) },
                    None => return Ok(()),
                },
                item = self.items.recv(), if sending.is_some() => { used = true; self.pass(item, &mut sending) },
                _ = look.tick() => {
                    self.forget_left();
                    if self.waiting.is_empty() && !used && sending.take().is_none() {
                        return Ok(()); // it was to end, and has not
                    }
                    if Instant::now() > until {
                        sending = None; // it ends when all is answered
                    }
                    used = false;
                }
            }
        }
    }

    /// Send an item; None: nothing more will come.
    fn pass(&mut self, item: Option<Item>, sending: &mut Sending) {
        match item {
            Some(item) => {
                let message = self.add(item);
                if let Some(sender) = sending {
                    let _ = sender.send(message); // else the stream has ended, as reading will tell
                }
            }
            None => *sending = None,
        }
    }

    fn answered(&mut self, answer: SaveStreamResponse) {
        self.failures = 0;
        self.streams.work();
        let Some(item) = self.waiting.remove(&answer.request_id) else {
            return;
        };
        let result = match answer.result {
            Some(Outcome::Saved(saved)) => Ok(saved),
            Some(Outcome::Error(status)) => Err(Error::from_answer(status)),
            None => Err(Error::new(Code::Internal, "an answer without a result")),
        };
        let _ = item.answer.send(result);
    }

    /// Do what is to be done before the next stream.
    async fn recover(&mut self, end: Result<(), Error>) {
        let fault = end.err();
        match fault.as_ref().map(Error::code) {
            Some(Code::Unimplemented) => {
                self.streams.avoid();
                self.waiting.clear(); // each by a call of its own
            }
            // Each gets its own error, by a call of its own. A stream that has brought something may well have failed
            // because of one of its saves, or of the connection: the next one tells.
            Some(code) if self.retry.is_none() || (code != Code::Unavailable && self.failures > 0) => {
                self.waiting.clear();
            }
            _ if self.failures > 0 && !self.waiting.is_empty() => {
                let policy = self.retry.unwrap_or_default();
                tokio::time::sleep(policy.pause(self.failures)).await;
            }
            _ => {}
        }
    }
}

type Sending = Option<mpsc::UnboundedSender<Bytes>>;

/// A SaveStreamRequest, from a serialized SaveRequest.
fn framed(request_id: u64, item: &Item) -> Bytes {
    let Item { body: save, trace, .. } = item;
    let mut message = BytesMut::with_capacity(save.len() + 24);
    uint64::encode(1, &request_id, &mut message);
    encode_key(2, WireType::LengthDelimited, &mut message);
    encode_varint(save.len() as u64, &mut message);
    message.put_slice(save);
    btree_map::encode(string::encode, string::encoded_len, string::encode, string::encoded_len, 3, trace, &mut message);
    message.freeze()
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::v1::{Checkpoint, SaveRequest, SaveStreamRequest};

    #[test]
    fn messages_are_save_stream_requests() {
        let save = SaveRequest::from(Checkpoint { session_id: "s".to_owned(), ..Default::default() });
        let trace: TraceContext = [("traceparent".to_owned(), "00-1-2-01".to_owned())].into();
        let item = Item { body: save.encode_to_vec().into(), trace: trace.clone(), answer: oneshot::channel().0 };
        let message = framed(u64::MAX, &item);
        let wanted = SaveStreamRequest { request_id: u64::MAX, save: Some(save), trace_context: trace, batch: vec![] };
        assert_eq!(SaveStreamRequest::decode(message).unwrap(), wanted);
    }
}
