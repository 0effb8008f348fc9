//! Requests that save and change: what to store, change or delete, and on which conditions.

use std::time::Duration;

use crate::{
    Lease, Retention,
    proto::{self, Checkpoint, PendingWrite, delete_checkpoints_request::Which, expected_latest::Expected},
    times::proto_duration,
};

/// A checkpoint to store, and the conditions of the save. Can be made from a [`Checkpoint`].
///
/// ```
/// use lockstitch::{Checkpoint, Save};
/// let save = Save::from(Checkpoint::new("order-4711", 8)).expect_step(7).with_metadata("by", "\"rust\"");
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Save(pub(crate) proto::SaveRequest);

impl From<Checkpoint> for Save {
    fn from(checkpoint: Checkpoint) -> Self {
        Self(proto::SaveRequest { checkpoint: Some(checkpoint), ..Default::default() })
    }
}

impl Save {
    /// Save only if the latest checkpoint of the session and namespace has this step.
    pub fn expect_step(self, step: u64) -> Self {
        self.expect(Expected::Step(step))
    }

    /// Save only if the latest checkpoint of the session and namespace has this id.
    pub fn expect_id(self, checkpoint_id: impl Into<String>) -> Self {
        self.expect(Expected::CheckpointId(checkpoint_id.into()))
    }

    /// Save only if the content of the expected latest checkpoint was written in this revision
    /// ([`Saved::revision`](crate::Saved::revision), [`Latest::checkpoint_revision`](crate::Latest::checkpoint_revision)).
    /// Use it with [`expect_id`](Self::expect_id) or [`expect_step`](Self::expect_step), to exclude a checkpoint that was
    /// deleted and saved again under the same id.
    pub fn expect_revision(mut self, revision: u64) -> Self {
        self.0.expected_latest.get_or_insert_default().revision = revision;
        self
    }

    /// Save only if the session and namespace have no checkpoint yet.
    pub fn expect_none(self) -> Self {
        self.expect(Expected::None(true))
    }

    /// Let the session expire this long after its last save; 1 second or more.
    pub fn with_ttl(mut self, ttl: Duration) -> Self {
        self.0.ttl = Some(proto_duration(ttl));
        self
    }

    /// Add an entry to the checkpoint's metadata: a key and JSON text. [`CheckpointQuery`](crate::CheckpointQuery) can
    /// filter by it.
    pub fn with_metadata(mut self, key: impl Into<String>, json: impl Into<String>) -> Self {
        self.0.checkpoint.get_or_insert_default().metadata.insert(key.into(), json.into());
        self
    }

    /// Store these pending writes with the checkpoint.
    pub fn with_writes(mut self, writes: impl IntoIterator<Item = PendingWrite>) -> Self {
        self.0.writes = writes.into_iter().collect();
        self
    }

    /// Replace the number that the client gives to this save. The save fails with
    /// [`ErrorReason::Superseded`](crate::ErrorReason::Superseded) if the checkpoint holds a save of the same writer with a
    /// greater number. Use it if the order of the saves is known outside of this process, such as from a log.
    ///
    /// writer: any number except 0. number: 1 or more.
    pub fn with_save_id(mut self, writer: u64, number: u64) -> Self {
        self.0.save_id = Some(proto::SaveId { writer, number });
        self
    }

    fn expect(mut self, expected: Expected) -> Self {
        self.0.expected_latest.get_or_insert_default().expected = Some(expected);
        self
    }
}

/// Pending writes to store: outputs of tasks that ended before the session's next checkpoint.
///
/// ```
/// use lockstitch::{PendingWrite, SaveWrites};
/// let write = PendingWrite { task_id: "t1".into(), channel: "answer".into(), ..Default::default() };
/// let save = SaveWrites::to_step("order-4711", 7, [write]);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct SaveWrites(pub(crate) proto::SaveWritesRequest);

impl SaveWrites {
    /// Pending writes of the checkpoint of a step, which has no other id. The checkpoint need not exist yet.
    pub fn to_step(session_id: impl Into<String>, step: u64, writes: impl IntoIterator<Item = PendingWrite>) -> Self {
        Self::to(session_id, step_id(step), writes)
    }

    /// Pending writes of a checkpoint. The checkpoint need not exist yet.
    pub fn to(
        session_id: impl Into<String>,
        checkpoint_id: impl Into<String>,
        writes: impl IntoIterator<Item = PendingWrite>,
    ) -> Self {
        Self(proto::SaveWritesRequest {
            session_id: session_id.into(),
            checkpoint_id: checkpoint_id.into(),
            writes: writes.into_iter().collect(),
            ..Default::default()
        })
    }

    /// The checkpoint is in this namespace.
    pub fn in_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.0.namespace = namespace.into();
        self
    }
}

