//! The messages of the contract that hold what the client's own types do, for tests that compare it with that of other
//! languages.

use std::time::{Duration, SystemTime};

use lockstitch::{
    ChannelSize, EventKind, LeaseDetails, ListedCheckpoint, Retention, SessionDetails, SessionEvent, SessionSummary,
    Timestamp, proto,
};
use prost_types::Duration as ProtoDuration;

pub fn details(session: SessionDetails) -> proto::GetSessionResponse {
    proto::GetSessionResponse {
        session: Some(summary(session.summary)),
        ttl: session.ttl.map(duration),
        retention: session.retention.map(retention),
        lease: session.lease.map(lease),
    }
}

pub fn summary(session: SessionSummary) -> proto::SessionSummary {
    proto::SessionSummary {
        session_id: session.session_id,
        latest_checkpoint_id: session.latest_checkpoint_id,
        latest_step: session.latest_step,
        checkpoint_count: session.checkpoint_count,
        stored_bytes: session.stored_bytes,
        created_at: session.created_at.map(timestamp),
        updated_at: session.updated_at.map(timestamp),
        expire_at: session.expire_at.map(timestamp),
        labels: session.labels,
        lease_holder: session.lease_holder,
        revision: session.revision,
        error: session.error.map(|error| proto::Status {
            code: error.code() as i32,
            message: error.message().to_owned(),
            ..Default::default()
        }),
    }
}

pub fn details_of_listed(listed: ListedCheckpoint) -> proto::CheckpointDetails {
    let channels = listed
        .channels
        .into_iter()
        .map(|ChannelSize { channel, bytes, fingerprint, .. }| proto::ChannelSize { channel, bytes, fingerprint });
    proto::CheckpointDetails {
        revision: listed.revision,
        saved_at: listed.saved_at.map(timestamp),
        state_bytes: listed.state_bytes,
        pending_writes: listed.pending_writes,
        trace_id: listed.trace_id,
        channels: channels.collect(),
    }
}

pub fn event(event: SessionEvent) -> proto::WatchSessionResponse {
    use proto::watch_session_response::Event;
    let kind = match event.kind {
        EventKind::Saved(saved) => Some(Event::Saved(proto::CheckpointSaved {
            namespace: saved.namespace,
            checkpoint_id: saved.checkpoint_id,
            parent_id: saved.parent_id,
            step: saved.step,
            saved_at: saved.saved_at.map(timestamp),
        })),
        EventKind::CheckpointsDeleted => Some(Event::CheckpointsDeleted(proto::CheckpointsDeleted {})),
        EventKind::SessionDeleted => Some(Event::SessionDeleted(proto::SessionDeleted {})),
        EventKind::LeaseChanged(live) => Some(Event::LeaseChanged(proto::LeaseChanged { lease: live.map(lease) })),
        EventKind::Heartbeat => Some(Event::Heartbeat(proto::Heartbeat {})),
        _ => None,
    };
    proto::WatchSessionResponse { resume_token: event.resume_token, revision: event.revision, event: kind }
}

fn lease(lease: LeaseDetails) -> proto::Lease {
    proto::Lease {
        token: lease.token,
        holder: lease.holder,
        acquired_at: lease.acquired_at.map(timestamp),
        expire_at: lease.expire_at.map(timestamp),
    }
}

fn retention(policy: Retention) -> proto::RetentionPolicy {
    proto::RetentionPolicy { keep_last: policy.keep_last, max_age: policy.max_age.map(duration) }
}

fn timestamp(time: SystemTime) -> Timestamp {
    time.into()
}

fn duration(length: Duration) -> ProtoDuration {
    length.try_into().expect("the contract's durations fit")
}
