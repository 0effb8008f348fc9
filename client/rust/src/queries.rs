//! Filters of lists, as methods.

use crate::{Timestamp, v1::*};

impl ListSessionsRequest {
    /// All sessions, last changed first.
    ///
    /// ```
    /// use lockstitch::ListSessionsRequest;
    /// let request = ListSessionsRequest::all().prefix("order-").label("customer", "4711").by_id();
    /// assert_eq!(request.session_id_prefix, "order-");
    /// ```
    pub fn all() -> Self {
        Self::default()
    }

    /// Only sessions whose ids begin so.
    #[must_use]
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        Self { session_id_prefix: prefix.into(), ..self }
    }

    /// Only sessions that have this label; may be repeated.
    #[must_use]
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(name.into(), value.into());
        self
    }

    /// Only sessions that were changed at this time or later.
    #[must_use]
    pub fn since(self, time: impl Into<Timestamp>) -> Self {
        Self { updated_since: Some(time.into()), ..self }
    }

    /// Only sessions that were changed before this time.
    #[must_use]
    pub fn before(self, time: impl Into<Timestamp>) -> Self {
        Self { updated_before: Some(time.into()), ..self }
    }

    /// In the order of their ids: then every session that exists throughout is listed once.
    #[must_use]
    pub fn by_id(self) -> Self {
        Self { order_by: SessionOrder::SessionId.into(), ..self }
    }
}

impl ListCheckpointsRequest {
    /// Checkpoints of a session, newest first.
    ///
    /// ```
    /// use lockstitch::ListCheckpointsRequest;
    /// let request = ListCheckpointsRequest::of("order-4711").steps(10..=19).metadata("by", "\"rust\"").headers();
    /// assert_eq!((request.min_step, request.max_step), (Some(10), Some(19)));
    /// ```
    pub fn of(session_id: impl Into<String>) -> Self {
        Self { session_id: session_id.into(), ..Self::default() }
    }

    /// Only those of this namespace.
    #[must_use]
    pub fn in_namespace(self, namespace: impl Into<String>) -> Self {
        Self { namespace: Some(namespace.into()), ..self }
    }

    /// Only those of these steps.
    #[must_use]
    pub fn steps(self, steps: std::ops::RangeInclusive<u64>) -> Self {
        Self { min_step: Some(*steps.start()), max_step: Some(*steps.end()), ..self }
    }

    /// Only those in whose step this node ran.
    #[must_use]
    pub fn ran(self, node: NodeKind) -> Self {
        Self { ran_node: Some(node), ..self }
    }

    /// Only those in whose step this node was skipped.
    #[must_use]
    pub fn skipped(self, node: NodeKind) -> Self {
        Self { skipped_node: Some(node), ..self }
    }

    /// Only those that have this metadata, a key and JSON text; may be repeated.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, json: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), json.into());
        self
    }

    /// Without their states.
    #[must_use]
    pub fn headers(self) -> Self {
        Self { view: CheckpointView::Header.into(), ..self }
    }

    /// With their pending writes.
    #[must_use]
    pub fn with_writes(self) -> Self {
        Self { include_writes: true, ..self }
    }
}
