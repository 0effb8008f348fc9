//! Results of saves, loads and changes of sessions.

use std::time::SystemTime;

use tonic::Code;

use crate::{
    Error,
    proto::{self, Checkpoint, PendingWrite},
    times::time,
};

/// The outcome of a save.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SaveOutcome {
    /// The checkpoint is new.
    Created,
    /// The checkpoint replaced other content under its id.
    Replaced,
    /// The checkpoint already existed with the same content.
    Unchanged,
    /// An outcome that this library does not know, because the server is newer. The checkpoint is stored.
    Unknown,
}

impl SaveOutcome {
    fn of(number: i32) -> Self {
        match proto::SaveOutcome::try_from(number) {
            Ok(proto::SaveOutcome::Created) => Self::Created,
            Ok(proto::SaveOutcome::Replaced) => Self::Replaced,
            Ok(proto::SaveOutcome::Unchanged) => Self::Unchanged,
            Ok(proto::SaveOutcome::Unspecified) | Err(_) => Self::Unknown,
        }
    }
}

/// The result of [`Client::save`](crate::Client::save): the checkpoint is durable.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Saved {
    /// The id under which it is stored.
    pub checkpoint_id: String,
    /// The session's revision in which the content was written.
    pub revision: u64,
    /// The outcome of the save.
    pub outcome: SaveOutcome,
    /// The database's time of the save.
    pub saved_at: Option<SystemTime>,
}

impl Saved {
    pub(crate) fn of(message: proto::SaveResponse) -> Self {
        let proto::SaveResponse { checkpoint_id, revision, outcome, saved_at } = message;
        Self { checkpoint_id, revision, outcome: SaveOutcome::of(outcome), saved_at: time(saved_at) }
    }
}

/// The result of [`Client::save_writes`](crate::Client::save_writes).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct SavedWrites {
    /// The session's revision after the save.
    pub revision: u64,
    /// Number of writes that are new or were replaced.
    pub stored: u32,
}

impl SavedWrites {
    pub(crate) fn of(message: proto::SaveWritesResponse) -> Self {
        let proto::SaveWritesResponse { revision, stored } = message;
        Self { revision, stored }
    }
}

/// The result of [`Client::load_latest`](crate::Client::load_latest).
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Latest {
    /// The checkpoint. `None`: the session has no checkpoint.
    pub checkpoint: Option<Checkpoint>,
    /// Its pending writes, ordered by (task_path, task_id, index).
    pub pending_writes: Vec<PendingWrite>,
    /// The session's revision; 0: there is no such session.
    pub revision: u64,
    /// The session's revision in which the content of the checkpoint was written.
    pub checkpoint_revision: u64,
    /// Trace id of the call that wrote the content: 32 hexadecimal digits, or "".
    pub trace_id: String,
}

impl Latest {
    pub(crate) fn of(message: proto::LoadLatestResponse) -> Self {
        let proto::LoadLatestResponse { checkpoint, pending_writes, revision, checkpoint_revision, trace_id } = message;
        Self { checkpoint, pending_writes, revision, checkpoint_revision, trace_id }
    }
}

/// One session's result of [`Client::load_latest_many`](crate::Client::load_latest_many).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LatestOf {
    /// The session.
    pub session_id: String,
    /// The namespace.
    pub namespace: String,
    /// Its latest checkpoint, or the error of this session.
    pub result: Result<Latest, Error>,
}

/// The result of [`Client::load`](crate::Client::load).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Loaded {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// Its pending writes, ordered by (task_path, task_id, index).
    pub pending_writes: Vec<PendingWrite>,
    /// The session's revision.
    pub revision: u64,
    /// The session's revision in which the content of the checkpoint was written.
    pub checkpoint_revision: u64,
    /// Trace id of the call that wrote the content: 32 hexadecimal digits, or "".
    pub trace_id: String,
}

impl Loaded {
    pub(crate) fn of(message: proto::LoadResponse) -> Result<Self, Error> {
        let proto::LoadResponse { checkpoint, pending_writes, revision, checkpoint_revision, trace_id } = message;
        let checkpoint = required(checkpoint)?;
        Ok(Self { checkpoint, pending_writes, revision, checkpoint_revision, trace_id })
    }
}

/// One ancestor of a checkpoint; see [`Client::walk_ancestors`](crate::Client::walk_ancestors).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Ancestor {
    /// The ancestor.
    pub checkpoint: Checkpoint,
    /// Its pending writes, with [`AncestorQuery::with_writes`](crate::AncestorQuery::with_writes).
    pub pending_writes: Vec<PendingWrite>,
    /// The session's revision in which the content was written.
    pub revision: u64,
}

impl Ancestor {
    /// None: the message has no checkpoint.
    pub(crate) fn of(message: proto::WalkAncestorsResponse) -> Option<Self> {
        let proto::WalkAncestorsResponse { checkpoint, pending_writes, revision } = message;
        Some(Self { checkpoint: checkpoint?, pending_writes, revision })
    }
}

/// The result of [`Client::delete_checkpoints`](crate::Client::delete_checkpoints).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct DeletedCheckpoints {
    /// Number of deleted checkpoints.
    pub deleted: u64,
    /// The session's revision after the deletion.
    pub revision: u64,
}

impl DeletedCheckpoints {
    pub(crate) fn of(message: proto::DeleteCheckpointsResponse) -> Self {
        let proto::DeleteCheckpointsResponse { deleted, revision } = message;
        Self { deleted, revision }
    }
}

