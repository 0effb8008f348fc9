//! weavegraph's checkpoints as the contract's messages, and back.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rustc_hash::FxHashMap;
use serde_json::Value;

use super::api::{
    channels::{
        Channel, ErrorsChannel, ExtrasChannel, MessagesChannel,
        errors::{ErrorEvent, ErrorScope, WeaveError},
    },
    message::{Message, Role},
    runtimes::Checkpoint,
    state::VersionedState,
    types::NodeKind,
};
use crate::{
    checkpointer::{causes, names::Names},
    proto,
};

/// Why a checkpoint of the server's is none of weavegraph's.
type Unfit = String;

/// A checkpoint as it goes to the server.
pub(super) fn to_proto(checkpoint: &Checkpoint) -> proto::Checkpoint {
    let mut names = Names::default();
    let message = proto::Checkpoint {
        session_id: names.store_session_id(&checkpoint.session_id),
        step: checkpoint.step,
        state: Some(state_to_proto(&checkpoint.state, &mut names)),
        frontier: nodes_to_proto(&checkpoint.frontier, &mut names),
        versions_seen: checkpoint.versions_seen.iter().map(seen_to_proto).collect(),
        concurrency_limit: checkpoint.concurrency_limit as u64,
        created_at: Some(time_to_proto(checkpoint.created_at)),
        ran_nodes: nodes_to_proto(&checkpoint.ran_nodes, &mut names),
        skipped_nodes: nodes_to_proto(&checkpoint.skipped_nodes, &mut names),
        updated_channels: checkpoint.updated_channels.clone(),
        ..Default::default()
    };
    proto::Checkpoint { header: names.header(), ..message }
}

/// A checkpoint of a session as weavegraph resumes it. names: the table in its header.
pub(super) fn from_proto(session_id: &str, checkpoint: &proto::Checkpoint, names: &Names) -> Result<Checkpoint, Unfit> {
    let state = checkpoint.state.as_ref().ok_or("it holds no state")?;
    let limit = checkpoint.concurrency_limit;
    Ok(Checkpoint {
        session_id: session_id.to_owned(),
        step: checkpoint.step,
        state: state_from_proto(state, names)?,
        frontier: nodes_from_proto(&checkpoint.frontier, names)?,
        versions_seen: checkpoint.versions_seen.iter().map(seen_from_proto).collect(),
        concurrency_limit: usize::try_from(limit).map_err(|_| format!("concurrency_limit {limit} is too large"))?,
        created_at: time_from_proto(checkpoint.created_at)?,
        ran_nodes: nodes_from_proto(&checkpoint.ran_nodes, names)?,
        skipped_nodes: nodes_from_proto(&checkpoint.skipped_nodes, names)?,
        updated_channels: checkpoint.updated_channels.clone(),
    })
}

pub(super) fn state_to_proto(state: &VersionedState, names: &mut Names) -> proto::VersionedState {
    let extra = state.extra.snapshot();
    let (messages, errors) = (state.messages.snapshot(), state.errors.snapshot());
    proto::VersionedState {
        messages: Some(proto::MessagesChannel {
            version: state.messages.version(),
            items: messages.into_iter().map(message_to_proto).collect(),
        }),
        extra: Some(proto::ExtrasChannel {
            version: state.extra.version(),
            entries: extra.iter().map(|(key, value)| (names.store(key), value.to_string())).collect(),
        }),
        errors: Some(proto::ErrorsChannel {
            version: state.errors.version(),
            items: errors.into_iter().map(event_to_proto).collect(),
        }),
        custom: BTreeMap::new(),
    }
}

/// A channel that is absent is a new one, as in weavegraph's own databases that are older than the channel.
pub(super) fn state_from_proto(state: &proto::VersionedState, names: &Names) -> Result<VersionedState, Unfit> {
    let messages = state.messages.as_ref().map(messages_from_proto);
    let extra = state.extra.as_ref().map(|extra| extra_from_proto(extra, names)).transpose()?;
    let errors = state.errors.as_ref().map(errors_from_proto).transpose()?;
    Ok(VersionedState {
        messages: messages.unwrap_or_default(),
        extra: extra.unwrap_or_default(),
        errors: errors.unwrap_or_default(),
    })
}

fn messages_from_proto(channel: &proto::MessagesChannel) -> MessagesChannel {
    let message = |message: &proto::Message| Message {
        role: Role::from(message.role.as_str()),
        content: message.content.clone(),
    };
    MessagesChannel::new(channel.items.iter().map(message).collect(), channel.version)
}

fn extra_from_proto(channel: &proto::ExtrasChannel, names: &Names) -> Result<ExtrasChannel, Unfit> {
    let entry = |(key, text): (&String, &String)| Ok((names.full(key), parse(text, key)?));
    let entries: Result<FxHashMap<_, _>, Unfit> = channel.entries.iter().map(entry).collect();
    Ok(ExtrasChannel::new(entries?, channel.version))
}

fn errors_from_proto(channel: &proto::ErrorsChannel) -> Result<ErrorsChannel, Unfit> {
    let items: Result<_, Unfit> = channel.items.iter().map(event_from_proto).collect();
    Ok(ErrorsChannel::new(items?, channel.version))
}

fn message_to_proto(message: Message) -> proto::Message {
    proto::Message { role: message.role.into(), content: message.content }
}

fn event_to_proto(event: ErrorEvent) -> proto::ErrorEvent {
    proto::ErrorEvent {
        when: Some(time_to_proto(event.when)),
        scope: Some(scope_to_proto(event.scope)),
        error: Some(error_to_proto(event.error)),
        tags: event.tags,
        context: event.context.to_string(),
    }
}

