//! Streams of answers that go on where they broke off.

use std::{
    collections::{BTreeSet, VecDeque},
    mem,
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use prost::Message;
use tonic::{Code, Streaming};

use crate::{
    Ancestor, Client, Error, Latest, LatestOf, SessionEvent, Stream,
    link::Link,
    proto::{
        LoadLatestRequest, LoadLatestStreamRequest, LoadLatestStreamResponse, WalkAncestorsRequest,
        WalkAncestorsResponse, WatchSessionRequest, WatchSessionResponse,
        load_latest_stream_response::Result as Outcome,
    },
    retry::{Attempts, Deadline},
    rpcs,
    times::{duration, proto_duration},
};

const SESSIONS_PER_CALL: usize = 1000;
/// What servers do by default, and the shortest that they can do.
const HEARTBEAT: Duration = Duration::from_secs(10);
const SHORTEST_HEARTBEAT: Duration = Duration::from_secs(1);

/// A call whose answers come one by one, and what of it is left to ask for.
trait Flow: Send + 'static {
    type Answer: Message + Default + 'static;
    type Item: Send + 'static;
    const PATH: &'static str;

    /// The request for what is left, serialized. None: nothing is.
    fn request(&mut self) -> Option<Vec<u8>>;

    /// Note an answer; what it gives to the reader. None: the end.
    fn item(&mut self, answer: Self::Answer) -> Option<Self::Item>;

    /// Whether the flow is over when the server ends the call.
    fn is_over(&self) -> bool;

    /// How long nothing may come while a call is open. timeout: the client's.
    fn patience(&self, timeout: Duration) -> Duration {
        timeout
    }
}

struct Reading<F: Flow> {
    client: Client,
    flow: F,
    answers: Option<(Streaming<F::Answer>, Arc<Link>)>,
    attempts: Attempts,
    deadline: Deadline,
}

/// What the calls give, as long as one of them brings something within every timeout of the client.
fn follow<F: Flow>(client: Client, flow: F) -> Stream<F::Item> {
    let deadline = client.deadline();
    let attempts = Attempts::new(client.shared.retry, deadline);
    let reading = Reading { client, flow, answers: None, attempts, deadline };
    stream::try_unfold(reading, |mut reading| async move { Ok(reading.next().await?.map(|item| (item, reading))) })
        .boxed()
}

impl<F: Flow> Reading<F> {
    async fn next(&mut self) -> Result<Option<F::Item>, Error> {
        self.restart_clock();
        loop {
            if self.answers.is_none() {
                let Some(request) = self.flow.request() else {
                    return Ok(None);
                };
                self.client.shared.first_connection(self.deadline).await?;
                let opening = self.client.shared.transport.stream(F::PATH, vec![request.into()].into(), self.deadline);
                match opening.await {
                    Ok(answers) => self.answers = Some(answers),
                    Err(error) => {
                        self.attempts.pause(error).await?;
                        continue;
                    }
                }
            }
            match self.read().await {
                Ok(Some(answer)) => return Ok(self.flow.item(answer)),
                Ok(None) if self.flow.is_over() => return Ok(None),
                Ok(None) => self.broken(Error::new(Code::Unavailable, "the call ended too soon")).await?,
                Err(error) => self.broken(error).await?,
            }
        }
    }

    fn restart_clock(&mut self) {
        self.deadline = self.client.deadline();
        self.attempts = Attempts::new(self.client.shared.retry, self.deadline);
    }

    async fn read(&mut self) -> Result<Option<F::Answer>, Error> {
        let Some((answers, link)) = &mut self.answers else {
            return Ok(None);
        };
        let deadline = Deadline::after(self.flow.patience(self.deadline.timeout));
        match tokio::time::timeout_at(deadline.at, answers.message()).await {
            Ok(answer) => {
                let answer = answer.map_err(Error::from).inspect_err(|error| link.note(error))?;
                link.hear();
                Ok(answer)
            }
            Err(_) => Err(self.client.shared.transport.too_late(Some(link), deadline, None).await),
        }
    }

    async fn broken(&mut self, error: Error) -> Result<(), Error> {
        self.answers = None;
        self.attempts.pause(error).await
    }
}

