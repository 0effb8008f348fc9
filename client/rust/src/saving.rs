//! Saving: what changed where that is enough, the whole state where it is not.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use prost::Message;

use crate::{
    Error,
    client::Shared,
    delta::diff,
    limiter::{Permit, permitted},
    memory::{self, Base, Memory},
    proto::{SaveRequest, SaveResponse, VersionedState},
    retry::Deadline,
    rpcs,
    save_ids::{self, Begun, SaveIds, is_refused},
    turns::Turn,
};

/// Send a checkpoint with its full state, or something that comes to the same.
///
/// `memory` learns of nothing that the server has not acknowledged, so saves of one session may run side by side: each
/// delta names the base it was made from. ids: those of the writer.
pub(crate) async fn save(
    shared: &Shared,
    ids: &SaveIds,
    request: SaveRequest,
    deadline: Deadline,
    streamed: bool,
) -> Result<SaveResponse, Error> {
    let saving = save_in_turn(shared, ids, request, deadline, streamed);
    shared.hooks.observed(rpcs::SAVE.path, saving).await
}

async fn save_in_turn(
    shared: &Shared,
    ids: &SaveIds,
    request: SaveRequest,
    deadline: Deadline,
    streamed: bool,
) -> Result<SaveResponse, Error> {
    let Some(checkpoint) = &request.checkpoint else {
        return Err(Error::invalid("checkpoint: is required"));
    };
    let session_id = checkpoint.session_id.clone();
    let mut draft = Draft::begin(ids, request);
    let turn = shared.turns.next(&session_id, deadline).await?;
    shared.first_connection(deadline).await?;
    let permit = shared.limiter.enter(draft.request.encoded_len(), deadline).await?;
    let mut way = Way { shared, session_id, deadline, streamed, permit, turn: Some(turn) };
    let outcome = match &shared.memory {
        Some(memory) if draft.request.delta.is_none() && draft.request.base_checkpoint_id.is_empty() => {
            save_change(&mut way, memory, &mut draft).await
        }
        _ => way.send(&draft.request).await,
    };
    match &outcome {
        Ok(_) => draft.settle(true),
        Err(error) if is_refused(error) => draft.settle(false),
        Err(_) => {}
    }
    outcome
}

async fn save_change(way: &mut Way<'_>, memory: &Memory, draft: &mut Draft<'_>) -> Result<SaveResponse, Error> {
    let checkpoint = draft.request.checkpoint.as_ref().expect("is required");
    let key: memory::Key = (checkpoint.session_id.clone(), checkpoint.namespace.clone());
    let Some(state) = &checkpoint.state else {
        return way.send(&draft.request).await;
    };
    // A delta on the checkpoint itself would replace what it starts from.
    let base = memory.get(&key).filter(|base| base.checkpoint_id != checkpoint.stored_id());
    let answer = match base.and_then(|base| smaller(&base, state).map(|delta| (base, delta))) {
        Some((base, delta)) => {
            draft.put_delta(&base, delta);
            match way.send(&draft.request).await {
                Err(error) if error.is_delta_refused() => {
                    draft.put_state();
                    way.send(&draft.request).await?
                }
                answer => answer?,
            }
        }
        None => way.send(&draft.request).await?,
    };
    if answer.revision != 0 {
        let (checkpoint_id, revision) = (answer.checkpoint_id.clone(), answer.revision);
        memory.put(key, Base { checkpoint_id, revision, state: draft.take_state() });
    }
    Ok(answer)
}

fn smaller(base: &Base, state: &VersionedState) -> Option<crate::proto::StateDelta> {
    diff(&base.state, state).filter(|delta| delta.encoded_len() < state.encoded_len())
}

/// A request on its way. Where its outcome is not known in the end, or its caller has dropped it, it is remembered, so
/// that the same save again is known for a retry.
struct Draft<'a> {
    ids: &'a SaveIds,
    request: SaveRequest,
    /// The state, while the request has a delta instead.
    state: Option<VersionedState>,
    /// Where the id was given here, until the outcome is known.
    begun: Option<Begun>,
}

impl<'a> Draft<'a> {
    fn begin(ids: &'a SaveIds, mut request: SaveRequest) -> Self {
        let mut begun = None;
        if let (None, Some(checkpoint)) = (&request.save_id, &request.checkpoint) {
            let save = ids.begin(&request, save_ids::key(checkpoint));
            request.save_id = Some(save.id);
            begun = Some(save);
        }
        Self { ids, request, state: None, begun }
    }

    fn put_delta(&mut self, base: &Base, delta: crate::proto::StateDelta) {
        let request = &mut self.request;
        self.state = request.checkpoint.as_mut().and_then(|checkpoint| checkpoint.state.take());
        request.delta = Some(delta);
        request.base_checkpoint_id.clone_from(&base.checkpoint_id);
        request.base_revision = base.revision;
    }

    fn put_state(&mut self) {
        let Some(state) = self.state.take() else { return };
        let request = &mut self.request;
        (request.delta, request.base_revision) = (None, 0);
        request.base_checkpoint_id.clear();
        request.checkpoint.get_or_insert_default().state = Some(state);
    }

    fn take_state(&mut self) -> VersionedState {
        self.put_state();
        self.request.checkpoint.as_mut().and_then(|checkpoint| checkpoint.state.take()).unwrap_or_default()
    }

    /// The outcome is known.
    fn settle(&mut self, stored: bool) {
        if let Some(save) = self.begun.take() {
            self.ids.settled(save, stored);
        }
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if let Some(save) = self.begun.take() {
            self.put_state();
            self.ids.unsettled(&self.request, save);
        }
    }
}

/// How a save goes to the server.
struct Way<'a> {
    shared: &'a Shared,
    session_id: String,
    deadline: Deadline,
    streamed: bool,
    permit: Arc<Permit>,
    /// Other saves of the session wait for its end: until this one is on a stream, or has been answered.
    turn: Option<Turn>,
}

impl Way<'_> {
    /// The answer to a request: over a stream where others are under way, else by a call of its own.
    async fn send(&mut self, request: &SaveRequest) -> Result<SaveResponse, Error> {
        let body = permitted(request.encode_to_vec(), &self.permit);
        let others = UnderWay::enter(&self.shared.saving);
        if let Some(streams) = &self.shared.streams
            && streams.are_open()
            && (self.streamed || others.0 > 0)
        {
            let waiting = streams.send(&self.session_id, body, self.deadline);
            self.turn = None;
            return streams.answer(waiting, self.deadline).await;
        }
        self.shared.call(rpcs::SAVE.path, body, self.deadline).await
    }
}

/// Counts the saves that are under way; `.0`: how many were before this one.
struct UnderWay(usize, Arc<AtomicUsize>);

impl UnderWay {
    fn enter(counter: &Arc<AtomicUsize>) -> Self {
        Self(counter.fetch_add(1, Ordering::Relaxed), Arc::clone(counter))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::Relaxed);
    }
}