fn event_from_proto(event: &proto::ErrorEvent) -> Result<ErrorEvent, Unfit> {
    Ok(ErrorEvent {
        when: time_from_proto(event.when)?,
        scope: event.scope.as_ref().map(scope_from_proto).unwrap_or_default(),
        error: event.error.as_ref().map(error_from_proto).transpose()?.unwrap_or_default(),
        tags: event.tags.clone(),
        context: parse(&event.context, "context")?,
    })
}

fn scope_to_proto(scope: ErrorScope) -> proto::ErrorScope {
    use proto::error_scope::{App, Node, Runner, Scheduler, Scope};
    let scope = match scope {
        ErrorScope::Node { kind, step } => Scope::Node(Node { kind, step }),
        ErrorScope::Scheduler { step } => Scope::Scheduler(Scheduler { step }),
        ErrorScope::Runner { session, step } => Scope::Runner(Runner { session, step }),
        ErrorScope::App => Scope::App(App {}),
    };
    proto::ErrorScope { scope: Some(scope) }
}

fn scope_from_proto(scope: &proto::ErrorScope) -> ErrorScope {
    use proto::error_scope::Scope;
    match scope.scope.clone() {
        Some(Scope::Node(node)) => ErrorScope::Node { kind: node.kind, step: node.step },
        Some(Scope::Scheduler(scheduler)) => ErrorScope::Scheduler { step: scheduler.step },
        Some(Scope::Runner(runner)) => ErrorScope::Runner { session: runner.session, step: runner.step },
        Some(Scope::App(_)) | None => ErrorScope::App,
    }
}

/// Without recursion: a chain may be as long as memory allows.
fn error_to_proto(error: WeaveError) -> proto::WeaveError {
    let mut chain = Vec::new();
    let mut next = Some(error);
    while let Some(WeaveError { message, cause, details }) = next {
        chain.push((message, details.to_string()));
        next = cause.map(|cause| *cause);
    }
    causes::join(chain)
}

fn error_from_proto(error: &proto::WeaveError) -> Result<WeaveError, Unfit> {
    let mut cause = None;
    for (message, details) in causes::split(error).into_iter().rev() {
        cause = Some(Box::new(WeaveError { message, cause, details: parse(&details, "details")? }));
    }
    Ok(cause.map_or_else(WeaveError::default, |error| *error))
}

/// A JSON value; no text stands for null.
fn parse(text: &str, what: &str) -> Result<Value, Unfit> {
    if text.is_empty() {
        return Ok(Value::Null);
    }
    // As deep as it is: what was saved can be loaded again.
    let mut reader = serde_json::Deserializer::from_str(text);
    reader.disable_recursion_limit();
    serde::Deserialize::deserialize(&mut reader).map_err(|error| format!("{what:?} cannot be read: {error}"))
}

fn nodes_to_proto(nodes: &[NodeKind], names: &mut Names) -> Vec<proto::NodeKind> {
    nodes.iter().map(|node| node_to_proto(node, names)).collect()
}

fn nodes_from_proto(nodes: &[proto::NodeKind], names: &Names) -> Result<Vec<NodeKind>, Unfit> {
    nodes.iter().map(|node| node_from_proto(node, names)).collect()
}

fn node_to_proto(node: &NodeKind, names: &mut Names) -> proto::NodeKind {
    match node {
        NodeKind::Start => proto::NodeKind::start(),
        NodeKind::End => proto::NodeKind::end(),
        NodeKind::Custom(name) => proto::NodeKind::custom(names.store(name)),
    }
}

fn node_from_proto(node: &proto::NodeKind, names: &Names) -> Result<NodeKind, Unfit> {
    use proto::{Endpoint, node_kind::Kind};
    match &node.kind {
        Some(Kind::Custom(name)) => Ok(NodeKind::Custom(names.full(name))),
        Some(Kind::Endpoint(endpoint)) => match Endpoint::try_from(*endpoint) {
            Ok(Endpoint::Start) => Ok(NodeKind::Start),
            Ok(Endpoint::End) => Ok(NodeKind::End),
            _ => Err(format!("there is no endpoint {endpoint}")),
        },
        None => Err("a node is of no kind".to_owned()),
    }
}

fn seen_to_proto((node, seen): (&String, &FxHashMap<String, u64>)) -> (String, proto::ChannelVersions) {
    let versions = seen.iter().map(|(channel, version)| (channel.clone(), *version)).collect();
    (node.clone(), proto::ChannelVersions { versions })
}

fn seen_from_proto((node, seen): (&String, &proto::ChannelVersions)) -> (String, FxHashMap<String, u64>) {
    (node.clone(), seen.versions.iter().map(|(channel, version)| (channel.clone(), *version)).collect())
}

/// A leap second, which the contract does not know, becomes the last nanosecond before it.
fn time_to_proto(time: DateTime<Utc>) -> prost_types::Timestamp {
    let nanos = time.timestamp_subsec_nanos().min(999_999_999);
    prost_types::Timestamp { seconds: time.timestamp(), nanos: nanos as i32 }
}

fn time_from_proto(time: Option<prost_types::Timestamp>) -> Result<DateTime<Utc>, Unfit> {
    let time = time.unwrap_or_default();
    let nanos = u32::try_from(time.nanos).map_err(|_| format!("{time:?} is no time"))?;
    DateTime::from_timestamp(time.seconds, nanos).ok_or_else(|| format!("{time:?} is no time"))
}
