//! Queries: which checkpoints and sessions to load, list, walk and watch.

use std::time::{Duration, SystemTime};

use crate::{
    NodeKind,
    changes::step_id,
    proto::{self, CheckpointView, SessionOrder, load_request::Selector},
    times::proto_duration,
};

/// Selects the latest checkpoint of a session, and which parts of it to load. Can be made from a session id.
///
/// ```
/// use lockstitch::LatestQuery;
/// let query = LatestQuery::of("order-4711").in_namespace("subgraph").headers();
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct LatestQuery(pub(crate) proto::LoadLatestRequest);

impl LatestQuery {
    /// The latest checkpoint of a session, in its root namespace.
    pub fn of(session_id: impl Into<String>) -> Self {
        Self(proto::LoadLatestRequest { session_id: session_id.into(), ..Default::default() })
    }
}

/// Selects one checkpoint of a session, and which parts of it to load.
///
/// ```
/// use lockstitch::LoadQuery;
/// let query = LoadQuery::step("order-4711", 7).channels(["messages"]);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct LoadQuery(pub(crate) proto::LoadRequest);

impl LoadQuery {
    /// The checkpoint of this step. If several checkpoints have this step: the one with the greatest id.
    pub fn step(session_id: impl Into<String>, step: u64) -> Self {
        Self::of(session_id.into(), Selector::Step(step))
    }

    /// The checkpoint with this id.
    pub fn id(session_id: impl Into<String>, checkpoint_id: impl Into<String>) -> Self {
        Self::of(session_id.into(), Selector::CheckpointId(checkpoint_id.into()))
    }

    fn of(session_id: String, selector: Selector) -> Self {
        Self(proto::LoadRequest { session_id, selector: Some(selector), ..Default::default() })
    }
}

/// Selects sessions.
///
/// ```
/// use lockstitch::SessionQuery;
/// let query = SessionQuery::all().prefix("order-").label("customer", "4711").by_id();
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct SessionQuery(pub(crate) proto::ListSessionsRequest);

impl SessionQuery {
    /// All sessions, last changed first.
    pub fn all() -> Self {
        Self::default()
    }

    /// Only sessions whose ids begin with this prefix.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.0.session_id_prefix = prefix.into();
        self
    }

    /// Only sessions that have this label. Several calls: only sessions that have all of the labels.
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.labels.insert(name.into(), value.into());
        self
    }

    /// Only sessions whose last change was at this time or later.
    pub fn since(mut self, time: SystemTime) -> Self {
        self.0.updated_since = Some(time.into());
        self
    }

    /// Only sessions whose last change was before this time.
    pub fn before(mut self, time: SystemTime) -> Self {
        self.0.updated_before = Some(time.into());
        self
    }

    /// In the order of the session ids. This list has each session exactly once, even if sessions are saved meanwhile.
    pub fn by_id(mut self) -> Self {
        self.0.order_by = SessionOrder::SessionId.into();
        self
    }
}

/// Selects checkpoints, and which parts of them to load. Can be made from a session id.
///
/// ```
/// use lockstitch::CheckpointQuery;
/// let query = CheckpointQuery::of("order-4711").steps(10..=19).metadata("by", "\"rust\"").headers();
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct CheckpointQuery(pub(crate) proto::ListCheckpointsRequest);

impl CheckpointQuery {
    /// The checkpoints of a session, newest first.
    pub fn of(session_id: impl Into<String>) -> Self {
        Self(proto::ListCheckpointsRequest { session_id: session_id.into(), ..Default::default() })
    }

    /// The checkpoints of all sessions, last saved first.
    pub fn all() -> Self {
        Self::default()
    }

    /// Only checkpoints of this namespace; "" is the root namespace. Without this call: of all namespaces.
    pub fn in_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.0.namespace = Some(namespace.into());
        self
    }

    /// Only checkpoints of these steps.
    pub fn steps(self, steps: std::ops::RangeInclusive<u64>) -> Self {
        self.from_step(*steps.start()).to_step(*steps.end())
    }

    /// Only checkpoints of this step and later steps.
    pub fn from_step(mut self, step: u64) -> Self {
        self.0.min_step = Some(step);
        self
    }

    /// Only checkpoints of this step and earlier steps.
    pub fn to_step(mut self, step: u64) -> Self {
        self.0.max_step = Some(step);
        self
    }

    /// Only checkpoints in whose step this node ran.
    pub fn ran(mut self, node: NodeKind) -> Self {
        self.0.ran_node = Some(node);
        self
    }

    /// Only checkpoints in whose step this node was skipped.
    pub fn skipped(mut self, node: NodeKind) -> Self {
        self.0.skipped_node = Some(node);
        self
    }

    /// Only checkpoints with an id below this one. Needs a session: [`of`](Self::of).
    pub fn before_id(mut self, checkpoint_id: impl Into<String>) -> Self {
        self.0.before_checkpoint_id = checkpoint_id.into();
        self
    }

    /// Only checkpoints that have this metadata: a key and JSON text. Several calls: only checkpoints that have all of it.
    pub fn metadata(mut self, key: impl Into<String>, json: impl Into<String>) -> Self {
        self.0.metadata.insert(key.into(), json.into());
        self
    }

    /// With the size of each channel, in [`ListedCheckpoint::channels`](crate::ListedCheckpoint::channels).
    pub fn with_channel_sizes(mut self) -> Self {
        self.0.include_channel_sizes = true;
        self
    }

    /// Count all checkpoints that match, in [`CheckpointPage::total_size`](crate::CheckpointPage::total_size). The server
    /// reads each of them.
    pub fn with_total(mut self) -> Self {
        self.0.include_total = true;
        self
    }

    /// Skip damaged checkpoints, and name them in [`CheckpointPage::damaged`](crate::CheckpointPage::damaged). Without
    /// this call, a page with a damaged checkpoint fails with DATA_LOSS.
    pub fn skip_damaged(mut self) -> Self {
        self.0.skip_damaged = true;
        self
    }
}

