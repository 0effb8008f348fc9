//! Sessions: summaries, settings, leases and events.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use crate::{
    Error, proto,
    results::required,
    times::{duration, proto_duration, time},
};

/// A session in a list; see [`Client::list_sessions`](crate::Client::list_sessions).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionSummary {
    /// The session.
    pub session_id: String,
    /// Id of the latest checkpoint of the root namespace; "" if only subgraphs have saved.
    pub latest_checkpoint_id: String,
    /// Step of that checkpoint.
    pub latest_step: u64,
    /// Number of checkpoints, in all namespaces.
    pub checkpoint_count: u64,
    /// Size in the store, in bytes, without the overhead of the database.
    pub stored_bytes: u64,
    /// Time of the first save.
    pub created_at: Option<SystemTime>,
    /// Time of the last change.
    pub updated_at: Option<SystemTime>,
    /// When the session expires unless it is saved again. `None`: never.
    pub expire_at: Option<SystemTime>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The holder of its lease; "": there is no live lease.
    pub lease_holder: String,
    /// Increases with every change.
    pub revision: u64,
    /// Set if the session is damaged in the store (DATA_LOSS). The other fields cannot be trusted then.
    pub error: Option<Error>,
}

impl SessionSummary {
    pub(crate) fn of(message: proto::SessionSummary) -> Self {
        let proto::SessionSummary {
            session_id,
            latest_checkpoint_id,
            latest_step,
            checkpoint_count,
            stored_bytes,
            created_at,
            updated_at,
            expire_at,
            labels,
            lease_holder,
            revision,
            error,
        } = message;
        Self {
            session_id,
            latest_checkpoint_id,
            latest_step,
            checkpoint_count,
            stored_bytes,
            created_at: time(created_at),
            updated_at: time(updated_at),
            expire_at: time(expire_at),
            labels,
            lease_holder,
            revision,
            error: error.map(Error::from_answer),
        }
    }
}

/// A session with its settings; see [`Client::get_session`](crate::Client::get_session).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionDetails {
    /// The session, as in a list.
    pub summary: SessionSummary,
    /// How long the session lasts after its last change. `None`: it does not expire.
    pub ttl: Option<Duration>,
    /// Its own retention. `None`: the server's applies.
    pub retention: Option<Retention>,
    /// The live lease, without its token. `None`: there is none.
    pub lease: Option<LeaseDetails>,
}

impl SessionDetails {
    pub(crate) fn of(message: proto::GetSessionResponse) -> Result<Self, Error> {
        let proto::GetSessionResponse { session, ttl, retention, lease } = message;
        Ok(Self {
            summary: SessionSummary::of(required(session)?),
            ttl: duration(ttl),
            retention: retention.map(Retention::of),
            lease: lease.map(LeaseDetails::of),
        })
    }
}

/// A retention policy: which checkpoints of a session are kept. The latest one of each namespace always is.
///
/// ```
/// use lockstitch::Retention;
/// use std::time::Duration;
/// let policy = Retention::newest(100).max_age(Duration::from_secs(30 * 86_400));
/// assert_eq!(policy.keep_last, 100);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct Retention {
    /// Keep the newest N checkpoints of each namespace; 0 keeps all.
    pub keep_last: u32,
    /// Delete checkpoints that were saved longer ago than this, 1 second or more. `None` keeps all.
    pub max_age: Option<Duration>,
}

impl Retention {
    /// Keep the newest checkpoints of each namespace; 0 keeps all.
    pub fn newest(count: u32) -> Self {
        Self { keep_last: count, max_age: None }
    }

    /// Delete checkpoints that were saved longer ago than this, 1 second or more.
    pub fn max_age(self, age: Duration) -> Self {
        Self { max_age: Some(age), ..self }
    }

    pub(crate) fn of(message: proto::RetentionPolicy) -> Self {
        let proto::RetentionPolicy { keep_last, max_age } = message;
        Self { keep_last, max_age: duration(max_age) }
    }

    pub(crate) fn message(self) -> proto::RetentionPolicy {
        proto::RetentionPolicy { keep_last: self.keep_last, max_age: self.max_age.map(proto_duration) }
    }
}

/// A lease of any holder. [`Lease`](crate::Lease) is one that this process holds.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LeaseDetails {
    /// The fencing token; 0 if another process holds the lease.
    pub token: u64,
    /// The readable name of the holder.
    pub holder: String,
    /// When it was acquired.
    pub acquired_at: Option<SystemTime>,
    /// When it expires unless it is renewed.
    pub expire_at: Option<SystemTime>,
}

