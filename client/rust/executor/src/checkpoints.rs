//! Operations on checkpoints.

use std::pin::pin;

use futures_util::{Stream, StreamExt, TryStreamExt, future::join_all};
use lockstitch::{
    CheckpointView, Client, Error, ListCheckpointsRequest, ListSessionsRequest, Listed, LoadLatestRequest,
    LoadLatestResponse, LoadRequest, LoadResponse, NodeKind, SaveOutcome, SaveRequest, SaveResponse, SaveWritesRequest,
    SessionOrder, WalkAncestorsRequest,
};
use opentelemetry::{
    Context,
    trace::{FutureExt, SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};
use serde_json::{Value, json};

use crate::{
    Failed, Outcome, edit,
    json::{
        decoded, decoded_all, encoded, encoded_all, failure, flag, long, long_or_zero, map, millis, nanoseconds,
        object, proto_millis, small, text, text_or_empty, texts,
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
        "walk_ancestors" => walk_ancestors(client, args).await,
        _ => return None,
    })
}

async fn save(client: &Client, args: &Value, streamed: bool) -> Outcome {
    let client = timed(client, args);
    let request = SaveRequest { checkpoint: Some(decoded(&args["checkpoint"])?), ..conditions(args)? };
    let call = async { if streamed { client.save_streamed(request).await } else { client.save(request).await } };
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
    let latest = client.load_latest(latest_request(args)).await?;
    let mut checkpoint = latest.checkpoint.ok_or("nothing to edit")?;
    edit::change(&mut checkpoint, &args["edit"])?;
    let request = SaveRequest { checkpoint: Some(checkpoint), ..conditions(args)? };
    Ok(saved(&client.save(request).await?))
}

async fn view(client: &Client, args: &Value) -> Outcome {
    let latest = client.load_latest(latest_request(args)).await?;
    Ok(edit::view(&latest.checkpoint.ok_or("nothing to view")?))
}

async fn save_writes(client: &Client, args: &Value) -> Outcome {
    let request = SaveWritesRequest {
        session_id: text_or_empty(args, "session_id"),
        namespace: text_or_empty(args, "namespace"),
        checkpoint_id: text_or_empty(args, "checkpoint_id"),
        writes: decoded_all(args, "writes")?,
        lease_token: long_or_zero(args, "lease_token")?,
    };
    let answer = client.save_writes(request).await?;
    Ok(json!({"revision": answer.revision.to_string(), "stored": answer.stored}))
}

async fn load_latest(client: &Client, args: &Value) -> Outcome {
    Ok(loaded(&timed(client, args).load_latest(latest_request(args)).await?))
}

async fn load(client: &Client, args: &Value) -> Outcome {
    let session_id = text_or_empty(args, "session_id");
    let request = match (long(args, "step")?, text(args, "checkpoint_id")) {
        (Some(step), _) => LoadRequest::step(session_id, step),
        (None, id) => LoadRequest::id(session_id, id.unwrap_or_default()),
    };
    let request = LoadRequest { namespace: text_or_empty(args, "namespace"), view: view_of(args), ..request };
    let LoadResponse { checkpoint, pending_writes, revision, checkpoint_revision, trace_id } =
        timed(client, args).load(request).await?;
    Ok(loaded(&LoadLatestResponse { checkpoint, pending_writes, revision, checkpoint_revision, trace_id }))
}

async fn load_latest_many(client: &Client, args: &Value) -> Outcome {
    let sessions = object(args, "sessions").and_then(Value::as_array).ok_or("no sessions")?;
    let requests = sessions.iter().map(|one| LoadLatestRequest { view: view_of(args), ..latest_request(one) });
    let answers: Vec<_> = client.load_latest_many(requests).try_collect().await?;
    let answers = answers.into_iter().map(|(request, result)| {
        let (name, outcome) = match result {
            Ok(answer) => ("ok", loaded(&answer)),
            Err(error) => ("error", failure(&error)),
        };
        json!({"session_id": request.session_id, "namespace": request.namespace, name: outcome})
    });
    Ok(json!({"answers": answers.collect::<Vec<_>>()}))
}

