//! Operations on sessions.

use futures_util::StreamExt;
use lockstitch::{
    Checkpoint, CheckpointDeletion, CopyOptions, Lease, LeaseGrant, PruneOptions, Retention, SessionUpdate, WatchQuery,
};
use serde_json::{Value, json};

use crate::{
    Executor, Failed, Outcome,
    checkpoints::saved,
    details::{details, event as event_message},
    json::{
        decoded, encoded, flag, long_or_zero, map, millis, nanoseconds, object, small, text, text_or_empty, texts, time,
    },
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
        "break_lease" => break_lease(executor, args).await,
        "runner_start" => runner_start(executor, args).await,
        "runner_save" => runner_save(executor, args).await,
        "runner_stop" => runner_stop(executor).await,
        _ => return None,
    })
}

async fn get_session(executor: &Executor, args: &Value) -> Outcome {
    let answer = executor.client()?.get_session(text_or_empty(args, "session_id")).await?;
    Ok(json!({"session": encoded(&details(answer))}))
}

async fn update_session(executor: &Executor, args: &Value) -> Outcome {
    let mut update = SessionUpdate::new().with_lease_token(long_or_zero(args, "lease_token")?);
    for (name, value) in map(args, "set_labels") {
        update = update.label(name, value);
    }
    for name in texts(args, "remove_labels") {
        update = update.remove_label(name);
    }
    if let Some(ttl) = millis(args, "ttl_ms") {
        update = update.ttl(ttl);
    }
    if flag(args, "clear_ttl") == Some(true) {
        update = update.clear_ttl();
    }
    if let Some(policy) = retention(args) {
        update = update.retention(policy);
    }
    if flag(args, "clear_retention") == Some(true) {
        update = update.clear_retention();
    }
    let answer = executor.client()?.update_session(text_or_empty(args, "session_id"), update).await?;
    Ok(json!({"session": encoded(&details(answer))}))
}

async fn delete_sessions(executor: &Executor, args: &Value) -> Outcome {
    let deleted = executor.client()?.delete_sessions(texts(args, "session_ids"), millis(args, "tombstone_ms")).await?;
    Ok(json!({"deleted": deleted}))
}

async fn delete_checkpoints(executor: &Executor, args: &Value) -> Outcome {
    let session_id = text_or_empty(args, "session_id");
    let deletion = match object(args, "after") {
        Some(after) => CheckpointDeletion::after(
            session_id,
            text_or_empty(after, "namespace"),
            text_or_empty(after, "checkpoint_id"),
        ),
        None => CheckpointDeletion::with_metadata(session_id, map(args, "metadata")),
    };
    let deletion = deletion.with_lease_token(long_or_zero(args, "lease_token")?);
    let answer = executor.client()?.delete_checkpoints(deletion).await?;
    Ok(json!({"deleted": answer.deleted.to_string(), "revision": answer.revision.to_string()}))
}

async fn copy_session(executor: &Executor, args: &Value) -> Outcome {
    let mut options = CopyOptions::new();
    if let Some(at) = object(args, "at") {
        options = options.at(text_or_empty(at, "namespace"), text_or_empty(at, "checkpoint_id"));
    }
    for (name, value) in map(args, "labels") {
        options = options.label(name, value);
    }
    if let Some(ttl) = millis(args, "ttl_ms") {
        options = options.ttl(ttl);
    }
    let (source, target) = (text_or_empty(args, "source"), text_or_empty(args, "target"));
    let answer = executor.client()?.copy_session(source, target, options).await?;
    Ok(json!({
        "revision": answer.revision.to_string(),
        "checkpoint_count": answer.checkpoint_count.to_string(),
    }))
}

async fn prune_sessions(executor: &Executor, args: &Value) -> Outcome {
    let mut options = PruneOptions::new().sessions(texts(args, "session_ids")).page_size(small(args, "page_size"));
    if let Some(policy) = retention(args) {
        options = options.retention(policy);
    }
    if flag(args, "dry_run") == Some(true) {
        options = options.dry_run();
    }
    let sum = executor.client()?.prune_sessions(options).await?;
    Ok(json!({
        "checkpoints": sum.checkpoints.to_string(),
        "bytes": sum.bytes.to_string(),
        "sessions": sum.sessions.to_string(),
    }))
}

async fn watch_session(executor: &Executor, args: &Value) -> Outcome {
    let mut query = WatchQuery::of(text_or_empty(args, "session_id"));
    if let Some(token) = text(args, "resume_token") {
        query = query.resume_after(token);
    }
    if let Some(interval) = millis(args, "heartbeat_ms") {
        query = query.heartbeat(interval);
    }
    let count: usize = small::<u32>(args, "count") as usize;
    let mut happening = executor.client()?.watch_session(query);
    let (mut events, mut resume_token) = (Vec::new(), String::new());
    while let Some(event) = happening.next().await.transpose()? {
        resume_token.clone_from(&event.resume_token);
        if !event.is_heartbeat() {
            events.push(encoded(&event_message(event)));
        }
        if events.len() >= count {
            break;
        }
    }
    Ok(json!({"events": events, "resume_token": resume_token}))
}

async fn acquire_lease(executor: &Executor, args: &Value) -> Outcome {
    let (session_id, holder) = (text_or_empty(args, "session_id"), text_or_empty(args, "holder"));
    let (client, ttl) = (executor.client()?, millis(args, "ttl_ms"));
    Ok(granted(match text(args, "acquisition_id") {
        Some(id) => client.acquire_lease_with_id(session_id, holder, ttl, id).await?,
        None => client.acquire_lease(session_id, holder, ttl).await?,
    }))
}

async fn renew_lease(executor: &Executor, args: &Value) -> Outcome {
    let (session_id, token) = (text_or_empty(args, "session_id"), long_or_zero(args, "lease_token")?);
    Ok(granted(executor.client()?.renew_lease(session_id, token, millis(args, "ttl_ms")).await?))
}

async fn release_lease(executor: &Executor, args: &Value) -> Outcome {
    let (session_id, token) = (text_or_empty(args, "session_id"), long_or_zero(args, "lease_token")?);
    Ok(json!({"released": executor.client()?.release_lease(session_id, token).await?}))
}

async fn break_lease(executor: &Executor, args: &Value) -> Outcome {
    let (session_id, acquired_at) = (text_or_empty(args, "session_id"), time(args, "acquired_at")?);
    Ok(json!({"broken": executor.client()?.break_lease(session_id, acquired_at).await?}))
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
    let checkpoint: Checkpoint = decoded(&args["checkpoint"])?;
    Ok(saved(&held(executor)?.save(checkpoint).await?))
}

async fn runner_stop(executor: &mut Executor) -> Outcome {
    let lease = executor.lease.take().ok_or("no runner")?;
    Ok(json!({"released": lease.release().await?}))
}

fn held(executor: &Executor) -> Result<&Lease, Failed> {
    executor.lease.as_ref().ok_or_else(|| "no runner".into())
}

fn retention(args: &Value) -> Option<Retention> {
    let fields = object(args, "retention")?;
    let policy = Retention::newest(small(fields, "keep_last"));
    Some(millis(fields, "max_age_ms").map_or(policy, |age| policy.max_age(age)))
}

fn granted(LeaseGrant { lease, ttl, .. }: LeaseGrant) -> Value {
    json!({
        "token": lease.token.to_string(),
        "holder": lease.holder,
        "ttl_ms": ttl.unwrap_or_default().as_millis() as u64,
        "acquired_at": lease.acquired_at.map(|time| nanoseconds(time.into())),
        "expire_at": lease.expire_at.map(|time| nanoseconds(time.into())),
    })
}
