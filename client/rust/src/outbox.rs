//! What a stream of saves has to send, and what of that has no answer yet.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{Stream, stream};
use prost::encoding::{WireType, btree_map, encode_key, encode_varint, string, uint64};
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use crate::{Error, codec::Parts, link::Link, proto::SaveResponse, retry::Deadline, trace::TraceContext};

/// What goes in one message at most, unless a single save is larger.
const BATCH_SAVES: usize = 64;
const BATCH_BYTES: usize = 256 * 1024;

pub(crate) type Answer = Result<SaveResponse, Error>;

/// A serialized SaveRequest that waits for its answer.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) session_id: String,
    pub(crate) body: Bytes,
    pub(crate) trace: TraceContext,
    pub(crate) deadline: Deadline,
    pub(crate) answer: oneshot::Sender<Answer>,
    /// Whether it has gone out on the call that is open now.
    pub(crate) sent: bool,
    /// How often the server has refused it for the moment, and how it did so last.
    pub(crate) refusals: u32,
    pub(crate) fault: Option<Error>,
}

/// Gives out the items of one session in the order in which they came in.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// All that have no answer, by number.
    waiting: BTreeMap<u64, Item>,
    unsent: BTreeSet<u64>,
    /// What is sent later, by session.
    held: HashMap<String, BTreeSet<u64>>,
    number: u64,
    call: Call,
    closed: bool,
}

/// The stream that is open now.
#[derive(Debug, Default)]
struct Call {
    number: u64,
    link: Option<Arc<Link>>,
    heard: Option<Instant>,
    takes_batches: bool,
    used: bool,
    /// Nothing more is sent.
    finishing: bool,
    /// It is ended at once.
    dropped: bool,
}

/// What there is to send.
enum Next {
    Message(Parts),
    Nothing,
    End,
}

/// Waits for the answer to an item. Dropping it takes the item out.
pub(crate) struct Waiting {
    outbox: Arc<Outbox>,
    number: u64,
    pub(crate) answer: oneshot::Receiver<Answer>,
}

impl Waiting {
    /// Take the item out, because its time is over. None: it has its answer.
    pub(crate) fn expire(&self) -> Option<Expired> {
        let mut state = self.outbox.lock();
        let item = state.waiting.get(&self.number)?;
        let (timeout, sent) = (item.deadline.timeout, item.sent);
        let silent = state.call.heard.is_some_and(|heard| heard.elapsed() >= timeout / 2);
        let item = state.remove(self.number)?;
        let lonely = !state.waiting.values().any(|item| item.sent);
        let link = state.call.link.clone();
        drop(state);
        if silent || lonely {
            self.outbox.drop_call(); // it may be stuck; whoever else is on it gets the next one
        }
        Some(Expired { sent, link, fault: item.fault })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.outbox.lock().remove(self.number);
    }
}

/// An item whose time was over.
pub(crate) struct Expired {
    pub(crate) sent: bool,
    /// The connection of its stream, if there is one.
    pub(crate) link: Option<Arc<Link>>,
    pub(crate) fault: Option<Error>,
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(
        self: &Arc<Self>,
        session_id: &str,
        body: Bytes,
        trace: TraceContext,
        deadline: Deadline,
    ) -> Waiting {
        let (sender, answer) = oneshot::channel();
        let session_id = session_id.to_owned();
        let item = Item { session_id, body, trace, deadline, answer: sender, sent: false, refusals: 0, fault: None };
        let mut state = self.lock();
        state.number += 1;
        let number = state.number;
        state.waiting.insert(number, item);
        state.unsent.insert(number);
        drop(state);
        self.changed.notify_waiters();
        Waiting { outbox: Arc::clone(self), number, answer }
    }

    /// Take an item out.
    pub(crate) fn remove(&self, number: u64) -> Option<Item> {
        self.lock().remove(number)
    }

    /// Take everything out, or only what has been sent, in its order.
    pub(crate) fn remove_all(&self, sent_only: bool) -> Vec<Item> {
        let mut state = self.lock();
        let numbers: Vec<_> =
            state.waiting.iter().filter(|(_, item)| item.sent || !sent_only).map(|(n, _)| *n).collect();
        numbers.into_iter().filter_map(|number| state.remove(number)).collect()
    }

    /// Take out what has no time left after the wait that the server has asked for; zero: it has not.
    pub(crate) fn remove_late(&self, wait: Duration) -> Vec<Item> {
        let mut state = self.lock();
        let is_late = |item: &Item| !wait.is_zero() && item.deadline.remaining() <= wait;
        let numbers: Vec<_> = state.waiting.iter().filter(|(_, item)| is_late(item)).map(|(n, _)| *n).collect();
        numbers.into_iter().filter_map(|number| state.remove(number)).collect()
    }

