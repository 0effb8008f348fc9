//! Saves that were stored, and whose answers were lost.

mod forwarding;
mod support;

use std::sync::atomic::Ordering;

use forwarding::Forwarder;
use lockstitch::{Builder, Checkpoint, Client, Code, ErrorReason, Message, Save, SaveOutcome};
use serde_json::{Value, json};
use support::Server;

fn content(text: &str) -> Checkpoint {
    let mut checkpoint = Checkpoint::new("s", 1);
    checkpoint.state_mut().messages_mut().items.push(Message::new("user", text));
    checkpoint
}

fn claim(text: &str) -> Save {
    Save::from(content(text)).expect_none()
}

/// A client that makes one attempt, by a call of its own.
fn single(target: &str) -> Builder {
    Client::builder(target).retry(None).stream(false)
}

#[tokio::test]
async fn the_same_save_again_is_a_retry() {
    let server = Server::start().await;
    let forwarder = Forwarder::start(server.target(), 1).await;
    let client = single(&forwarder.target).build().unwrap();
    assert_eq!(client.save(claim("mine")).await.unwrap_err().code(), Code::Unavailable);
    let error = server.client().save(claim("mine")).await.unwrap_err();
    assert_eq!(error.reason(), ErrorReason::ExpectedLatestMismatch, "it is another client's");
    assert_eq!(client.save(claim("mine")).await.unwrap().outcome, SaveOutcome::Unchanged);
    let error = client.save(claim("mine")).await.unwrap_err();
    assert_eq!(error.reason(), ErrorReason::ExpectedLatestMismatch, "the outcome is known");
}

#[tokio::test]
async fn a_retry_that_is_refused_says_nothing_about_the_attempt_before() {
    let server = Server::start().await;
    let forwarder = Forwarder::start(server.target(), 1).await;
    let saves = forwarder.saves();
    // After the first attempt there is no key, until the test says that there is one.
    let key = move || if saves.load(Ordering::SeqCst) == 1 { Err("the vault is closed") } else { Ok("key".to_owned()) };
    let client = Client::builder(&forwarder.target).stream(false).bearer_source(key).build().unwrap();
    for _ in 0..2 {
        assert_eq!(client.save(claim("mine")).await.unwrap_err().code(), Code::Unauthenticated);
    }
    forwarder.saves().store(2, Ordering::SeqCst);
    assert_eq!(client.save(claim("mine")).await.unwrap().outcome, SaveOutcome::Unchanged);
}

#[tokio::test]
async fn a_save_that_another_has_overtaken_is_a_new_one_when_it_is_made_again() {
    let server = Server::start().await;
    let forwarder = Forwarder::start(server.target(), 1).await;
    let client = single(&forwarder.target).build().unwrap();
    let (old, new) = tokio::join!(client.save(content("old")), client.save(content("new")));
    assert_eq!(old.unwrap_err().code(), Code::Unavailable);
    assert_eq!(new.unwrap().outcome, SaveOutcome::Replaced);
    assert_eq!(client.save(content("old")).await.unwrap().outcome, SaveOutcome::Replaced);
}

#[tokio::test]
async fn equal_retries_side_by_side_are_two() {
    let server = Server::start().await;
    let forwarder = Forwarder::start(server.target(), 1).await;
    let client = single(&forwarder.target).build().unwrap();
    client.save(claim("mine")).await.unwrap_err();
    let (one, other) = tokio::join!(client.save(claim("mine")), client.save(claim("mine")));
    assert_eq!(one.unwrap().outcome, SaveOutcome::Unchanged);
    assert_eq!(other.unwrap_err().reason(), ErrorReason::ExpectedLatestMismatch);
}

#[tokio::test]
async fn a_first_append_that_is_made_again_is_stored_once() {
    let server = Server::start().await;
    let forwarder = Forwarder::start(server.target(), 1).await;
    let mut thread = single(&forwarder.target).build().unwrap().thread::<Value>("s");
    assert_eq!(thread.append("log", &1).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(thread.append("log", &1).await.unwrap().outcome, SaveOutcome::Unchanged);
    thread.append("log", &2).await.unwrap();
    assert_eq!(server.client().thread::<Value>("s").load().await.unwrap(), Some(json!({"log": [1, 2]})));
}
