//! Constructors and accessors of checkpoints and their parts.

use crate::{changes::step_id, proto::*};

impl NodeKind {
    /// The node where a graph begins.
    pub fn start() -> Self {
        Self { kind: Some(node_kind::Kind::Endpoint(Endpoint::Start.into())) }
    }

    /// The node where a graph ends.
    pub fn end() -> Self {
        Self { kind: Some(node_kind::Kind::Endpoint(Endpoint::End.into())) }
    }

    /// A node of an application, by its name.
    ///
    /// ```
    /// use lockstitch::NodeKind;
    /// let frontier = [NodeKind::custom("plan"), NodeKind::end()];
    /// ```
    pub fn custom(name: impl Into<String>) -> Self {
        Self { kind: Some(node_kind::Kind::Custom(name.into())) }
    }
}

impl Message {
    /// A message. role: "user", "assistant", "system", "tool" or any other string.
    ///
    /// ```
    /// let message = lockstitch::Message::new("user", "Where is my parcel?");
    /// ```
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into() }
    }
}

impl VersionedState {
    /// The `messages` channel. An absent channel is created.
    pub fn messages_mut(&mut self) -> &mut MessagesChannel {
        self.messages.get_or_insert_default()
    }

    /// The `extra` channel. An absent channel is created.
    pub fn extra_mut(&mut self) -> &mut ExtrasChannel {
        self.extra.get_or_insert_default()
    }

    /// The `errors` channel. An absent channel is created.
    pub fn errors_mut(&mut self) -> &mut ErrorsChannel {
        self.errors.get_or_insert_default()
    }
}

impl Checkpoint {
    /// A checkpoint of a session at a step, without a state.
    ///
    /// ```
    /// use lockstitch::{Checkpoint, Message};
    /// let mut checkpoint = Checkpoint::new("order-4711", 0);
    /// checkpoint.state_mut().messages_mut().items.push(Message::new("user", "Where is my parcel?"));
    /// assert_eq!(checkpoint.stored_id(), "00000000000000000000");
    /// ```
    pub fn new(session_id: impl Into<String>, step: u64) -> Self {
        Self { session_id: session_id.into(), step, ..Default::default() }
    }

    /// The state. An absent state is created.
    pub fn state_mut(&mut self) -> &mut VersionedState {
        self.state.get_or_insert_default()
    }

    /// The id under which the server stores this checkpoint: its `checkpoint_id`, or its step with 20 digits if that is
    /// empty.
    pub fn stored_id(&self) -> String {
        if self.checkpoint_id.is_empty() { step_id(self.step) } else { self.checkpoint_id.clone() }
    }
}