async fn list_sessions(client: &Client, args: &Value) -> Outcome {
    let order = match text_or_empty(args, "order_by").as_str() {
        "SESSION_ID" => SessionOrder::SessionId,
        _ => SessionOrder::UpdatedAt,
    };
    let request = ListSessionsRequest {
        page_size: small(args, "page_size"),
        session_id_prefix: text_or_empty(args, "session_id_prefix"),
        labels: map(args, "labels"),
        order_by: order.into(),
        ..Default::default()
    };
    Ok(json!({"sessions": encoded_all(&first(client.list_sessions(request), args).await?)}))
}

async fn list_checkpoints(client: &Client, args: &Value) -> Outcome {
    let request = ListCheckpointsRequest {
        page_size: small(args, "page_size"),
        session_id: text_or_empty(args, "session_id"),
        namespace: text(args, "namespace"),
        min_step: long(args, "min_step")?,
        max_step: long(args, "max_step")?,
        ran_node: text(args, "ran_node").map(NodeKind::custom),
        skipped_node: text(args, "skipped_node").map(NodeKind::custom),
        before_checkpoint_id: text_or_empty(args, "before_checkpoint_id"),
        metadata: map(args, "metadata"),
        include_writes: flag(args, "include_writes").unwrap_or_default(),
        view: view_of(args),
        ..Default::default()
    };
    let items = first(client.list_checkpoints(request), args).await?;
    Ok(json!({"checkpoints": items.iter().map(listed).collect::<Vec<_>>()}))
}

async fn walk_ancestors(client: &Client, args: &Value) -> Outcome {
    let request = WalkAncestorsRequest {
        session_id: text_or_empty(args, "session_id"),
        namespace: text_or_empty(args, "namespace"),
        checkpoint_id: text_or_empty(args, "checkpoint_id"),
        view: view_of(args),
        channels: texts(args, "channels"),
        include_writes: flag(args, "include_writes").unwrap_or_default(),
        limit: small(args, "limit"),
        ..Default::default()
    };
    let ancestors: Vec<_> = client.walk_ancestors(request).try_collect().await?;
    let ancestors = ancestors.iter().map(|ancestor| {
        json!({
            "checkpoint": ancestor.checkpoint.as_ref().map(encoded),
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

fn latest_request(args: &Value) -> LoadLatestRequest {
    LoadLatestRequest {
        session_id: text_or_empty(args, "session_id"),
        namespace: text_or_empty(args, "namespace"),
        view: view_of(args),
        ..Default::default()
    }
}

fn view_of(args: &Value) -> i32 {
    match text_or_empty(args, "view").as_str() {
        "HEADER" => CheckpointView::Header.into(),
        _ => CheckpointView::Full.into(),
    }
}

/// What a save says beside its checkpoint.
fn conditions(args: &Value) -> Result<SaveRequest, Failed> {
    let request = SaveRequest {
        writes: decoded_all(args, "writes")?,
        ttl: proto_millis(args, "ttl_ms"),
        lease_token: long_or_zero(args, "lease_token")?,
        ..Default::default()
    };
    let Some(expected) = object(args, "expected_latest") else { return Ok(request) };
    Ok(match (text(expected, "checkpoint_id"), long(expected, "step")?) {
        (Some(id), _) => request.expect_id(id),
        (None, Some(step)) => request.expect_step(step),
        (None, None) => request.expect_none(),
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

pub fn saved(answer: &SaveResponse) -> Value {
    let outcome = SaveOutcome::try_from(answer.outcome).map_or("", |outcome| outcome.as_str_name());
    json!({
        "checkpoint_id": answer.checkpoint_id,
        "revision": answer.revision.to_string(),
        "outcome": outcome.trim_start_matches("SAVE_OUTCOME_"),
        "saved_at": nanoseconds(answer.saved_at.unwrap_or_default()),
    })
}

fn loaded(answer: &LoadLatestResponse) -> Value {
    json!({
        "checkpoint": answer.checkpoint.as_ref().map(encoded),
        "pending_writes": encoded_all(&answer.pending_writes),
        "revision": answer.revision.to_string(),
        "checkpoint_revision": answer.checkpoint_revision.to_string(),
        "trace_id": answer.trace_id,
    })
}

fn listed(item: &Listed) -> Value {
    json!({
        "checkpoint": encoded(&item.checkpoint),
        "pending_writes": encoded_all(&item.details.pending_writes),
        "revision": item.details.revision.to_string(),
        "state_bytes": item.details.state_bytes.to_string(),
    })
}
