//! Saves of some sessions, over one SaveStream call after the other.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use tokio::time::{Instant, sleep};
use tonic::Code;

use crate::{
    Error, RetryPolicy,
    outbox::{Item, Outbox},
    proto::{SaveStreamResponse, save_stream_response::Result as Outcome},
    rpcs,
    save_streams::Support,
    transport::{Body, Transport},
};

/// A stream that nobody uses is closed after this time, or twice this time at most.
const IDLE: Duration = Duration::from_secs(5);
/// How long a stream is used, so that clients that run for long spread over the servers that there are by then.
const AGE: Duration = Duration::from_secs(300);
/// How many sessions are saved at once by calls of their own.
const CONCURRENT_SESSIONS: usize = 16;

/// Sends saves in their order, and what has no answer when a call ends once more on the next.
pub(crate) struct StreamWorker {
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) transport: Arc<Transport>,
    pub(crate) support: Arc<Support>,
    pub(crate) retry: Option<RetryPolicy>,
    /// Calls in a row that have brought nothing.
    pub(crate) failures: u32,
}

impl StreamWorker {
    /// Return when no more saves can come.
    pub(crate) async fn run(mut self) {
        while self.outbox.has_work().await {
            let end = self.use_call().await;
            if !self.outbox.is_empty() {
                self.recover(end.err()).await;
            }
        }
    }

    /// Make a call, and use it until it ends.
    async fn use_call(&mut self) -> Result<(), Error> {
        self.failures += 1;
        let outbox = Arc::clone(&self.outbox);
        tokio::select! {
            end = self.exchange() => end,
            () = outbox.call_dropped() => Ok(()),
            () = until_unused(&outbox) => Ok(()),
        }
    }

    async fn exchange(&mut self) -> Result<(), Error> {
        let transport = Arc::clone(&self.transport);
        let link = transport.link();
        let messages = self.outbox.begin_call(Some(Arc::clone(&link)));
        let mut answers = transport.duplex::<SaveStreamResponse>(&link, rpcs::SAVE_STREAM.path, messages).await?;
        loop {
            match answers.message().await.map_err(Error::from) {
                Ok(Some(answer)) => {
                    link.hear();
                    self.hand_on(answer);
                }
                Ok(None) => return Ok(()),
                Err(error) => {
                    link.note(&error);
                    return Err(error);
                }
            }
        }
    }

    fn hand_on(&mut self, answer: SaveStreamResponse) {
        self.failures = 0;
        self.support.confirm();
        self.outbox.hear(answer.takes_batches);
        if answer.batch.is_empty() {
            self.answered(answer);
        } else {
            answer.batch.into_iter().for_each(|one| self.answered(one));
        }
    }

    fn answered(&self, answer: SaveStreamResponse) {
        let number = answer.request_id;
        let result = match answer.result {
            Some(Outcome::Saved(saved)) => Ok(saved),
            Some(Outcome::Error(status)) => Err(Error::from_answer(status)),
            None => Err(Error::new(Code::Internal, "an answer without a result")),
        };
        if let Err(error) = &result
            && self.is_held(number, error)
        {
            return;
        }
        if let Some(item) = self.outbox.remove(number) {
            let _ = item.answer.send(result); // else nobody waits for it any more
        }
    }

    /// Whether a save that was refused is sent again later.
    fn is_held(&self, number: u64, error: &Error) -> bool {
        let Some(policy) = self.retry.filter(|_| error.is_retryable()) else { return false };
        let Some((refusals, deadline)) = self.outbox.refuse(number) else { return false };
        let pause = policy.wait(refusals, error, deadline);
        pause.is_some_and(|pause| self.outbox.hold(number, pause, error.clone()))
    }

    /// Do what is to be done before the next call.
    ///
    /// A call that ends while it is written to may end in any way, whatever the server says. So unless it has brought
    /// nothing at all, the next one may well tell more.
    async fn recover(&mut self, fault: Option<Error>) {
        let code = fault.as_ref().map(Error::code);
        if code == Some(Code::Unimplemented) {
            self.support.avoid();
        }
        let repeatable = fault.as_ref().is_none_or(Error::is_retryable);
        match (fault, self.retry) {
            (Some(fault), _) if matches!(fault.code(), Code::Unauthenticated | Code::PermissionDenied) => {
                let refused = self.outbox.remove_all(false);
                refused.into_iter().for_each(|item| drop(item.answer.send(Err(fault.clone()))));
            }
            (_, retry) if retry.is_none() || (self.failures > 0 && !repeatable) => self.save_alone().await,
            (fault, Some(policy)) if self.failures > 0 => {
                let told = fault.as_ref().and_then(Error::retry_after).unwrap_or_default();
                if let Some(fault) = fault {
                    let late = self.outbox.remove_late(told);
                    late.into_iter().for_each(|item| drop(item.answer.send(Err(fault.clone()))));
                }
                if !self.outbox.is_empty() {
                    sleep(policy.pause(self.failures).max(told)).await;
                }
            }
            _ => {}
        }
    }

    /// Save by calls of their own, so that whichever ended the stream gets its own error. Those of a session in order.
    async fn save_alone(&self) {
        let items = self.outbox.remove_all(self.outbox.has_sent());
        let mut sessions: BTreeMap<String, Vec<Item>> = BTreeMap::new();
        for item in items {
            sessions.entry(item.session_id.clone()).or_default().push(item);
        }
        let saving = sessions.into_values().map(|items| async {
            for mut item in items {
                let body = Body { message: vec![item.body], trace: Some(item.trace) };
                let saved = self.transport.unary(rpcs::SAVE.path, body, item.deadline);
                tokio::select! {
                    saved = saved => drop(item.answer.send(saved)),
                    () = item.answer.closed() => {}
                }
            }
        });
        stream::iter(saving).buffer_unordered(CONCURRENT_SESSIONS).collect::<Vec<()>>().await;
    }
}

/// Have a call end when it is idle or old. Returns when it has not ended although nobody waits for anything.
async fn until_unused(outbox: &Outbox) {
    let until = Instant::now() + AGE;
    let mut finishing = false;
    loop {
        sleep(IDLE).await;
        let used = outbox.was_used();
        if finishing && outbox.is_empty() {
            return;
        }
        if !used || Instant::now() > until {
            outbox.finish_call();
            finishing = true;
        }
    }
}
