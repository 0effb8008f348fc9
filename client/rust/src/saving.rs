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
    memory::{Base, Key, Memory},
    retry::Deadline,
    rpcs,
    turns::Turn,
    v1::{SaveRequest, SaveResponse, VersionedState},
};

/// Send a checkpoint with its full state, or something that comes to the same.
pub(crate) async fn save(
    shared: &Shared,
    request: SaveRequest,
    deadline: Deadline,
    streamed: bool,
) -> Result<SaveResponse, Error> {
    let Some(checkpoint) = &request.checkpoint else {
        return Err(Error::invalid("checkpoint: is required"));
    };
    let session_id = checkpoint.session_id.clone();
    let turn = shared.turns.next(&session_id).await;
    shared.first_connection(deadline).await?;
    let permit = shared.limiter.enter(request.encoded_len(), deadline).await?;
    let mut way = Way { shared, session_id, deadline, streamed, permit, turn: Some(turn) };
    match &shared.memory {
        Some(memory) if request.delta.is_none() && request.base_checkpoint_id.is_empty() => {
            save_change(&mut way, memory, request).await
        }
        _ => way.send(&request).await,
    }
}

/// `memory` learns of nothing that the server has not acknowledged, so saves of one session may run side by side: each
/// delta names the base it was made from.
async fn save_change(way: &mut Way<'_>, memory: &Memory, mut request: SaveRequest) -> Result<SaveResponse, Error> {
    let checkpoint = request.checkpoint.as_mut().expect("is required");
    let key: Key = (checkpoint.session_id.clone(), checkpoint.namespace.clone());
    let id = checkpoint.stored_id();
    let Some(state) = checkpoint.state.take() else {
        return way.send(&request).await;
    };
    let (answer, state) = match memory.get(&key) {
        Some(base) if base.checkpoint_id != id => send_either(way, request, &base, state).await?,
        _ => send_full(way, request, state).await?, // a delta would replace what it starts from
    };
    if answer.revision != 0 {
        let checkpoint_id = answer.checkpoint_id.clone();
        memory.put(key, Base { checkpoint_id, revision: answer.revision, state });
    }
    Ok(answer)
}

async fn send_either(
    way: &mut Way<'_>,
    mut request: SaveRequest,
    base: &Base,
    state: VersionedState,
) -> Result<(SaveResponse, VersionedState), Error> {
    let smaller = diff(&base.state, &state).filter(|delta| delta.encoded_len() < state.encoded_len());
    let Some(delta) = smaller else {
        return send_full(way, request, state).await;
    };
    request.delta = Some(delta);
    request.base_checkpoint_id.clone_from(&base.checkpoint_id);
    request.base_revision = base.revision;
    match way.send(&request).await {
        Err(error) if error.is_delta_refused() => send_full(way, request, state).await,
        answer => Ok((answer?, state)),
    }
}

async fn send_full(
    way: &mut Way<'_>,
    mut request: SaveRequest,
    state: VersionedState,
) -> Result<(SaveResponse, VersionedState), Error> {
    (request.delta, request.base_revision) = (None, 0);
    request.base_checkpoint_id.clear();
    let checkpoint = request.checkpoint.as_mut().expect("is required");
    checkpoint.state = Some(state);
    let answer = way.send(&request).await?;
    let state = request.checkpoint.and_then(|checkpoint| checkpoint.state).unwrap_or_default();
    Ok((answer, state))
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
