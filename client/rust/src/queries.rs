//! What to load, list, walk and watch.

use std::time::{Duration, SystemTime};

use crate::{
    NodeKind,
    proto::{self, CheckpointView, SessionOrder, load_request::Selector},
    times::proto_duration,
};

/// Which latest checkpoint to load, and which parts of it. A session id is enough: it can be made from one.
///
/// ```
/// use lockstitch::LatestQuery;
/// let query = LatestQuery::of("order-4711").in_namespace("subgraph").headers();
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct LatestQuery(pub(crate) proto::LoadLatestRequest);

impl LatestQuery {
    /// That of a session, in its root namespace.
    pub fn of(session_id: impl Into<String>) -> Self {
        Self(proto::LoadLatestRequest { session_id: session_id.into(), ..Default::default() })
    }

    /// That of this namespace.
    pub fn in_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.0.namespace = namespace.into();
        self
    }

    /// Without its state.
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

/// Which checkpoint to load, and which parts of it.
///
/// ```
/// use lockstitch::LoadQuery;
/// let query = LoadQuery::step("order-4711", 7).channels(["messages"]);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct LoadQuery(pub(crate) proto::LoadRequest);

impl LoadQuery {
    /// The checkpoint of this step; where several have it, the one with the greatest id.
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

    /// That of this namespace.
    pub fn in_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.0.namespace = namespace.into();
        self
    }

    /// Without its state.
    pub fn headers(mut self) -> Self {
        self.0.view = CheckpointView::Header.into();
        self
    }

    /// Only these parts of the state, as in [`LatestQuery::channels`].
    pub fn channels(mut self, channels: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.0.channels = texts(channels);
        self
    }
}

/// Which sessions to list.
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

    /// Only sessions whose ids begin so.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.0.session_id_prefix = prefix.into();
        self
    }

    /// Only sessions that have this label; may be repeated.
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.labels.insert(name.into(), value.into());
        self
    }

    /// Only sessions that were changed at this time or later.
    pub fn since(mut self, time: SystemTime) -> Self {
        self.0.updated_since = Some(time.into());
        self
    }

    /// Only sessions that were changed before this time.
    pub fn before(mut self, time: SystemTime) -> Self {
        self.0.updated_before = Some(time.into());
        self
    }

    /// In the order of their ids: then every session that exists throughout is listed once.
    pub fn by_id(mut self) -> Self {
        self.0.order_by = SessionOrder::SessionId.into();
        self
    }

    /// Maximum number of sessions in a page; 0: the server's default.
    pub fn page_size(mut self, size: i32) -> Self {
        self.0.page_size = size;
        self
    }

    /// Begin after a page that was read before: its `next_page_token`.
    pub fn page_token(mut self, token: impl Into<String>) -> Self {
        self.0.page_token = token.into();
        self
    }
}

/// Which checkpoints to list, and which parts of them. A session id is enough: it can be made from one.
///
/// ```
/// use lockstitch::CheckpointQuery;
/// let query = CheckpointQuery::of("order-4711").steps(10..=19).metadata("by", "\"rust\"").headers();
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct CheckpointQuery(pub(crate) proto::ListCheckpointsRequest);

impl CheckpointQuery {
    /// Those of a session, newest first.
    pub fn of(session_id: impl Into<String>) -> Self {
        Self(proto::ListCheckpointsRequest { session_id: session_id.into(), ..Default::default() })
    }

    /// Those of all sessions, last saved first.
    pub fn all() -> Self {
        Self::default()
    }

