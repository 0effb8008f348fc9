//! Messages from what is at hand.

use crate::{changes::step_id, proto::*};

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
        if self.checkpoint_id.is_empty() { step_id(self.step) } else { self.checkpoint_id.clone() }
    }
}

impl From<Checkpoint> for SaveRequest {
    fn from(checkpoint: Checkpoint) -> Self {
        Self { checkpoint: Some(checkpoint), ..Default::default() }
    }
}
