//! Changing and looking at checkpoints as a program in this language does it.

use std::collections::BTreeMap;

use lockstitch::{Checkpoint, Endpoint, Message, NodeKind, TypedBlob, VersionedState, custom_channel, node_kind::Kind};
use serde_json::{Value, json};

use crate::{
    Failed,
    json::{bytes, long, long_or_zero, map, nanoseconds, object, text, text_or_empty, texts, timestamp},
};

pub fn change(checkpoint: &mut Checkpoint, edit: &Value) -> Result<(), Failed> {
    if let Some(id) = text(edit, "checkpoint_id") {
        checkpoint.checkpoint_id = id;
    }
    if let Some(id) = text(edit, "parent_id") {
        checkpoint.parent_id = id;
    }
    if let Some(step) = long(edit, "step")? {
        checkpoint.step = step;
    }
    if let Some(limit) = long(edit, "concurrency_limit")? {
        checkpoint.concurrency_limit = limit;
    }
    if let Some(time) = text(edit, "created_at") {
        checkpoint.created_at = Some(timestamp(&time)?);
    }
    if let Some(seen) = object(edit, "seen") {
        let versions = &mut checkpoint.versions_seen.entry(text_or_empty(seen, "node")).or_default().versions;
        versions.insert(text_or_empty(seen, "channel"), long_or_zero(seen, "version")?);
    }
    if let Some(name) = text(edit, "append_frontier") {
        checkpoint.frontier.push(NodeKind::custom(name));
    }
    checkpoint.metadata.extend(map(edit, "set_metadata"));
    change_state(checkpoint.state_mut(), edit)
}

fn change_state(state: &mut VersionedState, edit: &Value) -> Result<(), Failed> {
    if let Some(said) = object(edit, "append_message") {
        let message = Message::new(text_or_empty(said, "role"), text_or_empty(said, "content"));
        state.messages_mut().items.push(message);
    }
    if let Some(version) = object(edit, "messages_version").and_then(Value::as_u64) {
        state.messages_mut().version = version.try_into().map_err(|_| "messages_version is too large")?;
    }
    for (key, value) in map(edit, "set_extra") {
        state.extra_mut().entries.insert(key, value);
    }
    for key in texts(edit, "remove_extra") {
        state.extra_mut().entries.remove(&key).ok_or("no such entry")?;
    }
    if let Some(item) = object(edit, "append_item") {
        let blob = TypedBlob { r#type: text_or_empty(item, "type"), data: bytes(&text_or_empty(item, "data"))?.into() };
        let channel = state.custom.entry(text_or_empty(item, "channel")).or_default();
        match channel.value.get_or_insert_with(|| custom_channel::Value::List(Default::default())) {
            custom_channel::Value::List(list) => list.items.push(blob),
            custom_channel::Value::Blob(_) => return Err("the channel is no list".into()),
        }
    }
    Ok(())
}

pub fn view(checkpoint: &Checkpoint) -> Value {
    let state = checkpoint.state.clone().unwrap_or_default();
    let frontier: Vec<_> = checkpoint.frontier.iter().map(node_name).collect();
    let seen: BTreeMap<_, BTreeMap<_, _>> = checkpoint
        .versions_seen
        .iter()
        .map(|(node, seen)| (node, seen.versions.iter().map(|(name, version)| (name, version.to_string())).collect()))
        .collect();
    json!({
        "checkpoint_id": checkpoint.checkpoint_id,
        "step": checkpoint.step.to_string(),
        "concurrency_limit": checkpoint.concurrency_limit.to_string(),
        "created_at": checkpoint.created_at.map(nanoseconds),
        "messages": state.messages.map(|channel| json!({
            "version": channel.version,
            "count": channel.items.len(),
            "last": channel.items.last().map(|last| json!({"role": last.role, "content": last.content})),
        })),
        "extra": state.extra.map(|channel| json!({"version": channel.version, "entries": channel.entries})),
        "versions_seen": seen,
        "frontier": frontier,
        "custom": state.custom.keys().collect::<Vec<_>>(),
        "has_header": checkpoint.header.is_some(),
    })
}

fn node_name(node: &NodeKind) -> String {
    match &node.kind {
        Some(Kind::Custom(name)) => format!("custom:{name}"),
        Some(Kind::Endpoint(endpoint)) => match Endpoint::try_from(*endpoint) {
            Ok(endpoint) => endpoint.as_str_name().trim_start_matches("ENDPOINT_").to_owned(),
            Err(_) => endpoint.to_string(),
        },
        None => String::new(),
    }
}