    pub(crate) fn has_sent(&self) -> bool {
        self.lock().waiting.values().any(|item| item.sent)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().waiting.is_empty()
    }

    /// No more will come.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_waiters();
    }

    /// Wait until there is something to send. False: nothing will come any more.
    pub(crate) async fn has_work(&self) -> bool {
        self.until(|state| match (state.waiting.is_empty(), state.closed) {
            (false, _) => Some(true),
            (true, closed) => closed.then_some(false),
        })
        .await
    }

    /// Begin a call over a connection, on which everything is sent that has no answer. Its messages.
    pub(crate) fn begin_call(self: &Arc<Self>, link: Option<Arc<Link>>) -> impl Stream<Item = Parts> + Send + use<> {
        let mut state = self.lock();
        let number = state.call.number + 1;
        state.call = Call { number, link, heard: Some(Instant::now()), ..Call::default() };
        state.unsent = state.waiting.keys().copied().collect();
        state.waiting.values_mut().for_each(|item| item.sent = false);
        drop(state);
        stream::unfold(Arc::clone(self), move |outbox| async move {
            let next = outbox.until(|state| match state.next(number) {
                Next::Message(parts) => Some(Some(parts)),
                Next::End => Some(None),
                Next::Nothing => None,
            });
            let parts = next.await?;
            Some((parts, outbox))
        })
    }

    /// A response came on the call.
    pub(crate) fn hear(&self, takes_batches: bool) {
        let call = &mut self.lock().call;
        call.heard = Some(Instant::now());
        call.takes_batches |= takes_batches;
    }

    /// Have the call end when what has been sent is answered.
    pub(crate) fn finish_call(&self) {
        self.lock().call.finishing = true;
        self.changed.notify_waiters();
    }

    /// End the call at once.
    fn drop_call(&self) {
        self.lock().call.dropped = true;
        self.changed.notify_waiters();
    }

    /// Return when the call is to be ended at once.
    pub(crate) async fn call_dropped(&self) {
        self.until(|state| state.call.dropped.then_some(())).await;
    }

    /// Whether the call was used since this was last asked, or has anything to be answered.
    pub(crate) fn was_used(&self) -> bool {
        let mut state = self.lock();
        let waits = !state.waiting.is_empty();
        std::mem::take(&mut state.call.used) || waits
    }

    /// Send an item once more after a pause, and what came after it in its session, too. False: it is gone.
    pub(crate) fn hold(self: &Arc<Self>, number: u64, pause: Duration, fault: Error) -> bool {
        let mut state = self.lock();
        let Some(item) = state.waiting.get_mut(&number) else { return false };
        (item.sent, item.fault) = (false, Some(fault));
        let session_id = item.session_id.clone();
        let new = !state.held.contains_key(&session_id);
        state.held.entry(session_id.clone()).or_default().insert(number);
        drop(state);
        if new {
            let outbox = Arc::clone(self);
            tokio::spawn(async move {
                tokio::time::sleep(pause).await;
                outbox.release(&session_id);
            });
        }
        true
    }

    fn release(&self, session_id: &str) {
        let mut state = self.lock();
        let held = state.held.remove(session_id).unwrap_or_default();
        state.unsent.extend(held);
        drop(state);
        self.changed.notify_waiters();
    }

    /// How often an item has been refused, this time included; and its deadline.
    pub(crate) fn refuse(&self, number: u64) -> Option<(u32, Deadline)> {
        let mut state = self.lock();
        let item = state.waiting.get_mut(&number)?;
        item.refusals += 1;
        Some((item.refusals, item.deadline))
    }

    async fn until<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(found) = look(&mut self.lock()) {
                return found;
            }
            changed.await;
        }
    }
}

impl State {
    fn remove(&mut self, number: u64) -> Option<Item> {
        self.unsent.remove(&number);
        self.waiting.remove(&number)
    }

    fn next(&mut self, call: u64) -> Next {
        if self.call.number != call || self.call.dropped || self.call.finishing {
            return Next::End;
        }
        let numbers = self.take();
        if numbers.is_empty() {
            return Next::Nothing;
        }
        self.call.used = true;
        let mut parts = Parts::with_capacity(3 * numbers.len());
        for number in &numbers {
            let item = self.waiting.get_mut(number).expect("was taken");
            item.sent = true;
            put(&mut parts, *number, item, numbers.len() > 1);
        }
        Next::Message(parts)
    }