/// A change of a session's settings. Settings without a call stay as they are.
///
/// ```
/// use lockstitch::SessionUpdate;
/// let update = SessionUpdate::new().label("customer", "4711").ttl(std::time::Duration::from_secs(86_400));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct SessionUpdate(pub(crate) proto::UpdateSessionRequest);

impl SessionUpdate {
    /// No change.
    pub fn new() -> Self {
        Self::default()
    }

    /// Set a label.
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.set_labels.insert(name.into(), value.into());
        self
    }

    /// Remove a label.
    pub fn remove_label(mut self, name: impl Into<String>) -> Self {
        self.0.remove_labels.push(name.into());
        self
    }

    /// Let the session expire this long after its last change; 1 second or more.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.0.ttl = Some(proto_duration(ttl));
        self
    }

    /// Let the session not expire.
    pub fn clear_ttl(mut self) -> Self {
        self.0.clear_ttl = true;
        self
    }

    /// Use this retention policy instead of the server's.
    pub fn retention(mut self, policy: Retention) -> Self {
        self.0.retention = Some(policy.message());
        self
    }

    /// Use the server's retention policy again.
    pub fn clear_retention(mut self) -> Self {
        self.0.clear_retention = true;
        self
    }
}

/// Selects checkpoints of a session to delete.
///
/// ```
/// use lockstitch::CheckpointDeletion;
/// let deletion = CheckpointDeletion::with_metadata("order-4711", [("draft", "true")]);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct CheckpointDeletion(pub(crate) proto::DeleteCheckpointsRequest);

impl CheckpointDeletion {
    /// All checkpoints after a step of the root namespace, in all namespaces.
    pub fn after_step(session_id: impl Into<String>, step: u64) -> Self {
        Self::after(session_id, "", step_id(step))
    }

    /// All checkpoints after the one with this id, in all namespaces.
    pub fn after(
        session_id: impl Into<String>,
        namespace: impl Into<String>,
        checkpoint_id: impl Into<String>,
    ) -> Self {
        Self::of(session_id.into(), Which::After(reference(namespace, checkpoint_id)))
    }

    /// All checkpoints that have all of this metadata: keys and JSON texts.
    pub fn with_metadata(
        session_id: impl Into<String>,
        entries: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>,
    ) -> Self {
        let entries = entries.into_iter().map(|(key, json)| (key.into(), json.into())).collect();
        Self::of(session_id.into(), Which::Metadata(proto::MetadataFilter { entries }))
    }

    fn of(session_id: String, which: Which) -> Self {
        Self(proto::DeleteCheckpointsRequest { session_id, which: Some(which), ..Default::default() })
    }
}

/// How to copy a session: all of it, or its beginning.
///
/// ```
/// use lockstitch::CopyOptions;
/// let options = CopyOptions::new().at_step(7).label("kind", "experiment");
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct CopyOptions(pub(crate) proto::CopySessionRequest);

impl CopyOptions {
    /// Copy all checkpoints.
    pub fn new() -> Self {
        Self::default()
    }

    /// Copy the checkpoints up to a step of the root namespace.
    pub fn at_step(self, step: u64) -> Self {
        self.at("", step_id(step))
    }

    /// Copy the checkpoints up to the one with this id.
    pub fn at(mut self, namespace: impl Into<String>, checkpoint_id: impl Into<String>) -> Self {
        self.0.at = Some(reference(namespace, checkpoint_id));
        self
    }

    /// Set a label of the copy.
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.labels.insert(name.into(), value.into());
        self
    }

    /// Let the copy expire this long after its last change; 1 second or more.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.0.ttl = Some(proto_duration(ttl));
        self
    }
}

/// Selects old checkpoints to delete.
///
/// ```
/// use lockstitch::{PruneOptions, Retention};
/// let options = PruneOptions::new().retention(Retention::newest(10)).dry_run();
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct PruneOptions(pub(crate) proto::PruneSessionsRequest);

impl PruneOptions {
    /// Old checkpoints of all sessions, by the retention policies of the sessions and of the server.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only checkpoints of these sessions.
    pub fn sessions(mut self, session_ids: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.0.session_ids = session_ids.into_iter().map(Into::into).collect();
        self
    }

    /// Use this retention policy instead of those of the sessions and of the server.
    pub fn retention(mut self, policy: Retention) -> Self {
        self.0.retention = Some(policy.message());
        self
    }

    /// Count the checkpoints, and delete nothing.
    pub fn dry_run(mut self) -> Self {
        self.0.dry_run = true;
        self
    }

    /// Maximum number of sessions that one call examines; 0: the server's default.
    pub fn page_size(mut self, size: i32) -> Self {
        self.0.page_size = size;
        self
    }
}

