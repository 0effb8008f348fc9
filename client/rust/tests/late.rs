//! Saves that were given up and reach the server later.

mod support;

use std::time::Duration;

use futures_util::future::join_all;
use lockstitch::{Checkpoint, Client, ErrorReason, Message, Save, SaveOutcome};
use support::Server;

const SESSIONS: usize = 40;

fn content(session_id: &str, text: &str, bytes: usize) -> Checkpoint {
    let mut checkpoint = Checkpoint::new(session_id, 5);
    let text = format!("{text} {}", "x".repeat(bytes));
    checkpoint.state_mut().messages_mut().items.push(Message::new("user", text));
    checkpoint
}

#[tokio::test]
async fn a_save_that_was_given_up_overwrites_nothing() {
    for stream in [true, false] {
        let server = Server::start().await;
        let patient =
            Client::builder(server.target()).timeout(Duration::from_secs(120)).stream(stream).build().unwrap();
        let hasty = patient.with_timeout(Duration::from_secs(1));
        patient.save(Checkpoint::new("s", 0)).await.unwrap();
        let sessions: Vec<_> = (0..SESSIONS).map(|number| format!("s-{number}")).collect();
        server.signal("STOP");
        let old = sessions.iter().map(|session| hasty.save(content(session, "old", 100_000)));
        assert!(join_all(old).await.iter().all(Result::is_err));
        server.signal("CONT");
        let new = sessions.iter().map(|session| patient.save(content(session, "new", 10)));
        for outcome in join_all(new).await {
            assert_ne!(outcome.unwrap().outcome, SaveOutcome::Unchanged);
        }
        // What comes after all that was sent before has its answer, so has what was sent before.
        patient.save(Checkpoint::new("s", 1)).await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await; // more cannot be known of what was given up
        for session in &sessions {
            let state = patient.load_latest(session).await.unwrap().checkpoint.unwrap().state.unwrap();
            assert!(state.messages.unwrap().items[0].content.starts_with("new "), "{session}");
        }
    }
}

#[tokio::test]
async fn an_earlier_save_of_the_same_writer_is_superseded() {
    let server = Server::start().await;
    let client = server.client();
    let save = |number: u64, text: &str| client.save(Save::from(content("s", text, 10)).with_save_id(7, number));
    save(2, "new").await.unwrap();
    let error = save(1, "old").await.unwrap_err();
    assert_eq!(error.reason(), ErrorReason::Superseded);
    assert_eq!(error.metadata()["checkpoint_id"], format!("{:020}", 5));
}

#[tokio::test]
async fn of_equal_saves_by_two_clients_on_one_condition_one_succeeds() {
    let server = Server::start().await;
    let clients = [server.client(), server.client()];
    for round in 0..20 {
        let session_id = format!("s-{round}");
        let saves =
            clients.iter().map(|client| client.save(Save::from(content(&session_id, "claimed", 10)).expect_none()));
        let reasons: Vec<_> =
            join_all(saves).await.into_iter().filter_map(|saved| saved.err().map(|e| e.reason())).collect();
        assert_eq!(reasons, [ErrorReason::ExpectedLatestMismatch]);
    }
}
