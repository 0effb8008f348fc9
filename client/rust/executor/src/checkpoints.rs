//! Operations on checkpoints.

use std::pin::pin;

use futures_util::{Stream, StreamExt, TryStreamExt, future::join_all};
use lockstitch::{
    AncestorQuery, Checkpoint, CheckpointQuery, Client, DamagedCheckpoint, Error, Latest, LatestQuery,
    ListedCheckpoint, LoadQuery, NodeKind, PendingWrite, Save, SaveOutcome, SaveWrites, Saved, SessionQuery,
};
use opentelemetry::{
    Context,
    trace::{FutureExt, SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};
use serde_json::{Value, json};

use crate::{
    Failed, Outcome,
    details::{details_of_listed, summary},
    edit,
    json::{
        decoded, decoded_all, encoded, encoded_all, failure, flag, long, long_or_zero, map, millis, nanoseconds,
        object, small, text, text_or_empty, texts, time,
    },
};

pub async fn execute(client: &Client, op: &str, args: &Value) -> Option<Outcome> {
    Some(match op {
        "save" => save(client, args, false).await,
        "save_many" => save_many(client, args, true).await,
        "save_concurrently" => save_many(client, args, false).await,
        "edit" => edit(client, args).await,
        "view" => view(client, args).await,
        "save_writes" => save_writes(client, args).await,
        "load_latest" => load_latest(client, args).await,
        "load" => load(client, args).await,
        "load_latest_many" => load_latest_many(client, args).await,
        "list_sessions" => list_sessions(client, args).await,
        "list_checkpoints" => list_checkpoints(client, args).await,
        "list_checkpoints_page" => list_checkpoints_page(client, args).await,
        "walk_ancestors" => walk_ancestors(client, args).await,
        _ => return None,
    })
}

async fn save(client: &Client, args: &Value, streamed: bool) -> Outcome {
    let client = timed(client, args);
    let save = conditional(decoded(&args["checkpoint"])?, args)?;
    let call = async { if streamed { client.save_streamed(save).await } else { client.save(save).await } };
    Ok(saved(&call.with_context(traced(args)).await?))
}

async fn save_many(client: &Client, args: &Value, streamed: bool) -> Outcome {
    let saves = object(args, "saves").and_then(Value::as_array).ok_or("no saves")?;
    let outcomes = join_all(saves.iter().map(|one| save(client, one, streamed))).await;
    let results: Result<Vec<_>, Failed> = outcomes
        .into_iter()
        .map(|outcome| match outcome {
            Ok(ok) => Ok(json!({"ok": ok})),
            Err(Failed::Client(error)) => Ok(json!({"error": failure(&error)})),
            Err(fault) => Err(fault),
        })
        .collect();
    Ok(json!({"results": results?}))
}

async fn edit(client: &Client, args: &Value) -> Outcome {
    let latest = client.load_latest(latest_query(args)).await?;
    let mut checkpoint = latest.checkpoint.ok_or("nothing to edit")?;
    edit::change(&mut checkpoint, &args["edit"])?;
    Ok(saved(&client.save(conditional(checkpoint, args)?).await?))
}

async fn view(client: &Client, args: &Value) -> Outcome {
    let latest = client.load_latest(latest_query(args)).await?;
    Ok(edit::view(&latest.checkpoint.ok_or("nothing to view")?))
}

async fn save_writes(client: &Client, args: &Value) -> Outcome {
    let (session_id, checkpoint_id) = (text_or_empty(args, "session_id"), text_or_empty(args, "checkpoint_id"));
    let save = SaveWrites::to(session_id, checkpoint_id, decoded_all::<PendingWrite>(args, "writes")?);
    let save = save.in_namespace(text_or_empty(args, "namespace")).with_lease_token(long_or_zero(args, "lease_token")?);
    let answer = client.save_writes(save).await?;
    Ok(json!({"revision": answer.revision.to_string(), "stored": answer.stored}))
}

async fn load_latest(client: &Client, args: &Value) -> Outcome {
    Ok(loaded(&timed(client, args).load_latest(latest_query(args)).await?))
}

async fn load(client: &Client, args: &Value) -> Outcome {
    let session_id = text_or_empty(args, "session_id");
    let query = match (long(args, "step")?, text(args, "checkpoint_id")) {
        (Some(step), _) => LoadQuery::step(session_id, step),
        (None, id) => LoadQuery::id(session_id, id.unwrap_or_default()),
    };
    let query = query.in_namespace(text_or_empty(args, "namespace")).channels(texts(args, "channels"));
    let query = if wants_headers(args) { query.headers() } else { query };
    let found = timed(client, args).load(query).await?;
    Ok(json!({
        "checkpoint": encoded(&found.checkpoint),
        "pending_writes": encoded_all(&found.pending_writes),
        "revision": found.revision.to_string(),
        "checkpoint_revision": found.checkpoint_revision.to_string(),
        "trace_id": found.trace_id,
    }))
}

async fn load_latest_many(client: &Client, args: &Value) -> Outcome {
    let sessions = object(args, "sessions").and_then(Value::as_array).ok_or("no sessions")?;
    let queries = sessions.iter().map(|one| {
        let query = latest_query(one).channels(texts(args, "channels"));
        if wants_headers(args) { query.headers() } else { query }
    });
    let answers: Vec<_> = client.load_latest_many(queries).try_collect().await?;
    let answers = answers.into_iter().map(|answer| {
        let (name, outcome) = match answer.result {
            Ok(latest) => ("ok", loaded(&latest)),
            Err(error) => ("error", failure(&error)),
        };
        json!({"session_id": answer.session_id, "namespace": answer.namespace, name: outcome})
    });
    Ok(json!({"answers": answers.collect::<Vec<_>>()}))
}

async fn list_sessions(client: &Client, args: &Value) -> Outcome {
    let mut query = SessionQuery::all().page_size(small(args, "page_size"));
    query = query.prefix(text_or_empty(args, "session_id_prefix")).page_token(text_or_empty(args, "page_token"));
    if let Some(time) = time(args, "updated_since")? {
        query = query.since(time);
    }
    if let Some(time) = time(args, "updated_before")? {
        query = query.before(time);
    }
    for (name, value) in map(args, "labels") {
        query = query.label(name, value);
    }
    if text_or_empty(args, "order_by") == "SESSION_ID" {
        query = query.by_id();
    }
    let sessions = first(client.list_sessions(query), args).await?;
    Ok(json!({"sessions": sessions.into_iter().map(|session| encoded(&summary(session))).collect::<Vec<_>>()}))
}

async fn list_checkpoints(client: &Client, args: &Value) -> Outcome {
    let items = first(client.list_checkpoints(checkpoint_query(args)?), args).await?;
    Ok(json!({"checkpoints": items.iter().map(listed).collect::<Vec<_>>()}))
}

async fn list_checkpoints_page(client: &Client, args: &Value) -> Outcome {
    let page = client.list_checkpoints_page(checkpoint_query(args)?).await?;
    let checkpoints = page.checkpoints.into_iter().map(
        |listed| json!({"checkpoint": encoded(&listed.checkpoint), "details": encoded(&details_of_listed(listed))}),
    );
    Ok(json!({
        "checkpoints": checkpoints.collect::<Vec<_>>(),
        "damaged": page.damaged.iter().map(damaged).collect::<Vec<_>>(),
        "total_size": page.total_size.unwrap_or_default().to_string(),
        "next_page_token": page.next_page_token,
    }))
}

fn checkpoint_query(args: &Value) -> Result<CheckpointQuery, Failed> {
    let mut query = CheckpointQuery::of(text_or_empty(args, "session_id")).page_size(small(args, "page_size"));
    query = query.before_id(text_or_empty(args, "before_checkpoint_id"));
    if let Some(namespace) = text(args, "namespace") {
        query = query.in_namespace(namespace);
    }
    if let Some(step) = long(args, "min_step")? {
        query = query.from_step(step);
    }
    if let Some(step) = long(args, "max_step")? {
        query = query.to_step(step);
    }
    if let Some(name) = text(args, "ran_node") {
        query = query.ran(NodeKind::custom(name));
    }
    if let Some(name) = text(args, "skipped_node") {
        query = query.skipped(NodeKind::custom(name));
    }
    for (key, json) in map(args, "metadata") {
        query = query.metadata(key, json);
    }
    if flag(args, "include_writes") == Some(true) {
        query = query.writes_of(texts(args, "write_channels"));
    }
    if flag(args, "include_total") == Some(true) {
        query = query.with_total();
    }
    if flag(args, "include_channel_sizes") == Some(true) {
        query = query.with_channel_sizes();
    }
    if flag(args, "skip_damaged") == Some(true) {
        query = query.skip_damaged();
    }
    query = query.channels(texts(args, "channels")).page_token(text_or_empty(args, "page_token"));
    Ok(if wants_headers(args) { query.headers() } else { query })
}

async fn walk_ancestors(client: &Client, args: &Value) -> Outcome {
    let mut query = AncestorQuery::of(text_or_empty(args, "session_id")).limit(small(args, "limit"));
    query = query.in_namespace(text_or_empty(args, "namespace")).from_id(text_or_empty(args, "checkpoint_id"));
    query = query.channels(texts(args, "channels"));
    if flag(args, "include_writes") == Some(true) {
        query = query.writes_of(texts(args, "write_channels"));
    }
    if wants_headers(args) {
        query = query.headers();
    }
    let ancestors: Vec<_> = client.walk_ancestors(query).try_collect().await?;
    let ancestors = ancestors.iter().map(|ancestor| {
        json!({
            "checkpoint": encoded(&ancestor.checkpoint),
            "pending_writes": encoded_all(&ancestor.pending_writes),
            "revision": ancestor.revision.to_string(),
        })
    });
    Ok(json!({"ancestors": ancestors.collect::<Vec<_>>()}))
}

/// The items of a list, at most `max_items`.
async fn first<T>(items: impl Stream<Item = Result<T, Error>>, args: &Value) -> Result<Vec<T>, Error> {
    let most = object(args, "max_items").and_then(Value::as_u64).map_or(usize::MAX, |most| most as usize);
    pin!(items).take(most).try_collect().await
}

fn timed(client: &Client, args: &Value) -> Client {
    millis(args, "timeout_ms").map_or_else(|| client.clone(), |timeout| client.with_timeout(timeout))
}

fn latest_query(args: &Value) -> LatestQuery {
    let query = LatestQuery::of(text_or_empty(args, "session_id")).in_namespace(text_or_empty(args, "namespace"));
    let query = query.channels(texts(args, "channels"));
    if wants_headers(args) { query.headers() } else { query }
}

fn wants_headers(args: &Value) -> bool {
    text_or_empty(args, "view") == "HEADER"
}

/// A checkpoint with what a save says beside it.
fn conditional(checkpoint: Checkpoint, args: &Value) -> Result<Save, Failed> {
    let mut save = Save::from(checkpoint).with_writes(decoded_all(args, "writes")?);
    save = save.with_lease_token(long_or_zero(args, "lease_token")?);
    if let Some(ttl) = millis(args, "ttl_ms") {
        save = save.with_ttl(ttl);
    }
    let Some(expected) = object(args, "expected_latest") else { return Ok(save) };
    save = save.expect_revision(long_or_zero(expected, "revision")?);
    Ok(match (text(expected, "checkpoint_id"), long(expected, "step")?) {
        (Some(id), _) => save.expect_id(id),
        (None, Some(step)) => save.expect_step(step),
        (None, None) => save.expect_none(),
    })
}

/// The context with the span of `traceparent` as the current one.
fn traced(args: &Value) -> Context {
    let header = text_or_empty(args, "traceparent");
    let [_, trace, span, flags] = header.split('-').collect::<Vec<_>>()[..] else { return Context::new() };
    Context::new().with_remote_span_context(SpanContext::new(
        TraceId::from_hex(trace).unwrap_or(TraceId::INVALID),
        SpanId::from_hex(span).unwrap_or(SpanId::INVALID),
        TraceFlags::new(u8::from_str_radix(flags, 16).unwrap_or_default()),
        true,
        TraceState::NONE,
    ))
}

pub fn saved(answer: &Saved) -> Value {
    let outcome = match answer.outcome {
        SaveOutcome::Created => "CREATED",
        SaveOutcome::Replaced => "REPLACED",
        SaveOutcome::Unchanged => "UNCHANGED",
        _ => "UNKNOWN",
    };
    json!({
        "checkpoint_id": answer.checkpoint_id,
        "revision": answer.revision.to_string(),
        "outcome": outcome,
        "saved_at": answer.saved_at.map(|time| nanoseconds(time.into())),
    })
}

fn loaded(answer: &Latest) -> Value {
    json!({
        "checkpoint": answer.checkpoint.as_ref().map(encoded),
        "pending_writes": encoded_all(&answer.pending_writes),
        "revision": answer.revision.to_string(),
        "checkpoint_revision": answer.checkpoint_revision.to_string(),
        "trace_id": answer.trace_id,
    })
}

fn damaged(one: &DamagedCheckpoint) -> Value {
    json!({
        "session_id": one.session_id,
        "namespace": one.namespace,
        "checkpoint_id": one.checkpoint_id,
        "error": failure(&one.error),
    })
}

fn listed(item: &ListedCheckpoint) -> Value {
    json!({
        "checkpoint": encoded(&item.checkpoint),
        "pending_writes": encoded_all(&item.pending_writes),
        "revision": item.revision.to_string(),
        "state_bytes": item.state_bytes.to_string(),
    })
}
