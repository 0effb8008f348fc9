//! Operations on sessions.

use futures_util::StreamExt;
use lockstitch::{
    AcquireLeaseRequest, CheckpointRef, CopySessionRequest, DeleteCheckpointsRequest, DeleteSessionsRequest, Lease,
    MetadataFilter, ProtoDuration, PruneSessionsRequest, ReleaseLeaseRequest, RenewLeaseRequest, RetentionPolicy,
    UpdateSessionRequest, WatchSessionRequest, delete_checkpoints_request::Which, v1,
};
use serde_json::{Value, json};

use crate::{
    Executor, Failed, Outcome,
    checkpoints::saved,
    json::{decoded, encoded, flag, long_or_zero, map, millis, object, proto_millis, small, text_or_empty, texts},
};

pub async fn execute(executor: &mut Executor, op: &str, args: &Value) -> Option<Outcome> {
    Some(match op {
        "get_session" => get_session(executor, args).await,
        "update_session" => update_session(executor, args).await,
        "delete_sessions" => delete_sessions(executor, args).await,
        "delete_checkpoints" => delete_checkpoints(executor, args).await,
        "copy_session" => copy_session(executor, args).await,
        "prune_sessions" => prune_sessions(executor, args).await,
        "watch_session" => watch_session(executor, args).await,
        "acquire_lease" => acquire_lease(executor, args).await,
        "renew_lease" => renew_lease(executor, args).await,
        "release_lease" => release_lease(executor, args).await,
        "runner_start" => runner_start(executor, args).await,
        "runner_save" => runner_save(executor, args).await,
        "runner_stop" => runner_stop(executor).await,
        _ => return None,
    })
}

async fn get_session(executor: &Executor, args: &Value) -> Outcome {
    let answer = executor.client()?.get_session(text_or_empty(args, "session_id")).await?;
    Ok(json!({"session": encoded(&answer)}))
}

async fn update_session(executor: &Executor, args: &Value) -> Outcome {
    let request = UpdateSessionRequest {
        session_id: text_or_empty(args, "session_id"),
        set_labels: map(args, "set_labels"),
        remove_labels: texts(args, "remove_labels"),
        ttl: proto_millis(args, "ttl_ms"),
        clear_ttl: flag(args, "clear_ttl").unwrap_or_default(),
        retention: retention(args),
        clear_retention: flag(args, "clear_retention").unwrap_or_default(),
        lease_token: long_or_zero(args, "lease_token")?,
    };
    let answer = executor.client()?.update_session(request).await?;
    Ok(json!({"session": encoded(&answer.session.unwrap_or_default())}))
}

async fn delete_sessions(executor: &Executor, args: &Value) -> Outcome {
    let tombstone = proto_millis(args, "tombstone_ms");
    let request = DeleteSessionsRequest { session_ids: texts(args, "session_ids"), tombstone };
    Ok(json!({"deleted": executor.client()?.delete_sessions(request).await?.deleted}))
}

async fn delete_checkpoints(executor: &Executor, args: &Value) -> Outcome {
    let which = match checkpoint_ref(args, "after") {
        Some(after) => Some(Which::After(after)),
        None => object(args, "metadata").map(|_| Which::Metadata(MetadataFilter { entries: map(args, "metadata") })),
    };
    let request = DeleteCheckpointsRequest {
        session_id: text_or_empty(args, "session_id"),
        which,
        lease_token: long_or_zero(args, "lease_token")?,
    };
    let answer = executor.client()?.delete_checkpoints(request).await?;
    Ok(json!({"deleted": answer.deleted.to_string(), "revision": answer.revision.to_string()}))
}

async fn copy_session(executor: &Executor, args: &Value) -> Outcome {
    let request = CopySessionRequest {
        source_session_id: text_or_empty(args, "source"),
        target_session_id: text_or_empty(args, "target"),
        at: checkpoint_ref(args, "at"),
        labels: map(args, "labels"),
        ttl: proto_millis(args, "ttl_ms"),
    };
    let answer = executor.client()?.copy_session(request).await?;
    Ok(json!({
        "revision": answer.revision.to_string(),
        "checkpoint_count": answer.checkpoint_count.to_string(),
    }))
}