    /// Only those of this namespace; empty: the root.
    pub fn in_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.0.namespace = Some(namespace.into());
        self
    }

    /// Only those of these steps.
    pub fn steps(self, steps: std::ops::RangeInclusive<u64>) -> Self {
        self.from_step(*steps.start()).to_step(*steps.end())
    }

    /// Only this step and later ones.
    pub fn from_step(mut self, step: u64) -> Self {
        self.0.min_step = Some(step);
        self
    }

    /// Only this step and earlier ones.
    pub fn to_step(mut self, step: u64) -> Self {
        self.0.max_step = Some(step);
        self
    }

    /// Only those in whose step this node ran.
    pub fn ran(mut self, node: NodeKind) -> Self {
        self.0.ran_node = Some(node);
        self
    }

    /// Only those in whose step this node was skipped.
    pub fn skipped(mut self, node: NodeKind) -> Self {
        self.0.skipped_node = Some(node);
        self
    }

    /// Only those whose id is below this one; of a session.
    pub fn before_id(mut self, checkpoint_id: impl Into<String>) -> Self {
        self.0.before_checkpoint_id = checkpoint_id.into();
        self
    }

    /// Only those that have this metadata, a key and JSON text; may be repeated.
    pub fn metadata(mut self, key: impl Into<String>, json: impl Into<String>) -> Self {
        self.0.metadata.insert(key.into(), json.into());
        self
    }

    /// Without their states.
    pub fn headers(mut self) -> Self {
        self.0.view = CheckpointView::Header.into();
        self
    }

    /// Only these parts of the states, as in [`LatestQuery::channels`].
    pub fn channels(mut self, channels: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.0.channels = texts(channels);
        self
    }

    /// With their pending writes.
    pub fn with_writes(mut self) -> Self {
        self.0.include_writes = true;
        self
    }

    /// With their pending writes of these channels.
    pub fn writes_of(mut self, channels: impl IntoIterator<Item = impl Into<String>>) -> Self {
        (self.0.include_writes, self.0.write_channels) = (true, texts(channels));
        self
    }

    /// With the size of each channel.
    pub fn with_channel_sizes(mut self) -> Self {
        self.0.include_channel_sizes = true;
        self
    }

    /// Count all that match, in [`CheckpointPage::total_size`](crate::CheckpointPage::total_size). Reads each of them.
    pub fn with_total(mut self) -> Self {
        self.0.include_total = true;
        self
    }

    /// Leave damaged checkpoints out, and name them in [`CheckpointPage::damaged`](crate::CheckpointPage::damaged).
    /// Otherwise a page that has one fails with DATA_LOSS.
    pub fn skip_damaged(mut self) -> Self {
        self.0.skip_damaged = true;
        self
    }

    /// Maximum number of checkpoints in a page; 0: the server's default.
    pub fn page_size(mut self, size: i32) -> Self {
        self.0.page_size = size;
        self
    }

    /// Begin after a page that was read before: its `next_page_token`.
    pub fn page_token(mut self, token: impl Into<String>) -> Self {
        self.0.page_token = token.into();
        self
    }
}

/// Whose ancestors to walk, and which parts of them to load. A session id is enough: it can be made from one.
///
/// ```
/// use lockstitch::AncestorQuery;
/// let query = AncestorQuery::of("order-4711").from_id(format!("{:020}", 7)).headers().limit(10);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct AncestorQuery(pub(crate) proto::WalkAncestorsRequest);

impl AncestorQuery {
    /// Those of a session's latest checkpoint, in its root namespace.
    pub fn of(session_id: impl Into<String>) -> Self {
        Self(proto::WalkAncestorsRequest { session_id: session_id.into(), ..Default::default() })
    }

    /// Those of this checkpoint.
    pub fn from_id(mut self, checkpoint_id: impl Into<String>) -> Self {
        self.0.checkpoint_id = checkpoint_id.into();
        self
    }

    /// In this namespace.
    pub fn in_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.0.namespace = namespace.into();
        self
    }

    /// Without their states.
    pub fn headers(mut self) -> Self {
        self.0.view = CheckpointView::Header.into();
        self
    }

    /// Only these parts of the states, as in [`LatestQuery::channels`].
    pub fn channels(mut self, channels: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.0.channels = texts(channels);
        self
    }

    /// With their pending writes.
    pub fn with_writes(mut self) -> Self {
        self.0.include_writes = true;
        self
    }

    /// With their pending writes of these channels.
    pub fn writes_of(mut self, channels: impl IntoIterator<Item = impl Into<String>>) -> Self {
        (self.0.include_writes, self.0.write_channels) = (true, texts(channels));
        self
    }

    /// At most this number of them; 0: all.
    pub fn limit(mut self, limit: u32) -> Self {
        self.0.limit = limit;
        self
    }
}

/// Which session to watch. A session id is enough: it can be made from one.
///
/// ```
/// use lockstitch::WatchQuery;
/// let query = WatchQuery::of("order-4711").heartbeat(std::time::Duration::from_secs(5));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct WatchQuery(pub(crate) proto::WatchSessionRequest);

impl WatchQuery {
    /// New events of a session.
    pub fn of(session_id: impl Into<String>) -> Self {
        Self(proto::WatchSessionRequest { session_id: session_id.into(), ..Default::default() })
    }

    /// Also events since one that was read before: its `resume_token`.
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

fn texts(all: impl IntoIterator<Item = impl Into<String>>) -> Vec<String> {
    all.into_iter().map(Into::into).collect()
}

/// A query that needs no more than a session's id can be made from it.
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

from_session_id!(LatestQuery, CheckpointQuery, AncestorQuery, WatchQuery);

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
        let request = proto::WatchSessionRequest {
            session_id: "s".into(),
            resume_token: "t".into(),
            heartbeat: Some(ProtoDuration { seconds: 5, nanos: 6 }),
        };
        assert_eq!(WatchQuery::of("s").resume_after("t").heartbeat(Duration::new(5, 6)).0, request);
    }
}