/// The requests that have no answer yet: those of the running call, and those of the next.
struct Fleet {
    running: Vec<Option<LoadLatestRequest>>,
    later: VecDeque<LoadLatestRequest>,
}

pub(crate) fn load_latest_many(client: Client, requests: VecDeque<LoadLatestRequest>) -> Stream<LatestOf> {
    follow(client, Fleet { running: Vec::new(), later: requests })
}

impl Flow for Fleet {
    type Answer = LoadLatestStreamResponse;
    type Item = LatestOf;
    const PATH: &'static str = rpcs::LOAD_LATEST_STREAM.path;

    fn request(&mut self) -> Option<Vec<u8>> {
        for request in mem::take(&mut self.running).into_iter().flatten().rev() {
            self.later.push_front(request);
        }
        let count = self.later.len().min(SESSIONS_PER_CALL);
        let requests: Vec<_> = self.later.drain(..count).collect();
        self.running = requests.iter().cloned().map(Some).collect();
        (count > 0).then(|| LoadLatestStreamRequest { requests }.encode_to_vec())
    }

    fn item(&mut self, answer: Self::Answer) -> Option<Self::Item> {
        let request = self.running.get_mut(answer.index as usize)?.take()?;
        let result = match answer.result {
            Some(Outcome::Loaded(loaded)) => Ok(Latest::of(loaded)),
            Some(Outcome::Error(status)) => Err(Error::from_answer(status)),
            None => Err(Error::new(Code::Internal, "an answer without a result")),
        };
        let LoadLatestRequest { session_id, namespace, .. } = request;
        Some(LatestOf { session_id, namespace, result })
    }

    fn is_over(&self) -> bool {
        self.later.is_empty() && self.running.iter().all(Option::is_none)
    }
}

struct Ancestors {
    request: WalkAncestorsRequest,
    given: BTreeSet<String>,
}

pub(crate) fn walk_ancestors(client: Client, request: WalkAncestorsRequest) -> Stream<Ancestor> {
    follow(client, Ancestors { request, given: BTreeSet::new() })
}

impl Flow for Ancestors {
    type Answer = WalkAncestorsResponse;
    type Item = Ancestor;
    const PATH: &'static str = rpcs::WALK_ANCESTORS.path;

    fn request(&mut self) -> Option<Vec<u8>> {
        let mut rest = self.request.clone();
        if rest.limit > 0 {
            rest.limit = rest.limit.saturating_sub(self.given.len() as u32);
            if rest.limit == 0 {
                return None;
            }
        }
        Some(rest.encode_to_vec())
    }

    fn item(&mut self, answer: Self::Answer) -> Option<Self::Item> {
        let ancestor = Ancestor::of(answer)?;
        let id = ancestor.checkpoint.checkpoint_id.clone();
        self.request.checkpoint_id.clone_from(&id);
        // A circle, which a new call cannot know, ends here.
        self.given.insert(id).then_some(ancestor)
    }

    fn is_over(&self) -> bool {
        true
    }
}

struct Watch(WatchSessionRequest);

/// A client with a short timeout asks for more frequent heartbeats, so that an idle session is no silent one.
pub(crate) fn watch_session(client: Client, mut request: WatchSessionRequest) -> Stream<SessionEvent> {
    if request.heartbeat.is_none() && client.timeout < 2 * HEARTBEAT {
        request.heartbeat = Some(proto_duration((client.timeout / 2).clamp(SHORTEST_HEARTBEAT, HEARTBEAT)));
    }
    follow(client, Watch(request))
}

impl Flow for Watch {
    type Answer = WatchSessionResponse;
    type Item = SessionEvent;
    const PATH: &'static str = rpcs::WATCH_SESSION.path;

    fn request(&mut self) -> Option<Vec<u8>> {
        Some(self.0.encode_to_vec())
    }

    fn item(&mut self, answer: Self::Answer) -> Option<Self::Item> {
        self.0.resume_token.clone_from(&answer.resume_token);
        Some(SessionEvent::of(answer))
    }

    fn is_over(&self) -> bool {
        false
    }

    fn patience(&self, timeout: Duration) -> Duration {
        let heartbeat = duration(self.0.heartbeat).unwrap_or(HEARTBEAT);
        timeout.max(2 * heartbeat)
    }
}