/// The result of [`Client::copy_session`](crate::Client::copy_session).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct CopiedSession {
    /// The copy's revision.
    pub revision: u64,
    /// Number of checkpoints of the copy.
    pub checkpoint_count: u64,
}

impl CopiedSession {
    pub(crate) fn of(message: proto::CopySessionResponse) -> Self {
        let proto::CopySessionResponse { revision, checkpoint_count } = message;
        Self { revision, checkpoint_count }
    }
}

/// The result of [`Client::prune_sessions`](crate::Client::prune_sessions): the checkpoints that were deleted, or that
/// would be deleted with [`PruneOptions::dry_run`](crate::PruneOptions::dry_run).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Pruned {
    /// Number of checkpoints.
    pub checkpoints: u64,
    /// Their size in the store, in bytes.
    pub bytes: u64,
    /// Number of sessions that had them.
    pub sessions: u64,
}

impl Pruned {
    /// Add a page; the token of the next one, empty where there is none.
    pub(crate) fn add(&mut self, page: proto::PruneSessionsResponse) -> String {
        let proto::PruneSessionsResponse { checkpoints, bytes, sessions, next_page_token } = page;
        self.checkpoints += checkpoints;
        self.bytes += bytes;
        self.sessions += sessions;
        next_page_token
    }
}

/// A part without which a response means nothing.
pub(crate) fn required<T: Send>(part: Option<T>) -> Result<T, Error> {
    part.ok_or_else(|| Error::new(Code::Internal, "the server's response lacks a required field"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_a_save_returns_is_complete() {
        let saved_at = Some(prost_types::Timestamp { seconds: 7, nanos: 8 });
        let message = proto::SaveResponse { checkpoint_id: "id".into(), revision: 9, outcome: 2, saved_at };
        let at = Some(SystemTime::UNIX_EPOCH + Duration::new(7, 8));
        let expected = Saved { checkpoint_id: "id".into(), revision: 9, outcome: SaveOutcome::Replaced, saved_at: at };
        assert_eq!(Saved::of(message), expected);
        let outcomes = [0, 1, 2, 3, 99].map(SaveOutcome::of);
        let [unspecified, created, replaced, unchanged, newer] = outcomes;
        assert_eq!([unspecified, newer], [SaveOutcome::Unknown; 2]);
        assert_eq!(
            [created, replaced, unchanged],
            [SaveOutcome::Created, SaveOutcome::Replaced, SaveOutcome::Unchanged]
        );
        let writes = SavedWrites::of(proto::SaveWritesResponse { revision: 3, stored: 4 });
        assert_eq!((writes.revision, writes.stored), (3, 4));
    }

    #[test]
    fn what_a_load_returns_is_complete() {
        let checkpoint = Checkpoint::new("s", 4);
        let write = PendingWrite { task_id: "t".into(), ..Default::default() };
        let message = proto::LoadResponse {
            checkpoint: Some(checkpoint.clone()),
            pending_writes: vec![write.clone()],
            revision: 5,
            checkpoint_revision: 6,
            trace_id: "trace".into(),
        };
        let loaded = Loaded::of(message.clone()).unwrap();
        let expected = Loaded {
            checkpoint: checkpoint.clone(),
            pending_writes: vec![write.clone()],
            revision: 5,
            checkpoint_revision: 6,
            trace_id: "trace".into(),
        };
        assert_eq!(loaded, expected);
        let without = proto::LoadResponse { checkpoint: None, ..message.clone() };
        assert_eq!(Loaded::of(without).unwrap_err().code(), Code::Internal);
        let proto::LoadResponse { checkpoint: latest, pending_writes, revision, checkpoint_revision, trace_id } =
            message;
        let latest =
            proto::LoadLatestResponse { checkpoint: latest, pending_writes, revision, checkpoint_revision, trace_id };
        let expected = Latest {
            checkpoint: Some(checkpoint.clone()),
            pending_writes: vec![write.clone()],
            revision: 5,
            checkpoint_revision: 6,
            trace_id: "trace".into(),
        };
        assert_eq!(Latest::of(latest), expected);
        let pending_writes = vec![write];
        let ancestor =
            proto::WalkAncestorsResponse { checkpoint: Some(checkpoint.clone()), pending_writes, revision: 7 };
        let ancestor = Ancestor::of(ancestor).unwrap();
        assert_eq!((ancestor.checkpoint, ancestor.pending_writes.len(), ancestor.revision), (checkpoint, 1, 7));
    }

    #[test]
    fn what_changes_of_sessions_return_is_complete() {
        let deleted = DeletedCheckpoints::of(proto::DeleteCheckpointsResponse { deleted: 1, revision: 2 });
        assert_eq!((deleted.deleted, deleted.revision), (1, 2));
        let copied = CopiedSession::of(proto::CopySessionResponse { revision: 3, checkpoint_count: 4 });
        assert_eq!((copied.revision, copied.checkpoint_count), (3, 4));
        let page = |next: &str| proto::PruneSessionsResponse {
            checkpoints: 1,
            bytes: 10,
            sessions: 100,
            next_page_token: next.into(),
        };
        let mut sum = Pruned::default();
        assert_eq!([sum.add(page("more")), sum.add(page(""))], ["more", ""]);
        assert_eq!(sum, Pruned { checkpoints: 2, bytes: 20, sessions: 200 });
    }
}
