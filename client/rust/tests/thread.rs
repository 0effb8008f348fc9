//! Threads of plain state, at a real server. What all languages have in common is in `tests/polyglot`.

mod support;

use std::time::Duration;

use futures_util::TryStreamExt;
use lockstitch::{Checkpoint, ErrorReason};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use support::Server;

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Order {
    messages: Vec<Message>,
    size: Option<String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Message {
    role: String,
    content: String,
}

fn message(role: &str, content: &str) -> Message {
    Message { role: role.into(), content: content.into() }
}

#[tokio::test]
async fn a_thread_saves_and_resumes() {
    let server = Server::start().await;
    let mut thread = server.client().thread::<Order>("order");
    assert_eq!((thread.load().await.unwrap(), thread.step()), (None, 0));
    let mut order = Order::default();
    order.messages.push(message("user", "hello"));
    thread.save_with(&order, |request| request.with_metadata("by", "\"rust\"")).await.unwrap();
    thread.append("messages", &message("assistant", "hi")).await.unwrap();
    order.messages.push(message("assistant", "hi"));

    let mut resumed = server.client().thread::<Order>("order");
    assert_eq!((resumed.load().await.unwrap(), resumed.step()), (Some(order), 2));
    let versions: Vec<_> = resumed.history().try_collect().await.unwrap();
    assert_eq!(versions.iter().map(|version| version.step).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(versions[1].metadata["by"], "\"rust\"");
    assert_eq!(resumed.at(1).await.unwrap().messages.len(), 1);
}

#[tokio::test]
async fn nobody_overwrites_what_another_has_saved() {
    let server = Server::start().await;
    let (mut one, mut other) = (server.client().thread::<Value>("s"), server.client().thread::<Value>("s"));
    one.save(&json!({"turn": 1})).await.unwrap();
    let error = other.save(&json!({"turn": "never loaded"})).await.unwrap_err();
    assert_eq!(error.reason(), ErrorReason::ExpectedLatestMismatch);
    let error = other.save(&json!({"turn": 1})).await.unwrap_err();
    assert_eq!(error.reason(), ErrorReason::ExpectedLatestMismatch, "an equal state, but of another");
    other.load().await.unwrap();
    other.save(&json!({"turn": 2})).await.unwrap();
    let error = one.append("log", "late").await.unwrap_err();
    assert_eq!(error.reason(), ErrorReason::ExpectedLatestMismatch);
    assert_eq!(one.load().await.unwrap(), Some(json!({"turn": 2})));
}

#[tokio::test]
async fn two_that_append_lose_nothing() {
    let server = Server::start().await;
    let work = |name: &'static str| {
        let mut thread = server.client().thread::<Value>("s");
        async move {
            for number in 0..20 {
                while let Err(error) = thread.append("log", &(name, number)).await {
                    assert_eq!(error.reason(), ErrorReason::ExpectedLatestMismatch, "{error}");
                    thread.load().await.unwrap();
                }
            }
        }
    };
    tokio::join!(work("a"), work("b"));
    let state = server.client().thread::<Value>("s").load().await.unwrap().unwrap();
    for name in ["a", "b"] {
        let entries = state["log"].as_array().unwrap().iter().filter(|entry| entry[0] == name);
        assert!(entries.map(|entry| entry[1].as_i64().unwrap()).eq(0..20));
    }
}

#[tokio::test]
async fn forks_and_rewinds() {
    let server = Server::start().await;
    let mut thread = server.client().thread::<Value>("s");
    for turn in 1..=3 {
        thread.save(&json!({"turn": turn})).await.unwrap();
    }
    let mut fork = thread.fork_at("fork", 2).await.unwrap();
    assert_eq!(fork.step(), 2);
    fork.save(&json!({"turn": "other"})).await.unwrap();
    assert_eq!(thread.fork("whole").await.unwrap().step(), 3);
    assert_eq!(thread.fork("fork").await.unwrap_err().reason(), ErrorReason::SessionAlreadyExists);
    assert_eq!(thread.at(9).await.unwrap_err().reason(), ErrorReason::CheckpointNotFound);
    assert_eq!(thread.rewind(1).await.unwrap(), json!({"turn": 1}));
    thread.save(&json!({"turn": "again"})).await.unwrap();
    assert_eq!(thread.step(), 2);
}

#[tokio::test]
async fn a_lease_keeps_others_out() {
    let server = Server::start().await;
    let (mut one, mut other) = (server.client().thread::<Value>("s"), server.client().thread::<Value>("s"));
    let ttl = Duration::from_secs(60);
    one.acquire_lease(ttl, Duration::ZERO).await.unwrap();
    one.append("log", &1).await.unwrap();
    one.append("log", &2).await.unwrap();
    one.rewind(1).await.unwrap();
    assert!(one.lease().unwrap().loss().is_none());
    assert_eq!(other.append("log", "late").await.unwrap_err().reason(), ErrorReason::LeaseLost);
    let error = other.acquire_lease(ttl, Duration::ZERO).await.unwrap_err();
    assert_eq!(error.reason(), ErrorReason::LeaseHeld);
    let (released, acquired) = tokio::join!(one.release(), other.acquire_lease(ttl, Duration::from_secs(60)));
    assert!(released.unwrap());
    acquired.unwrap();
    other.append("log", "held").await.unwrap();
    assert_eq!(one.append("log", "late").await.unwrap_err().reason(), ErrorReason::LeaseLost);
    assert!(other.release().await.unwrap());
    assert!(!other.release().await.unwrap());
    one.load().await.unwrap();
    one.append("log", "without a lease").await.unwrap();
}

#[tokio::test]
async fn appending_stores_what_is_appended() {
    let server = Server::start().await;
    let mut threads = [server.client().thread::<Value>("s"), server.client().thread::<Value>("s")];
    for number in 0..60 {
        let thread = &mut threads[number % 2];
        thread.load().await.unwrap();
        thread.append("log", &"x".repeat(200)).await.unwrap();
    }
    let stored = server.client().get_session("s").await.unwrap().summary.stored_bytes;
    assert!(stored < 60 * (300 + 400), "{stored}");
}

#[tokio::test]
async fn a_thread_loads_no_other_checkpoints() {
    let server = Server::start().await;
    server.client().save(Checkpoint::new("s", 1)).await.unwrap();
    let error = server.client().thread::<Value>("s").load().await.unwrap_err();
    assert_eq!((error.reason(), error.field()), (ErrorReason::InvalidField, "state"));
}

#[tokio::test]
async fn of_two_that_save_equal_states_one_succeeds() {
    let server = Server::start().await;
    for round in 0..20 {
        let name = format!("s-{round}");
        let mut threads = [server.client().thread::<Value>(&name), server.client().thread::<Value>(&name)];
        let [one, other] = &mut threads;
        let state = json!({"claimed": true});
        let (one, other) = tokio::join!(one.save(&state), other.save(&state));
        let reasons: Vec<_> = [one, other].into_iter().filter_map(|saved| saved.err().map(|e| e.reason())).collect();
        assert_eq!(reasons, [ErrorReason::ExpectedLatestMismatch]);
    }
}

#[tokio::test]
async fn a_version_that_was_rewound_and_saved_again_is_another_one() {
    let server = Server::start().await;
    let (mut one, mut other) = (server.client().thread::<Value>("s"), server.client().thread::<Value>("s"));
    one.save(&json!({"turn": 1})).await.unwrap();
    one.save(&json!({"turn": 2})).await.unwrap();
    other.load().await.unwrap();
    one.rewind(1).await.unwrap();
    one.save(&json!({"turn": "another 2"})).await.unwrap();
    let error = other.save(&json!({"turn": 3})).await.unwrap_err();
    assert_eq!(error.reason(), ErrorReason::ExpectedLatestMismatch);
    one.save(&json!({"turn": 3})).await.unwrap();
}

#[tokio::test]
async fn a_state_that_is_saved_again_after_a_timeout_is_a_retry() {
    let server = Server::start().await;
    let client = server.client();
    let mut thread = client.with_timeout(Duration::from_secs(1)).thread::<Value>("s");
    thread.load().await.unwrap();
    server.signal("STOP");
    let state = json!({"turn": 1});
    assert!(thread.save(&state).await.unwrap_err().is_transient());
    server.signal("CONT");
    while client.load_latest("s").await.unwrap().checkpoint.is_none() {
        // The save that was given up may be on its way, or may be gone.
        if thread.save(&state).await.is_ok() {
            break;
        }
    }
    thread.save(&json!({"turn": 2})).await.expect("the thread goes on from its own save");
}