impl LeaseDetails {
    pub(crate) fn of(message: proto::Lease) -> Self {
        let proto::Lease { token, holder, acquired_at, expire_at } = message;
        Self { token, holder, acquired_at: time(acquired_at), expire_at: time(expire_at) }
    }
}

/// The result of [`Client::acquire_lease`](crate::Client::acquire_lease) and
/// [`Client::renew_lease`](crate::Client::renew_lease).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LeaseGrant {
    /// The lease, with its token.
    pub lease: LeaseDetails,
    /// How long the lease lasts from now on. `None`: the server did not report it.
    pub ttl: Option<Duration>,
}

impl LeaseGrant {
    pub(crate) fn acquired(message: proto::AcquireLeaseResponse) -> Result<Self, Error> {
        let proto::AcquireLeaseResponse { lease, ttl } = message;
        Ok(Self { lease: LeaseDetails::of(required(lease)?), ttl: duration(ttl) })
    }

    pub(crate) fn renewed(message: proto::RenewLeaseResponse) -> Result<Self, Error> {
        let proto::RenewLeaseResponse { lease, ttl } = message;
        Ok(Self { lease: LeaseDetails::of(required(lease)?), ttl: duration(ttl) })
    }
}

/// An event of a session; see [`Client::watch_session`](crate::Client::watch_session).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SessionEvent {
    /// Another watch continues after this event with [`WatchQuery::resume_after`](crate::WatchQuery::resume_after).
    pub resume_token: String,
    /// The session's revision after this event; in a heartbeat, the last known revision.
    pub revision: u64,
    /// What happened.
    pub kind: EventKind,
}

/// The kinds of a [`SessionEvent`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum EventKind {
    /// A checkpoint was saved.
    Saved(SavedCheckpoint),
    /// Checkpoints were deleted, by a rewind, by metadata or by retention.
    CheckpointsDeleted,
    /// The session was deleted, or it expired.
    SessionDeleted,
    /// The session's lease was acquired or ended: the live lease, without its token. `None`: there is no live lease.
    LeaseChanged(Option<LeaseDetails>),
    /// A sign of life while nothing happens.
    Heartbeat,
    /// An event that this library does not know, because the server is newer.
    Unknown,
}

impl SessionEvent {
    /// Whether this event is a heartbeat.
    pub fn is_heartbeat(&self) -> bool {
        self.kind == EventKind::Heartbeat
    }

    pub(crate) fn of(message: proto::WatchSessionResponse) -> Self {
        use proto::watch_session_response::Event;
        let proto::WatchSessionResponse { resume_token, revision, event } = message;
        let kind = match event {
            Some(Event::Saved(saved)) => EventKind::Saved(SavedCheckpoint::of(saved)),
            Some(Event::CheckpointsDeleted(proto::CheckpointsDeleted {})) => EventKind::CheckpointsDeleted,
            Some(Event::SessionDeleted(proto::SessionDeleted {})) => EventKind::SessionDeleted,
            Some(Event::LeaseChanged(proto::LeaseChanged { lease })) => {
                EventKind::LeaseChanged(lease.map(LeaseDetails::of))
            }
            Some(Event::Heartbeat(proto::Heartbeat {})) => EventKind::Heartbeat,
            None => EventKind::Unknown,
        };
        Self { resume_token, revision, kind }
    }
}

/// A checkpoint that was saved, as new or as a replacement; see [`EventKind::Saved`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SavedCheckpoint {
    /// The namespace; "": the root namespace.
    pub namespace: String,
    /// The id of the checkpoint.
    pub checkpoint_id: String,
    /// The id of its parent; "": it has none.
    pub parent_id: String,
    /// Its step.
    pub step: u64,
    /// The database's time of the save.
    pub saved_at: Option<SystemTime>,
}

impl SavedCheckpoint {
    fn of(message: proto::CheckpointSaved) -> Self {
        let proto::CheckpointSaved { namespace, checkpoint_id, parent_id, step, saved_at } = message;
        Self { namespace, checkpoint_id, parent_id, step, saved_at: time(saved_at) }
    }
}

#[cfg(test)]
mod tests {
    use prost_types::{Duration as ProtoDuration, Timestamp};
    use tonic::Code;

    use super::*;

    fn stamp(seconds: i64) -> Option<Timestamp> {
        Some(Timestamp { seconds, nanos: 123_456_789 })
    }

    fn at(seconds: u64) -> Option<SystemTime> {
        Some(SystemTime::UNIX_EPOCH + Duration::new(seconds, 123_456_789))
    }

    fn lease() -> proto::Lease {
        proto::Lease { token: 5, holder: "one".into(), acquired_at: stamp(6), expire_at: stamp(7) }
    }

