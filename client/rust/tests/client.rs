//! What a client does by itself, at a real server. What all languages have in common is in `tests/polyglot`.

mod support;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{StreamExt, TryStreamExt, future::join_all};
use lockstitch::{
    BlobList, Checkpoint, CheckpointQuery, Client, Code, CustomChannel, Error, ErrorReason, LoadQuery, Message,
    PendingWrite, RetryPolicy, RunOptions, Save, SaveOutcome, SaveWrites, SessionQuery, Timestamp, TypedBlob,
    custom_channel::Value,
};
use support::Server;

/// A checkpoint whose state depends on its step, in every channel.
fn checkpoint(session_id: &str, step: u64) -> Checkpoint {
    let mut checkpoint = Checkpoint::new(session_id, step);
    checkpoint.created_at = Some(Timestamp { seconds: step as i64, nanos: 123_456_789 });
    let state = checkpoint.state_mut();
    let messages = (0..=step).filter(|number| step % 7 != 3 || *number > 0);
    state.messages_mut().items.extend(messages.map(|number| Message::new("user", format!("{number} {session_id}"))));
    state.messages_mut().version = step as u32;
    let entries = (step / 2..=step).map(|number| (number.to_string(), (number * step).to_string()));
    state.extra_mut().entries = entries.collect::<BTreeMap<_, _>>();
    let blob = |number: u64| TypedBlob { r#type: "bytes".into(), data: vec![number as u8; 100].into() };
    let list = Value::List(BlobList { items: (0..step % 5).map(blob).collect() });
    let channel = |version: u64, value| CustomChannel { version: version.to_string(), value };
    state.custom.insert("list".into(), channel(step, Some(list)));
    state.custom.insert(format!("comes and goes {}", step % 3), channel(1, Some(Value::Blob(blob(step % 2)))));
    state.custom.insert("none".into(), channel(step, None));
    checkpoint
}

/// What comes back of it.
fn stored(checkpoint: Checkpoint) -> Checkpoint {
    Checkpoint { checkpoint_id: checkpoint.stored_id(), ..checkpoint }
}

#[tokio::test]
async fn deltas_come_to_the_same_as_whole_states() {
    let server = Server::start().await;
    let client = server.client();
    for step in 0..30 {
        let saved = client.save(checkpoint("s", step)).await.unwrap();
        assert_eq!(saved.outcome, SaveOutcome::Created);
        let loaded = client.load(LoadQuery::step("s", step)).await.unwrap();
        assert_eq!(loaded.checkpoint, stored(checkpoint("s", step)));
    }
}

#[tokio::test]
async fn a_base_that_is_gone_or_another_makes_no_difference() {
    let server = Server::start().await;
    let (client, other) = (server.client(), server.client());
    for step in 0..6 {
        client.save(checkpoint("s", step)).await.unwrap();
        other.save(checkpoint("other content", step)).await.unwrap();
        let mut replaced = checkpoint("s", step);
        replaced.state_mut().messages_mut().items.clear();
        other.save(replaced).await.unwrap();
    }
    let loaded = client.load_latest("s").await.unwrap().checkpoint.unwrap();
    assert!(loaded.state.unwrap().messages.unwrap().items.is_empty());
    client.save(checkpoint("s", 7)).await.unwrap();
    assert_eq!(client.load_latest("s").await.unwrap().checkpoint, Some(stored(checkpoint("s", 7))));
}

#[tokio::test]
async fn concurrent_saves_survive_a_server_that_is_killed() {
    let mut server = Server::start().await;
    let client = Client::builder(server.target()).timeout(Duration::from_secs(60)).build().unwrap();
    let sessions: Vec<_> = (0..50).map(|number| format!("session {number}")).collect();
    let runners: Vec<_> = sessions
        .iter()
        .map(|session_id| {
            let (client, session_id) = (client.clone(), session_id.clone());
            tokio::spawn(async move {
                for step in 0..20 {
                    client.save(checkpoint(&session_id, step)).await.unwrap();
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.kill();
    server.again().await;
    for ended in join_all(runners).await {
        ended.unwrap();
    }
    for session_id in &sessions {
        let listed: Vec<_> = client.list_checkpoints(session_id).try_collect().await.unwrap();
        let steps: Vec<_> = listed.iter().map(|item| item.checkpoint.step).collect();
        assert_eq!(steps, (0..20).rev().collect::<Vec<_>>());
        assert_eq!(listed[0].checkpoint, stored(checkpoint(session_id, 19)));
    }
}

#[tokio::test]
async fn saves_on_a_stream_fail_alone() {
    let server = Server::start().await;
    let client = server.client();
    let saves = (0..20).map(|number| {
        let name = if number % 4 == 0 { String::new() } else { format!("session {number}") };
        client.save_streamed(checkpoint(&name, 1))
    });
    for (number, outcome) in join_all(saves).await.into_iter().enumerate() {
        match outcome {
            Ok(saved) => assert!(number % 4 != 0 && saved.revision > 0),
            Err(error) => assert!(number % 4 == 0 && error.field().ends_with("checkpoint.session_id"), "{error}"),
        }
    }
}

#[tokio::test]
async fn dropping_a_save_leaves_the_others_on_its_stream_alone() {
    let server = Server::start().await;
    let client = server.client();
    server.signal("STOP");
    let doomed = tokio::time::timeout(Duration::from_millis(200), client.save_streamed(checkpoint("doomed", 1)));
    let kept = client.save_streamed(checkpoint("kept", 1));
    let release = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        server.signal("CONT");
    };
    let (doomed, kept, ()) = tokio::join!(doomed, kept, release);
    assert!(doomed.is_err());
    assert_eq!(kept.unwrap().outcome, SaveOutcome::Created);
}

#[tokio::test]
async fn no_call_waits_for_ever() {
    let server = Server::start().await;
    let client = Client::builder(server.target()).timeout(Duration::from_millis(500)).build().unwrap();
    client.with_timeout(Duration::from_secs(60)).save(checkpoint("s", 1)).await.unwrap();
    server.signal("STOP");
    let (unary, streamed) = tokio::join!(client.load_latest("s"), client.save_streamed(checkpoint("s", 2)));
    assert_eq!(unary.unwrap_err().code(), Code::DeadlineExceeded);
    assert_eq!(streamed.unwrap_err().code(), Code::DeadlineExceeded);
    let walked = client.walk_ancestors("s").next().await;
    assert_eq!(walked.unwrap().unwrap_err().code(), Code::DeadlineExceeded);
    server.signal("CONT");
    let patient = client.with_timeout(Duration::from_secs(60));
    assert!(patient.load_latest("s").await.unwrap().checkpoint.is_some());
}

#[tokio::test]
async fn a_server_that_is_not_there_is_waited_for_and_told_of() {
    let mut server = Server::start().await;
    server.kill();
    let hasty = Client::builder(server.target()).timeout(Duration::from_millis(700)).build().unwrap();
    let error = hasty.load_latest("s").await.unwrap_err();
    assert!(error.is_transient());
    assert!(error.message().to_lowercase().contains("refused"), "{error}");
    let once = Client::builder(server.target()).retry(None).build().unwrap();
    assert_eq!(once.load_latest("s").await.unwrap_err().code(), Code::Unavailable);

    let minute = Duration::from_secs(60);
    let patient = Client::builder(server.target()).timeout(minute).connect_timeout(minute).build().unwrap();
    let waiting = tokio::spawn(async move { patient.save(checkpoint("s", 1)).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.begin();
    assert_eq!(waiting.await.unwrap().unwrap().outcome, SaveOutcome::Created);
}

#[tokio::test]
async fn a_conflict_tells_who_was_faster() {
    let server = Server::start().await;
    let client = server.client();
    client.save(Save::from(checkpoint("s", 1)).expect_none()).await.unwrap();
    client.save(Save::from(checkpoint("s", 2)).expect_step(1)).await.unwrap();
    let late = Save::from(checkpoint("s", 3)).expect_id(checkpoint("s", 1).stored_id());
    let error = client.save(late).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::Aborted, ErrorReason::ExpectedLatestMismatch));
    assert_eq!(error.latest_step(), Some(2));
    assert_eq!(error.latest_checkpoint_id(), Some(checkpoint("s", 2).stored_id().as_str()));
}

#[tokio::test]
async fn a_list_goes_through_its_pages() {
    let server = Server::start().await;
    let client = server.client();
    for step in 0..7 {
        client.save(checkpoint("s", step)).await.unwrap();
    }
    let query = CheckpointQuery::of("s").page_size(2);
    let page = client.list_checkpoints_page(query.clone()).await.unwrap();
    assert_eq!(page.checkpoints.len(), 2);
    let listed: Vec<_> = client.list_checkpoints(query.clone()).try_collect().await.unwrap();
    let steps: Vec<_> = listed.iter().map(|item| item.checkpoint.step).collect();
    assert_eq!(steps, [6, 5, 4, 3, 2, 1, 0]);
    assert!(listed.iter().all(|item| item.revision > 0));
    assert_eq!(client.list_checkpoints(query.page_token(page.next_page_token)).count().await, 5);
}

#[tokio::test]
async fn a_lease_is_renewed_until_it_is_released() {
    let server = Server::start().await;
    let client = server.client();
    let ttl = Duration::from_secs(3); // long enough for a machine that has much else to do
    let lease = client.hold_lease("s", "one", ttl).await.unwrap();
    tokio::time::sleep(ttl + Duration::from_secs(1)).await;
    lease.save(checkpoint("s", 1)).await.unwrap();
    let refused = client.save(checkpoint("s", 2)).await.unwrap_err();
    assert!(refused.is_fenced(), "{refused}");
    let held = client.hold_lease("s", "two", None).await.unwrap_err();
    assert_eq!((held.reason(), held.holder()), (ErrorReason::LeaseHeld, Some("one")));
    let next = client.wait_for_lease("s", "two", None, Duration::from_secs(60));
    let (next, released) = tokio::join!(next, lease.release());
    assert!(released.unwrap());
    assert_eq!(next.unwrap().holder(), "two");
}

#[tokio::test]
async fn a_lease_that_is_lost_is_told_of() {
    let server = Server::start().await;
    let client = server.client();
    let lease = client.hold_lease("s", "one", Duration::from_secs(1)).await.unwrap();
    // Somebody gives it back, and another takes it.
    assert!(client.release_lease("s", lease.token()).await.unwrap());
    let _newer = client.hold_lease("s", "two", Duration::from_secs(30)).await.unwrap();
    let lost = lease.lost();
    let saving = async {
        while lease.save(checkpoint("s", 1)).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        std::future::pending().await
    };
    let why = tokio::select! {
        why = lost => why,
        () = saving => unreachable!("it waits for the loss"),
        () = tokio::time::sleep(Duration::from_secs(60)) => panic!("nothing was told"),
    };
    assert_eq!(why.reason(), ErrorReason::LeaseLost);
    assert!(lease.save(checkpoint("s", 1)).await.unwrap_err().is_fenced());
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    for target in ["", "http://", "a b:1"] {
        assert_eq!(Client::connect(target).unwrap_err().code(), Code::InvalidArgument, "{target:?}");
    }
    let secret = Client::builder("127.0.0.1:1").bearer("sec\nret").build().unwrap_err();
    assert_eq!(secret.code(), Code::InvalidArgument);
    assert!(!secret.to_string().contains("sec"), "no secret in an error");
    let plain = Client::builder("http://127.0.0.1:1").server_name("x").build().unwrap_err();
    assert!(plain.message().contains("https"), "{plain}");
}

#[tokio::test]
async fn the_first_call_reports_that_there_is_no_server() {
    let forever = Duration::from_secs(3600);
    for builder in [
        Client::builder("127.0.0.1:1").timeout(forever),
        Client::builder("127.0.0.1:1").timeout(forever).retry(None),
        Client::builder("127.0.0.1:1").timeout(Duration::from_millis(300)).connect_timeout(forever),
    ] {
        let client = builder.build().unwrap();
        let save = client.save(Checkpoint { session_id: "s".into(), ..Default::default() });
        let load = client.load_latest("s");
        let (save, load) = tokio::join!(save, load);
        let listed = client.load_latest_many(["s"]).next().await.unwrap();
        for error in [save.unwrap_err(), load.unwrap_err(), listed.unwrap_err()] {
            assert_eq!(error.code(), tonic::Code::Unavailable, "{error}");
            assert!(error.message().starts_with("no connection to 127.0.0.1:1: "), "{error}");
            assert!(error.message().contains("refused"), "{error}");
        }
    }
}

#[tokio::test]
async fn calls_that_end_without_an_answer_say_whether_there_is_a_connection() {
    let mut server = Server::start().await;
    let client = Client::builder(server.target()).timeout(Duration::from_secs(60)).build().unwrap();
    client.save(checkpoint("s", 1)).await.unwrap();
    let hasty = client.with_timeout(Duration::from_millis(700));
    server.signal("STOP");
    let (load, save) = tokio::join!(hasty.load_latest("s"), hasty.save_streamed(checkpoint("s", 2)));
    for error in [load.unwrap_err(), save.unwrap_err()] {
        assert_eq!(error.code(), Code::DeadlineExceeded, "{error}");
    }
    server.signal("CONT");
    server.kill();
    let (load, save) = tokio::join!(hasty.load_latest("s"), hasty.save_streamed(checkpoint("s", 2)));
    for error in [load.unwrap_err(), save.unwrap_err()] {
        assert_eq!(error.code(), Code::Unavailable, "{error}");
    }
}

#[tokio::test]
async fn concurrent_saves_of_a_session_go_in_the_order_of_the_calls() {
    let server = Server::start().await;
    let streaming = server.client();
    let unary = Client::builder(server.target()).stream(false).build().unwrap();
    for client in [streaming, unary] {
        for pair in 0..100 {
            let session_id = format!("s-{pair}");
            let (first, second) = (content(&session_id, "first"), content(&session_id, "second"));
            let (first, second) = tokio::join!(client.save(first), client.save(second));
            first.unwrap();
            second.unwrap();
            let latest = client.load_latest(&session_id).await.unwrap().checkpoint.unwrap();
            assert_eq!(latest.state.unwrap().messages.unwrap().items[0].content, "second");
        }
    }
}

/// Step 1 with one message.
fn content(session_id: &str, text: &str) -> Checkpoint {
    let mut checkpoint = Checkpoint::new(session_id, 1);
    checkpoint.state_mut().messages_mut().items.push(Message::new("user", text));
    checkpoint
}

#[test]
fn a_client_outlives_the_runtime_that_used_it_first() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (first, second) = (runtime(), runtime());
    let server = second.block_on(Server::start());
    let client = Client::builder(server.target()).timeout(Duration::from_secs(60)).retry(None).build().unwrap();
    let used = client.clone();
    first.block_on(async move {
        let saves = (0..10).map(|number| used.save_streamed(checkpoint(&format!("s-{number}"), 1)));
        assert!(join_all(saves).await.iter().all(Result::is_ok));
        used.load_latest("s-1").await.unwrap();
    });
    drop(first);
    second.block_on(async move {
        client.load_latest("s-1").await.unwrap();
        client.save(checkpoint("s-1", 2)).await.unwrap();
        client.save_streamed(checkpoint("s-1", 3)).await.unwrap();
    });
}

#[tokio::test]
async fn an_idle_session_is_watched_beyond_the_timeout() {
    let server = Server::start().await;
    let client = Client::builder(server.target()).timeout(Duration::from_secs(1)).build().unwrap();
    let mut events = client.watch_session("s");
    for _ in 0..4 {
        assert!(events.next().await.unwrap().unwrap().is_heartbeat());
    }
    client.with_timeout(Duration::from_secs(60)).save(checkpoint("s", 1)).await.unwrap();
    while events.next().await.unwrap().unwrap().is_heartbeat() {}
}

#[tokio::test]
async fn no_save_is_given_up_before_its_timeout() {
    let mut server = Server::start().await;
    let client = Client::builder(server.target()).timeout(Duration::from_secs(3)).build().unwrap();
    client.save(checkpoint("s", 1)).await.unwrap();
    server.kill();
    let begun = std::time::Instant::now();
    let (one, other) = tokio::join!(client.save(checkpoint("s", 2)), client.save_streamed(checkpoint("other", 2)));
    assert!(one.unwrap_err().is_transient() && other.unwrap_err().is_transient());
    assert!(begun.elapsed() >= Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[test]
fn retry_policies_that_make_no_sense_are_refused() {
    let policy = RetryPolicy::default().multiplier(0.0);
    let error = Client::builder("127.0.0.1:1").retry(policy).build().unwrap_err();
    assert!(error.code() == Code::InvalidArgument && error.message().contains("multiplier is 0"), "{error}");
    let error = Client::builder("127.0.0.1:1").max_in_flight(0, 1).build().unwrap_err();
    assert!(error.message().contains("max_in_flight"), "{error}");
}

#[tokio::test]
async fn a_client_finds_the_servers_that_are_there() {
    let (mut one, other) = (Server::start().await, Server::start().await);
    let targets = format!("{},{}", one.target(), other.target());
    let client = Client::builder(targets).timeout(Duration::from_secs(60)).build().unwrap();
    let saves = (0..100).map(|number| {
        let client = client.clone();
        async move { client.save(checkpoint(&format!("s-{number}"), 1)).await.unwrap() }
    });
    for save in saves {
        save.await;
    }
    for server in [&one, &other] {
        let count = server.client().list_sessions(SessionQuery::all()).count().await;
        assert!((30..=70).contains(&count), "{count} sessions on a server");
    }
    one.kill();
    let saves = (0..20).map(|number| client.save(checkpoint(&format!("t-{number}"), 1)));
    assert!(join_all(saves).await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_runner_works_under_the_lease_until_it_is_lost() {
    let server = Server::start().await;
    let client = server.client();
    let step = client.run("s", RunOptions::new("one"), async |runner| {
        assert!(runner.latest().checkpoint.is_none());
        runner.save(checkpoint("s", 1)).await?;
        let value = Some(TypedBlob { r#type: "json".into(), data: "1".into() });
        let write = PendingWrite { task_id: "task".into(), value, ..Default::default() };
        let checkpoint_id = checkpoint("s", 1).stored_id();
        runner.save_writes(SaveWrites::to("s", checkpoint_id, [write])).await?;
        assert!(client.save(checkpoint("s", 2)).await.unwrap_err().is_fenced());
        Ok::<_, Error>(1)
    });
    assert_eq!(step.await.unwrap(), 1);
    let (spawned, options) = (client.clone(), RunOptions::new("a task of its own"));
    let work = async move { spawned.run("t", options, async |runner| runner.save(checkpoint("t", 1)).await).await };
    tokio::spawn(work).await.unwrap().unwrap();
    let latest = client.load_latest("s").await.unwrap();
    assert_eq!(latest.pending_writes.len(), 1);

    let options = RunOptions::new("two").ttl(Duration::from_secs(1)).wait(Duration::from_secs(60));
    let error = client.run("s", options, async |runner| -> Result<(), Error> {
        assert_eq!(runner.latest().checkpoint.as_ref().map(|latest| latest.step), Some(1));
        let acquired_at = client.get_session("s").await?.lease.and_then(|lease| lease.acquired_at);
        assert!(acquired_at.is_some() && acquired_at == runner.lease().details().acquired_at);
        assert!(client.break_lease("s", acquired_at).await?);
        std::future::pending().await
    });
    let error = tokio::time::timeout(Duration::from_secs(60), error).await.unwrap().unwrap_err();
    assert_eq!(error.reason(), ErrorReason::LeaseLost);
}

#[tokio::test]
async fn lists_are_filtered_and_sessions_rewound_by_methods() {
    let server = Server::start().await;
    let client = server.client();
    for step in 1..=5 {
        let request = Save::from(checkpoint("order-1", step)).with_metadata("odd", (step % 2).to_string());
        client.save(request).await.unwrap();
    }
    client.save(checkpoint("other", 1)).await.unwrap();
    let sessions: Vec<_> = client.list_sessions(SessionQuery::all().prefix("order-")).try_collect().await.unwrap();
    assert_eq!(sessions.iter().map(|session| &*session.session_id).collect::<Vec<_>>(), ["order-1"]);
    let odd = CheckpointQuery::of("order-1").steps(2..=5).metadata("odd", "1").headers();
    let listed: Vec<_> = client.list_checkpoints(odd).try_collect().await.unwrap();
    assert_eq!(listed.iter().map(|item| item.checkpoint.step).collect::<Vec<_>>(), [5, 3]);
    assert!(listed.iter().all(|item| item.checkpoint.state.is_none()));
    assert_eq!(client.rewind("order-1", 2).await.unwrap().deleted, 3);
    assert_eq!(client.load_latest("order-1").await.unwrap().checkpoint.unwrap().step, 2);
}

#[tokio::test]
async fn calls_are_intercepted_and_observed() {
    let server = Server::start().await;
    let (seen, reports) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
    let (methods, outcomes) = (Arc::clone(&seen), Arc::clone(&reports));
    let client = Client::builder(server.target())
        .intercept(move |method, metadata| {
            metadata.insert("x-source", "test".parse().unwrap());
            methods.lock().unwrap().push(method.to_owned());
        })
        .observe(move |call| outcomes.lock().unwrap().push((call.method, call.code, call.reason.clone())))
        .build()
        .unwrap();
    client.save(checkpoint("s", 1)).await.unwrap();
    client.save_streamed(checkpoint("s", 2)).await.unwrap();
    client.load(LoadQuery::step("s", 9)).await.unwrap_err();
    let service = "lockstitch.v1.CheckpointService";
    let methods = ["Save", "SaveStream", "Load"].map(|method| format!("{service}/{method}"));
    assert_eq!(*seen.lock().unwrap(), methods);
    let saved = ("lockstitch.v1.CheckpointService/Save", Code::Ok, String::new());
    let missing = ("lockstitch.v1.CheckpointService/Load", Code::NotFound, "CHECKPOINT_NOT_FOUND".to_owned());
    assert_eq!(*reports.lock().unwrap(), [saved.clone(), saved, missing]);
}