/// Selects the ancestors of a checkpoint, and which parts of them to load. Can be made from a session id.
///
/// ```
/// use lockstitch::AncestorQuery;
/// let query = AncestorQuery::of("order-4711").from_step(7).headers().limit(10);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct AncestorQuery(pub(crate) proto::WalkAncestorsRequest);

impl AncestorQuery {
    /// The ancestors of a session's latest checkpoint, in its root namespace.
    pub fn of(session_id: impl Into<String>) -> Self {
        Self(proto::WalkAncestorsRequest { session_id: session_id.into(), ..Default::default() })
    }

    /// The ancestors of the checkpoint with this id.
    pub fn from_id(mut self, checkpoint_id: impl Into<String>) -> Self {
        self.0.checkpoint_id = checkpoint_id.into();
        self
    }

    /// The ancestors of the checkpoint of a step, which has no other id.
    pub fn from_step(self, step: u64) -> Self {
        self.from_id(step_id(step))
    }

    /// At most this number of ancestors; 0: all.
    pub fn limit(mut self, limit: u32) -> Self {
        self.0.limit = limit;
        self
    }
}

/// Selects a session to watch. Can be made from a session id.
///
/// ```
/// use lockstitch::WatchQuery;
/// let query = WatchQuery::of("order-4711").heartbeat(std::time::Duration::from_secs(5));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct WatchQuery(pub(crate) proto::WatchSessionRequest);

impl WatchQuery {
    /// The new events of a session.
    pub fn of(session_id: impl Into<String>) -> Self {
        Self(proto::WatchSessionRequest { session_id: session_id.into(), ..Default::default() })
    }

    /// Also the events after an earlier one: its [`SessionEvent::resume_token`](crate::SessionEvent::resume_token).
    pub fn resume_after(mut self, resume_token: impl Into<String>) -> Self {
        self.0.resume_token = resume_token.into();
        self
    }

    /// How often the server sends a heartbeat while nothing happens.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.0.heartbeat = Some(proto_duration(interval));
        self
    }
}

/// Queries of one namespace.
macro_rules! with_namespace {
    ($($query:ty),*) => {$(
        impl $query {
            /// In this namespace. Without this call: in the root namespace.
            pub fn in_namespace(mut self, namespace: impl Into<String>) -> Self {
                self.0.namespace = namespace.into();
                self
            }
        }
    )*};
}

/// Queries that load checkpoints, or parts of them.
macro_rules! with_parts {
    ($($query:ty),*) => {$(
        impl $query {
            /// Without the state.
            pub fn headers(mut self) -> Self {
                self.0.view = CheckpointView::Header.into();
                self
            }

            /// Only these parts of the state: `messages`, `errors`, `extra`, `extra/<key>`, `custom`, `custom/<name>`.
            pub fn channels(mut self, channels: impl IntoIterator<Item = impl Into<String>>) -> Self {
                self.0.channels = texts(channels);
                self
            }
        }
    )*};
}

/// Queries that load pending writes on demand.
macro_rules! with_pending_writes {
    ($($query:ty),*) => {$(
        impl $query {
            /// With the pending writes of each checkpoint.
            pub fn with_writes(mut self) -> Self {
                self.0.include_writes = true;
                self
            }

            /// With the pending writes of each checkpoint that are for these channels.
            pub fn writes_of(mut self, channels: impl IntoIterator<Item = impl Into<String>>) -> Self {
                (self.0.include_writes, self.0.write_channels) = (true, texts(channels));
                self
            }
        }
    )*};
}

/// Queries whose results come in pages.
macro_rules! with_pages {
    ($($query:ty),*) => {$(
        impl $query {
            /// Maximum number of items in a page; 0: the server's default.
            pub fn page_size(mut self, size: i32) -> Self {
                self.0.page_size = size;
                self
            }

            /// Begin after an earlier page: its `next_page_token`.
            pub fn page_token(mut self, token: impl Into<String>) -> Self {
                self.0.page_token = token.into();
                self
            }
        }
    )*};
}