async fn prune_sessions(executor: &Executor, args: &Value) -> Outcome {
    let request = PruneSessionsRequest {
        session_ids: texts(args, "session_ids"),
        retention: retention(args),
        dry_run: flag(args, "dry_run").unwrap_or_default(),
        ..Default::default()
    };
    let sum = executor.client()?.prune_sessions(request).await?;
    Ok(json!({
        "checkpoints": sum.checkpoints.to_string(),
        "bytes": sum.bytes.to_string(),
        "sessions": sum.sessions.to_string(),
    }))
}

async fn watch_session(executor: &Executor, args: &Value) -> Outcome {
    let request = WatchSessionRequest {
        session_id: text_or_empty(args, "session_id"),
        resume_token: text_or_empty(args, "resume_token"),
        heartbeat: proto_millis(args, "heartbeat_ms"),
    };
    let count: usize = small::<u32>(args, "count") as usize;
    let mut happening = executor.client()?.watch_session(request);
    let (mut events, mut resume_token) = (Vec::new(), String::new());
    while let Some(event) = happening.next().await.transpose()? {
        resume_token.clone_from(&event.resume_token);
        if !event.is_heartbeat() {
            events.push(encoded(&event));
        }
        if events.len() >= count {
            break;
        }
    }
    Ok(json!({"events": events, "resume_token": resume_token}))
}

async fn acquire_lease(executor: &Executor, args: &Value) -> Outcome {
    let request = AcquireLeaseRequest {
        acquisition_id: String::new(),
        session_id: text_or_empty(args, "session_id"),
        holder: text_or_empty(args, "holder"),
        ttl: proto_millis(args, "ttl_ms"),
    };
    let answer = executor.client()?.acquire_lease(request).await?;
    Ok(lease(answer.lease, answer.ttl))
}

async fn renew_lease(executor: &Executor, args: &Value) -> Outcome {
    let request = RenewLeaseRequest {
        session_id: text_or_empty(args, "session_id"),
        lease_token: long_or_zero(args, "lease_token")?,
        ttl: proto_millis(args, "ttl_ms"),
    };
    let answer = executor.client()?.renew_lease(request).await?;
    Ok(lease(answer.lease, answer.ttl))
}

async fn release_lease(executor: &Executor, args: &Value) -> Outcome {
    let request = ReleaseLeaseRequest {
        session_id: text_or_empty(args, "session_id"),
        lease_token: long_or_zero(args, "lease_token")?,
    };
    Ok(json!({"released": executor.client()?.release_lease(request).await?.released}))
}

async fn runner_start(executor: &mut Executor, args: &Value) -> Outcome {
    let session_id = text_or_empty(args, "session_id");
    let client = executor.client()?.clone();
    let lease = client.hold_lease(&session_id, text_or_empty(args, "holder"), millis(args, "ttl_ms")).await?;
    let token = lease.token().to_string();
    executor.lease = Some(lease);
    let latest = client.load_latest(session_id).await?.checkpoint;
    Ok(json!({"token": token, "checkpoint": latest.as_ref().map(encoded)}))
}

async fn runner_save(executor: &Executor, args: &Value) -> Outcome {
    let checkpoint: v1::Checkpoint = decoded(&args["checkpoint"])?;
    Ok(saved(&held(executor)?.save(checkpoint).await?))
}

async fn runner_stop(executor: &mut Executor) -> Outcome {
    let lease = executor.lease.take().ok_or("no runner")?;
    Ok(json!({"released": lease.release().await?}))
}

fn held(executor: &Executor) -> Result<&Lease, Failed> {
    executor.lease.as_ref().ok_or_else(|| "no runner".into())
}

fn checkpoint_ref(args: &Value, name: &str) -> Option<CheckpointRef> {
    let fields = object(args, name)?;
    Some(CheckpointRef {
        namespace: text_or_empty(fields, "namespace"),
        checkpoint_id: text_or_empty(fields, "checkpoint_id"),
    })
}

fn retention(args: &Value) -> Option<RetentionPolicy> {
    let fields = object(args, "retention")?;
    Some(RetentionPolicy { keep_last: small(fields, "keep_last"), max_age: proto_millis(fields, "max_age_ms") })
}

fn lease(lease: Option<v1::Lease>, ttl: Option<ProtoDuration>) -> Value {
    let (lease, ttl) = (lease.unwrap_or_default(), ttl.unwrap_or_default());
    json!({
        "token": lease.token.to_string(),
        "holder": lease.holder,
        "ttl_ms": ttl.seconds * 1000 + i64::from(ttl.nanos) / 1_000_000,
    })
}
