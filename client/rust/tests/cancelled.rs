//! Calls that the server cancels, as one that stops does with what it has not begun; and those that the caller drops.

mod scripted;

use std::time::Duration;

use futures_util::StreamExt;
use lockstitch::{Checkpoint, Client, Code, Error, RetryPolicy};
use scripted::{Failure, Scripted};

/// How to make a call.
#[derive(Clone, Copy, Debug)]
enum Way {
    Save,
    SaveStream,
    Watch,
}

const WAYS: [Way; 3] = [Way::Save, Way::SaveStream, Way::Watch];

impl Way {
    async fn call(self, client: &Client) -> Result<(), Error> {
        let checkpoint = Checkpoint::new("s", 1);
        match self {
            Self::Save => client.save(checkpoint).await.map(drop),
            Self::SaveStream => client.save_streamed(checkpoint).await.map(drop),
            Self::Watch => client.watch_session("s").next().await.expect("an event").map(drop),
        }
    }
}

fn hasty(server: &Scripted) -> Client {
    let soon = Duration::from_millis(1);
    let retry = RetryPolicy::default().initial_backoff(soon).max_backoff(soon);
    Client::builder(&server.target).retry(retry).build().unwrap()
}

#[tokio::test]
async fn what_the_server_has_cancelled_is_repeated() {
    for way in WAYS {
        let server = Scripted::start([Failure::Told, Failure::Reset]).await;
        way.call(&hasty(&server)).await.unwrap_or_else(|error| panic!("{way:?}: {error}"));
        assert_eq!(server.calls(), 3, "{way:?}");
    }
}

#[tokio::test]
async fn what_the_caller_has_dropped_is_not() {
    for way in WAYS {
        let server = Scripted::start([Failure::Hang]).await;
        let client = hasty(&server);
        tokio::select! {
            answer = way.call(&client) => panic!("{way:?}: {answer:?}"),
            () = server.called() => {}
        }
        way.call(&client).await.unwrap_or_else(|error| panic!("{way:?}: {error}"));
        assert_eq!(server.calls(), 2, "{way:?}");
    }
}

#[tokio::test]
async fn what_the_server_has_cancelled_is_unavailable_where_nothing_is_repeated() {
    for failure in [Failure::Told, Failure::Reset] {
        let server = Scripted::start([failure]).await;
        let client = Client::builder(&server.target).retry(None).build().unwrap();
        assert_eq!(Way::Save.call(&client).await.unwrap_err().code(), Code::Unavailable);
        assert_eq!(server.calls(), 1);
    }
}

#[tokio::test]
async fn a_save_waits_for_the_one_before_it_no_longer_than_its_timeout() {
    let server = Scripted::start([Failure::Hang]).await;
    let client = hasty(&server);
    let patient = client.with_timeout(Duration::from_secs(600));
    let first = tokio::spawn(async move { patient.save(Checkpoint::new("s", 1)).await });
    server.called().await;
    let hurried = client.with_timeout(Duration::from_millis(100));
    let second = tokio::time::timeout(Duration::from_secs(60), hurried.save(Checkpoint::new("s", 2)));
    assert_eq!(second.await.expect("it has ended").unwrap_err().code(), Code::DeadlineExceeded);
    first.abort();
}