/// Queries for which a session id is enough.
macro_rules! from_session_id {
    ($($query:ty),*) => {$(
        impl From<&str> for $query {
            fn from(session_id: &str) -> Self {
                Self::of(session_id)
            }
        }

        impl From<&String> for $query {
            fn from(session_id: &String) -> Self {
                Self::of(session_id)
            }
        }

        impl From<String> for $query {
            fn from(session_id: String) -> Self {
                Self::of(session_id)
            }
        }
    )*};
}

with_namespace!(LatestQuery, LoadQuery, AncestorQuery);
with_parts!(LatestQuery, LoadQuery, CheckpointQuery, AncestorQuery);
with_pending_writes!(CheckpointQuery, AncestorQuery);
with_pages!(SessionQuery, CheckpointQuery);
from_session_id!(LatestQuery, CheckpointQuery, AncestorQuery, WatchQuery);

fn texts(all: impl IntoIterator<Item = impl Into<String>>) -> Vec<String> {
    all.into_iter().map(Into::into).collect()
}

/// Each query can say all that its request can: a request here has every field, so a new one breaks the build.
#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use prost_types::{Duration as ProtoDuration, Timestamp};

    use super::*;

    fn map() -> BTreeMap<String, String> {
        [("key".to_owned(), "1".to_owned())].into()
    }

    #[test]
    fn loads_say_all_that_the_contract_has() {
        let (session_id, namespace, channels) = ("s".to_owned(), "n".to_owned(), vec!["messages".to_owned()]);
        let view = CheckpointView::Header.into();
        let request = proto::LoadLatestRequest {
            session_id: session_id.clone(),
            namespace: namespace.clone(),
            view,
            channels: channels.clone(),
        };
        assert_eq!(LatestQuery::of("s").in_namespace("n").headers().channels(["messages"]).0, request);
        assert_eq!(LatestQuery::from("s"), LatestQuery::of("s"));
        let selector = Some(Selector::Step(7));
        let request = proto::LoadRequest { session_id, namespace, selector, view, channels };
        assert_eq!(LoadQuery::step("s", 7).in_namespace("n").headers().channels(["messages"]).0, request);
        assert_eq!(LoadQuery::id("s", "id").0.selector, Some(Selector::CheckpointId("id".into())));
    }

    #[test]
    fn lists_of_sessions_say_all_that_the_contract_has() {
        let request = proto::ListSessionsRequest {
            page_size: 1,
            page_token: "t".into(),
            session_id_prefix: "p".into(),
            labels: map(),
            updated_since: Some(Timestamp { seconds: 2, nanos: 0 }),
            updated_before: Some(Timestamp { seconds: 3, nanos: 0 }),
            order_by: SessionOrder::SessionId.into(),
        };
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let query = SessionQuery::all().page_size(1).page_token("t").prefix("p").label("key", "1").by_id();
        assert_eq!(query.since(at(2)).before(at(3)).0, request);
    }

    #[test]
    fn lists_of_checkpoints_say_all_that_the_contract_has() {
        let request = proto::ListCheckpointsRequest {
            page_size: 1,
            page_token: "t".into(),
            session_id: "s".into(),
            namespace: Some(String::new()),
            min_step: Some(2),
            max_step: Some(3),
            ran_node: Some(NodeKind::custom("ran")),
            skipped_node: Some(NodeKind::custom("skipped")),
            before_checkpoint_id: "id".into(),
            metadata: map(),
            include_total: true,
            view: CheckpointView::Header.into(),
            include_writes: true,
            skip_damaged: true,
            include_channel_sizes: true,
            channels: vec!["messages".into()],
            write_channels: vec!["w".into()],
        };
        let query =
            CheckpointQuery::of("s").in_namespace("").steps(2..=3).metadata("key", "1").before_id("id").headers();
        let query = query.ran(NodeKind::custom("ran")).skipped(NodeKind::custom("skipped")).channels(["messages"]);
        let query =
            query.writes_of(["w"]).with_channel_sizes().with_total().skip_damaged().page_size(1).page_token("t");
        assert_eq!(query.0, request);
        assert!(CheckpointQuery::all().with_writes().0.include_writes);
    }

    #[test]
    fn walks_and_watches_say_all_that_the_contract_has() {
        let request = proto::WalkAncestorsRequest {
            session_id: "s".into(),
            namespace: "n".into(),
            checkpoint_id: "id".into(),
            view: CheckpointView::Header.into(),
            channels: vec!["messages".into()],
            include_writes: true,
            write_channels: vec!["w".into()],
            limit: 4,
        };
        let query = AncestorQuery::of("s").from_id("id").in_namespace("n").headers().channels(["messages"]).limit(4);
        assert_eq!(query.writes_of(["w"]).0, request);
        assert!(AncestorQuery::of("s").with_writes().0.include_writes);
        assert_eq!(AncestorQuery::of("s").from_step(7).0.checkpoint_id, "00000000000000000007");
        let request = proto::WatchSessionRequest {
            session_id: "s".into(),
            resume_token: "t".into(),
            heartbeat: Some(ProtoDuration { seconds: 5, nanos: 6 }),
        };
        assert_eq!(WatchQuery::of("s").resume_after("t").heartbeat(Duration::new(5, 6)).0, request);
    }
}
