//! Messages from what is at hand.

use std::time::Duration;

use crate::{Lease, lease::proto_duration, v1::*};

impl NodeKind {
    /// Where a graph begins.
    pub fn start() -> Self {
        Self { kind: Some(node_kind::Kind::Endpoint(Endpoint::Start.into())) }
    }

    /// Where a graph ends.
    pub fn end() -> Self {
        Self { kind: Some(node_kind::Kind::Endpoint(Endpoint::End.into())) }
    }

    /// A node of the user's.
    pub fn custom(name: impl Into<String>) -> Self {
        Self { kind: Some(node_kind::Kind::Custom(name.into())) }
    }
}

impl Message {
    /// A message: who speaks ("user", "assistant", "system", "tool" or any other string), and what is said.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into() }
    }
}

impl VersionedState {
    /// The `messages` channel, made where there is none.
    pub fn messages_mut(&mut self) -> &mut MessagesChannel {
        self.messages.get_or_insert_default()
    }

    /// The `extra` channel, made where there is none.
    pub fn extra_mut(&mut self) -> &mut ExtrasChannel {
        self.extra.get_or_insert_default()
    }

    /// The `errors` channel, made where there is none.
    pub fn errors_mut(&mut self) -> &mut ErrorsChannel {
        self.errors.get_or_insert_default()
    }
}

impl Checkpoint {
    /// A checkpoint of a session at a step, without a state yet.
    pub fn new(session_id: impl Into<String>, step: u64) -> Self {
        Self { session_id: session_id.into(), step, ..Default::default() }
    }

    /// The state, made where there is none.
    pub fn state_mut(&mut self) -> &mut VersionedState {
        self.state.get_or_insert_default()
    }

    /// The id under which the server stores this: its own, else the step as 20 digits.
    pub fn stored_id(&self) -> String {
        if self.checkpoint_id.is_empty() { format!("{:020}", self.step) } else { self.checkpoint_id.clone() }
    }
}

impl From<Checkpoint> for SaveRequest {
    fn from(checkpoint: Checkpoint) -> Self {
        Self { checkpoint: Some(checkpoint), ..Default::default() }
    }
}

impl SaveRequest {
    /// Only if the latest checkpoint of (session, namespace) has this step.
    #[must_use]
    pub fn expect_step(self, step: u64) -> Self {
        self.expect(expected_latest::Expected::Step(step))
    }

    /// Only if the latest checkpoint of (session, namespace) has this id.
    #[must_use]
    pub fn expect_id(self, checkpoint_id: impl Into<String>) -> Self {
        self.expect(expected_latest::Expected::CheckpointId(checkpoint_id.into()))
    }

    /// Only if the content of the expected latest checkpoint was written in this revision
    /// ([`SaveResponse::revision`], [`LoadLatestResponse::checkpoint_revision`]), beside [`expect_id`](Self::expect_id)
    /// or [`expect_step`](Self::expect_step): a checkpoint that was deleted and saved again is another one.
    #[must_use]
    pub fn expect_revision(self, revision: u64) -> Self {
        let expected = self.expected_latest.and_then(|latest| latest.expected);
        Self { expected_latest: Some(ExpectedLatest { expected, revision }), ..self }
    }

    /// Only if there is no checkpoint of (session, namespace) yet.
    #[must_use]
    pub fn expect_none(self) -> Self {
        self.expect(expected_latest::Expected::None(true))
    }

    /// Only while this lease is held.
    #[must_use]
    pub fn with_lease(self, lease: &Lease) -> Self {
        Self { lease_token: lease.token(), ..self }
    }

    /// Have the session end this long after its last save, 1 second or more.
    #[must_use]
    pub fn with_ttl(self, ttl: Duration) -> Self {
        Self { ttl: Some(proto_duration(ttl)), ..self }
    }

    /// Add an entry to the checkpoint's metadata: a key, and JSON text that lists filter by.
    #[must_use]
    pub fn with_metadata(mut self, key: impl Into<String>, json: impl Into<String>) -> Self {
        self.checkpoint.get_or_insert_default().metadata.insert(key.into(), json.into());
        self
    }

    /// Store these pending writes with the checkpoint.
    #[must_use]
    pub fn with_writes(self, writes: impl IntoIterator<Item = PendingWrite>) -> Self {
        Self { writes: writes.into_iter().collect(), ..self }
    }

    fn expect(self, expected: expected_latest::Expected) -> Self {
        let revision = self.expected_latest.map_or(0, |latest| latest.revision);
        Self { expected_latest: Some(ExpectedLatest { expected: Some(expected), revision }), ..self }
    }
}

impl DeleteCheckpointsRequest {
    /// Those of a session that came after a step.
    pub fn after(session_id: impl Into<String>, step: u64) -> Self {
        let at = CheckpointRef { checkpoint_id: format!("{step:020}"), ..Default::default() };
        let which = Some(delete_checkpoints_request::Which::After(at));
        Self { session_id: session_id.into(), which, ..Default::default() }
    }
}

impl LoadRequest {
    /// The checkpoint of this step; where several have it, the one with the greatest id.
    pub fn step(session_id: impl Into<String>, step: u64) -> Self {
        Self { session_id: session_id.into(), selector: Some(load_request::Selector::Step(step)), ..Default::default() }
    }

    /// The checkpoint with this id.
    pub fn id(session_id: impl Into<String>, checkpoint_id: impl Into<String>) -> Self {
        let selector = Some(load_request::Selector::CheckpointId(checkpoint_id.into()));
        Self { session_id: session_id.into(), selector, ..Default::default() }
    }
}

/// A request that needs no more than a session's id can be made from it.
macro_rules! from_session_id {
    ($($request:ty),*) => {$(
        impl From<&str> for $request {
            fn from(session_id: &str) -> Self {
                session_id.to_owned().into()
            }
        }

        impl From<&String> for $request {
            fn from(session_id: &String) -> Self {
                session_id.clone().into()
            }
        }

        impl From<String> for $request {
            fn from(session_id: String) -> Self {
                Self { session_id, ..Default::default() }
            }
        }
    )*};
}

from_session_id!(LoadLatestRequest, ListCheckpointsRequest, WalkAncestorsRequest, WatchSessionRequest);