    /// The numbers of the next items to send.
    fn take(&mut self) -> Vec<u64> {
        let most = if self.call.takes_batches { BATCH_SAVES } else { 1 };
        let (mut numbers, mut bytes) = (Vec::new(), 0);
        while let Some(&number) = self.unsent.first()
            && numbers.len() < most
        {
            let item = &self.waiting[&number];
            if let Some(held) = self.held.get_mut(&item.session_id) {
                held.insert(number);
            } else {
                bytes += item.body.len();
                if bytes > BATCH_BYTES && !numbers.is_empty() {
                    break;
                }
                numbers.push(number);
            }
            self.unsent.pop_first();
        }
        numbers
    }
}

/// Add a SaveStreamRequest, made from a serialized SaveRequest; as an item of `batch` where it is not alone.
fn put(parts: &mut Parts, number: u64, item: &Item, in_batch: bool) {
    let Item { body, trace, .. } = item;
    let mut inner = BytesMut::with_capacity(48);
    uint64::encode(1, &number, &mut inner);
    encode_key(2, WireType::LengthDelimited, &mut inner);
    encode_varint(body.len() as u64, &mut inner);
    let mut tail = BytesMut::new();
    btree_map::encode(string::encode, string::encoded_len, string::encode, string::encoded_len, 3, trace, &mut tail);
    if in_batch {
        let mut head = BytesMut::with_capacity(64);
        encode_key(4, WireType::LengthDelimited, &mut head);
        encode_varint((inner.len() + body.len() + tail.len()) as u64, &mut head);
        head.put(inner);
        parts.push(head.freeze());
    } else {
        parts.push(inner.freeze());
    }
    parts.push(body.clone());
    if !tail.is_empty() {
        parts.push(tail.freeze());
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use prost::Message;

    use super::*;
    use crate::proto::{Checkpoint, SaveRequest, SaveStreamRequest};

    fn save(session_id: &str, step: u64) -> SaveRequest {
        crate::Save::from(Checkpoint::new(session_id, step)).0
    }

    fn add(outbox: &Arc<Outbox>, session_id: &str, step: u64) -> Waiting {
        let trace = [("traceparent".to_owned(), step.to_string())].into();
        let body = save(session_id, step).encode_to_vec().into();
        outbox.add(session_id, body, trace, Deadline::after(Duration::from_secs(60)))
    }

    fn sent(parts: Option<Parts>) -> Vec<(u64, u64)> {
        let message = SaveStreamRequest::decode(&*parts.expect("a message").concat()).expect("a request");
        let all = if message.batch.is_empty() { vec![message] } else { message.batch };
        let steps = all.iter().map(|one| {
            let step = one.save.as_ref().unwrap().checkpoint.as_ref().unwrap().step;
            assert_eq!(one.trace_context["traceparent"], step.to_string());
            (one.request_id, step)
        });
        steps.collect()
    }

    #[tokio::test]
    async fn items_go_alone_until_the_server_takes_batches() {
        let outbox = Arc::new(Outbox::default());
        let mut messages = Box::pin(outbox.begin_call(None));
        let waiting: Vec<_> = (0..100).map(|step| add(&outbox, "s", step)).collect();
        assert_eq!(sent(messages.next().await), [(1, 0)]);
        outbox.hear(true);
        assert_eq!(sent(messages.next().await).len(), BATCH_SAVES);
        let mut again = Box::pin(outbox.begin_call(None));
        assert!(messages.next().await.is_none(), "the call before gets nothing more");
        drop(waiting);
        let last = add(&outbox, "s", 7);
        assert_eq!(sent(again.next().await), [(101, 7)]);
        assert!(outbox.has_sent() && last.expire().is_some_and(|expired| expired.sent));
        assert!(outbox.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_keeps_its_place_in_its_session() {
        let outbox = Arc::new(Outbox::default());
        let mut messages = Box::pin(outbox.begin_call(None));
        outbox.hear(true);
        let _waiting = [add(&outbox, "s", 1), add(&outbox, "other", 1)];
        assert_eq!(sent(messages.next().await), [(1, 1), (2, 1)]);
        assert!(outbox.hold(1, Duration::from_secs(1), Error::invalid("later")));
        let _more = [add(&outbox, "s", 2), add(&outbox, "other", 2)];
        assert_eq!(sent(messages.next().await), [(4, 2)]);
        assert_eq!(sent(messages.next().await), [(1, 1), (3, 2)]);
    }
}
