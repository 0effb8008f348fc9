//! A checkpoint with all that weavegraph's types can hold, at its extremes.

use serde_json::{Value, json};

use super::api::{
    channels::{
        Channel, ErrorsChannel, MessagesChannel,
        errors::{ErrorEvent, WeaveError},
    },
    message::{Message, Role},
    runtimes::{Checkpoint, SessionState},
    schedulers::{Scheduler, SchedulerState},
    state::VersionedState,
    types::NodeKind,
};

pub fn extreme_checkpoint(session: &str) -> Checkpoint {
    let session_state = SessionState {
        state: state(),
        step: i64::MAX as u64,
        frontier: nodes(),
        scheduler: Scheduler::new(usize::MAX),
        scheduler_state: SchedulerState { versions_seen: Default::default() },
    };
    let mut checkpoint = Checkpoint::from_session(session, &session_state);
    let channels = [("messages", u64::MAX), ("", 0), ("extra", 9_007_199_254_740_993)];
    let seen = channels.map(|(channel, version)| (channel.to_owned(), version)).into_iter().collect();
    checkpoint.versions_seen.insert("Custom(\"plan\") 🧵".to_owned(), seen);
    checkpoint.versions_seen.insert(String::new(), Default::default());
    checkpoint.versions_seen.insert(format!("Custom({:?})", long_name("node")), Default::default());
    checkpoint.created_at = "1969-12-31T23:59:59.999999999Z".parse().expect("a time");
    checkpoint.ran_nodes = nodes();
    checkpoint.skipped_nodes = vec![NodeKind::End, NodeKind::Custom("twice".into()), NodeKind::Custom("twice".into())];
    checkpoint.updated_channels = ["messages", "extra", "", "my/channel 🧵"].map(str::to_owned).to_vec();
    checkpoint
}

/// `Custom("Start")` is not `Start`, and a custom name may hold the very prefix of its encoding.
fn nodes() -> Vec<NodeKind> {
    let long = long_name("node");
    let names = ["Start", "", "Custom:x", "a:b \"c\" \\ 🧵", &long].map(|name| NodeKind::Custom(name.to_owned()));
    [NodeKind::Start, NodeKind::End].into_iter().chain(names).collect()
}

/// A name beyond the server's limit of 512 bytes.
fn long_name(what: &str) -> String {
    format!("{what} {}", "🧵".repeat(1_000))
}

fn state() -> VersionedState {
    let deep = (0..900).fold(json!("bottom"), |inner, _| json!([inner]));
    let mut state = VersionedState::builder()
        .with_extra("", Value::Null)
        .with_extra("integers", json!([i64::MIN, -1, 0, i64::MAX, u64::MAX, 9_007_199_254_740_993_u64]))
        .with_extra("floats", json!([-0.0, 0.1, 1e16, 1e300, f64::MAX, f64::MIN_POSITIVE, 5e-324]))
        .with_extra("not off by one bit", json!(51.248_178_375_505_55))
        .with_extra("nul \0", json!({"\0": "\u{1}\u{1f}\u{7f}\u{2028}\u{10ffff}", "": {"": []}}))
        .with_extra("deep", deep)
        .with_extra(&long_name("key"), json!(1))
        .with_extra(&long_name("another key"), json!(2))
        .build();
    state.extra.set_version(u32::MAX);
    state.messages = MessagesChannel::new(
        vec![
            Message::user(""),
            Message::assistant("a\0b 🧵 \u{feff}"),
            Message::system("s"),
            Message::tool("{\"hits\":1}"),
            Message::with_role(Role::from("function"), "another role"),
            Message::with_role(Role::from(""), ""),
        ],
        2_147_483_648,
    );
    state.errors = ErrorsChannel::new(errors(), 0);
    state
}

fn errors() -> Vec<ErrorEvent> {
    let caused = (0..3_000).fold(WeaveError::msg("root").with_details(json!(0.1)), |cause, depth| {
        WeaveError::msg(format!("because {depth}")).with_cause(cause)
    });
    let at = |when: &str, event: ErrorEvent| ErrorEvent { when: when.parse().expect("a time"), ..event };
    vec![
        at(
            "2025-11-02T10:30:00.123456789Z",
            ErrorEvent::node(format!("Custom:{}", long_name("node")), u64::MAX, caused),
        ),
        at("0001-01-01T00:00:00Z", ErrorEvent::scheduler(0, WeaveError::default())),
        at("9999-12-31T23:59:59.999999999Z", ErrorEvent::runner("", 1, WeaveError::msg("\0"))).with_tags(vec![
            String::new(),
            "b".to_owned(),
            "a".to_owned(),
            "a".to_owned(),
        ]),
        ErrorEvent::app(WeaveError::msg("now")).with_context(json!({"trace": u64::MAX, "": null})),
    ]
}