/// Changes that a lease protects.
macro_rules! with_lease {
    ($($change:ty),*) => {$(
        impl $change {
            /// Only while this lease is held; otherwise the call fails with
            /// [`ErrorReason::LeaseLost`](crate::ErrorReason::LeaseLost).
            pub fn with_lease(self, lease: &Lease) -> Self {
                self.with_lease_token(lease.token())
            }

            /// As [`with_lease`](Self::with_lease), with the fencing token of a lease.
            pub fn with_lease_token(mut self, token: u64) -> Self {
                self.0.lease_token = token;
                self
            }
        }
    )*};
}

with_lease!(Save, SaveWrites, SessionUpdate, CheckpointDeletion);

/// The id of a checkpoint that was saved without one.
pub(crate) fn step_id(step: u64) -> String {
    format!("{step:020}")
}

fn reference(namespace: impl Into<String>, checkpoint_id: impl Into<String>) -> proto::CheckpointRef {
    proto::CheckpointRef { namespace: namespace.into(), checkpoint_id: checkpoint_id.into() }
}

/// Each type can say all that its request can: a request here has every field, so a new one breaks the build.
#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const TTL: Duration = Duration::from_secs(60);

    fn map() -> BTreeMap<String, String> {
        [("key".to_owned(), "1".to_owned())].into()
    }

    #[test]
    fn saves_say_all_that_the_contract_has() {
        let write = PendingWrite { task_id: "t".into(), ..Default::default() };
        let mut checkpoint = Checkpoint::new("s", 1);
        let save = Save::from(checkpoint.clone()).with_metadata("key", "1").with_writes([write.clone()]).with_ttl(TTL);
        let save = save.with_lease_token(3).with_save_id(4, 5).expect_revision(2).expect_id("id");
        checkpoint.metadata = map();
        let expected = Some(Expected::CheckpointId("id".into()));
        let request = proto::SaveRequest {
            checkpoint: Some(checkpoint),
            expected_latest: Some(proto::ExpectedLatest { expected, revision: 2 }),
            lease_token: 3,
            writes: vec![write.clone()],
            ttl: Some(proto_duration(TTL)),
            save_id: Some(proto::SaveId { writer: 4, number: 5 }),
            // The client makes deltas itself.
            base_checkpoint_id: String::new(),
            delta: None,
            base_revision: 0,
        };
        assert_eq!(save.0, request);
        let request = proto::SaveWritesRequest {
            session_id: "s".into(),
            namespace: "n".into(),
            checkpoint_id: "id".into(),
            writes: vec![write.clone()],
            lease_token: 6,
        };
        assert_eq!(SaveWrites::to("s", "id", [write]).in_namespace("n").with_lease_token(6).0, request);
        assert_eq!(SaveWrites::to_step("s", 7, []).0.checkpoint_id, "00000000000000000007");
    }

    #[test]
    fn updates_say_all_that_the_contract_has() {
        let request = proto::UpdateSessionRequest {
            session_id: String::new(), // an argument of the call
            set_labels: map(),
            remove_labels: vec!["old".into()],
            ttl: Some(proto_duration(TTL)),
            clear_ttl: true,
            retention: Some(Retention::newest(1).message()),
            clear_retention: true,
            lease_token: 3,
        };
        let update = SessionUpdate::new().label("key", "1").remove_label("old").ttl(TTL).clear_ttl();
        assert_eq!(update.retention(Retention::newest(1)).clear_retention().with_lease_token(3).0, request);
    }

    #[test]
    fn deletions_say_all_that_the_contract_has() {
        let request =
            |which| proto::DeleteCheckpointsRequest { session_id: "s".into(), which: Some(which), lease_token: 3 };
        let after = request(Which::After(reference("", "00000000000000000007")));
        assert_eq!(CheckpointDeletion::after_step("s", 7).with_lease_token(3).0, after);
        let metadata = request(Which::Metadata(proto::MetadataFilter { entries: map() }));
        assert_eq!(CheckpointDeletion::with_metadata("s", map()).with_lease_token(3).0, metadata);
    }

    #[test]
    fn copies_and_prunes_say_all_that_the_contract_has() {
        let request = proto::CopySessionRequest {
            source_session_id: String::new(), // arguments of the call
            target_session_id: String::new(),
            at: Some(reference("n", "id")),
            labels: map(),
            ttl: Some(proto_duration(TTL)),
        };
        assert_eq!(CopyOptions::new().at("n", "id").label("key", "1").ttl(TTL).0, request);
        let request = proto::PruneSessionsRequest {
            session_ids: vec!["s".into()],
            retention: Some(Retention::newest(2).message()),
            dry_run: true,
            page_size: 3,
            page_token: String::new(), // the client goes through the pages itself
        };
        assert_eq!(
            PruneOptions::new().sessions(["s"]).retention(Retention::newest(2)).dry_run().page_size(3).0,
            request
        );
    }
}