    fn same(lease: &LeaseDetails) -> bool {
        *lease == LeaseDetails { token: 5, holder: "one".into(), acquired_at: at(6), expire_at: at(7) }
    }

    fn summary() -> proto::SessionSummary {
        proto::SessionSummary {
            session_id: "s".into(),
            latest_checkpoint_id: "latest".into(),
            latest_step: u64::MAX,
            checkpoint_count: 2,
            stored_bytes: 3,
            created_at: stamp(1),
            updated_at: stamp(2),
            expire_at: stamp(3),
            labels: [("name".to_owned(), "value".to_owned())].into(),
            lease_holder: "one".into(),
            revision: 4,
            error: Some(proto::Status { code: 15, message: "damaged".into(), details: Vec::new() }),
        }
    }

    #[test]
    fn a_session_is_complete() {
        let message = proto::GetSessionResponse {
            session: Some(summary()),
            ttl: Some(ProtoDuration { seconds: 60, nanos: 5 }),
            retention: Some(proto::RetentionPolicy {
                keep_last: 8,
                max_age: Some(ProtoDuration { seconds: 9, nanos: 1 }),
            }),
            lease: Some(lease()),
        };
        let SessionDetails { summary: told, ttl, retention, lease } = SessionDetails::of(message.clone()).unwrap();
        assert_eq!((&*told.session_id, &*told.latest_checkpoint_id, told.latest_step), ("s", "latest", u64::MAX));
        assert_eq!((told.checkpoint_count, told.stored_bytes, told.revision), (2, 3, 4));
        assert_eq!((told.created_at, told.updated_at, told.expire_at), (at(1), at(2), at(3)));
        assert_eq!((&*told.labels["name"], told.labels.len(), &*told.lease_holder), ("value", 1, "one"));
        assert_eq!(told.error.map(|error| error.code()), Some(Code::DataLoss));
        assert_eq!(ttl, Some(Duration::new(60, 5)));
        assert_eq!(retention, Some(Retention::newest(8).max_age(Duration::new(9, 1))));
        assert_eq!(retention.map(Retention::message), message.retention);
        assert!(lease.is_some_and(|lease| same(&lease)));
        let empty = proto::GetSessionResponse::default();
        assert_eq!(SessionDetails::of(empty).unwrap_err().code(), Code::Internal);
    }

    #[test]
    fn a_lease_is_complete() {
        let ttl = Some(ProtoDuration { seconds: 3, nanos: 4 });
        let acquired = LeaseGrant::acquired(proto::AcquireLeaseResponse { lease: Some(lease()), ttl }).unwrap();
        let renewed = LeaseGrant::renewed(proto::RenewLeaseResponse { lease: Some(lease()), ttl }).unwrap();
        for grant in [acquired, renewed] {
            assert!(same(&grant.lease) && grant.ttl == Some(Duration::new(3, 4)));
        }
    }

    #[test]
    fn every_event_is_complete() {
        use proto::watch_session_response::Event;
        let saved = proto::CheckpointSaved {
            namespace: "n".into(),
            checkpoint_id: "id".into(),
            parent_id: "parent".into(),
            step: 2,
            saved_at: stamp(4),
        };
        let (namespace, checkpoint_id, parent_id) = ("n".into(), "id".into(), "parent".into());
        let same_saved = SavedCheckpoint { namespace, checkpoint_id, parent_id, step: 2, saved_at: at(4) };
        let changed = |lease| Some(Event::LeaseChanged(proto::LeaseChanged { lease }));
        let cases = [
            (Some(Event::Saved(saved)), EventKind::Saved(same_saved)),
            (Some(Event::CheckpointsDeleted(proto::CheckpointsDeleted {})), EventKind::CheckpointsDeleted),
            (Some(Event::SessionDeleted(proto::SessionDeleted {})), EventKind::SessionDeleted),
            (changed(Some(lease())), EventKind::LeaseChanged(Some(LeaseDetails::of(lease())))),
            (changed(None), EventKind::LeaseChanged(None)),
            (Some(Event::Heartbeat(proto::Heartbeat {})), EventKind::Heartbeat),
            (None, EventKind::Unknown),
        ];
        for (event, kind) in cases {
            let heartbeat = kind == EventKind::Heartbeat;
            let told = SessionEvent::of(proto::WatchSessionResponse { resume_token: "t".into(), revision: 6, event });
            assert_eq!(told.is_heartbeat(), heartbeat);
            assert_eq!(told, SessionEvent { resume_token: "t".into(), revision: 6, kind });
        }
    }
}
