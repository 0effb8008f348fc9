//! What the server says about sessions, at a real server: every part of it arrives.

mod support;

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

use futures_util::{StreamExt, TryStreamExt};
use lockstitch::{
    AncestorQuery, Checkpoint, CheckpointDeletion, CheckpointQuery, Client, CopyOptions, EventKind, LatestQuery,
    LoadQuery, Message, PendingWrite, PruneOptions, Retention, Save, SaveOutcome, SaveWrites, SessionEvent,
    SessionQuery, SessionUpdate, Stream, TypedBlob, WatchQuery,
};
use support::Server;

const MINUTE: Duration = Duration::from_secs(60);

fn checkpoint(step: u64) -> Checkpoint {
    let mut checkpoint = Checkpoint::new("s", step);
    checkpoint.parent_id = step.checked_sub(1).map(|parent| format!("{parent:020}")).unwrap_or_default();
    checkpoint.state_mut().messages_mut().items.push(Message::new("user", step.to_string()));
    checkpoint.state_mut().extra_mut().entries.insert("step".into(), step.to_string());
    checkpoint
}

fn write() -> PendingWrite {
    let value = Some(TypedBlob { r#type: "json".into(), data: "1".into() });
    PendingWrite { task_id: "task".into(), channel: "answer".into(), value, ..Default::default() }
}

async fn saved(client: &Client, steps: std::ops::Range<u64>) {
    for step in steps {
        client.save(checkpoint(step)).await.unwrap();
    }
}

/// Whether a time of the server's is that of this test.
fn is_now(time: Option<SystemTime>) -> bool {
    let time = time.expect("a time");
    time > SystemTime::now() - 10 * MINUTE && time < SystemTime::now() + 10 * MINUTE
}

#[tokio::test]
async fn a_session_has_all_its_settings() {
    let server = Server::start().await;
    let client = server.client();
    saved(&client, 0..3).await;
    let lease = client.hold_lease("s", "one", MINUTE).await.unwrap();
    let policy = Retention::newest(7).max_age(Duration::from_secs(86_400));
    let update = SessionUpdate::new().label("customer", "4711").ttl(2 * MINUTE).retention(policy).with_lease(&lease);
    let details = client.update_session("s", update).await.unwrap();
    assert_eq!((details.ttl, details.retention), (Some(2 * MINUTE), Some(policy)));
    let live = details.lease.expect("it is held");
    assert_eq!((live.token, &*live.holder), (0, "one"), "the token is its holder's");
    assert!(lease.token() > 0 && live.acquired_at == lease.details().acquired_at && is_now(live.expire_at));

    let listed: Vec<_> = client.list_sessions(SessionQuery::all()).try_collect().await.unwrap();
    for session in [&details.summary, &listed[0], &client.get_session("s").await.unwrap().summary] {
        assert_eq!((&*session.session_id, &*session.lease_holder), ("s", "one"));
        assert_eq!((session.latest_step, session.latest_checkpoint_id.as_str()), (2, "00000000000000000002"));
        assert!(session.checkpoint_count == 3 && session.stored_bytes > 0 && session.revision >= 3);
        assert_eq!(session.labels, [("customer".to_owned(), "4711".to_owned())].into());
        assert!(is_now(session.created_at) && session.updated_at >= session.created_at);
        assert!(session.expire_at > session.updated_at && session.error.is_none());
    }
    assert!(lease.release().await.unwrap());
    let update = SessionUpdate::new().remove_label("customer").clear_ttl().clear_retention();
    let details = client.update_session("s", update).await.unwrap();
    assert!(details.ttl.is_none() && details.retention.is_none() && details.lease.is_none());
    assert!(details.summary.labels.is_empty() && details.summary.expire_at.is_none());
}

#[tokio::test]
async fn saves_loads_and_lists_say_all_that_there_is() {
    let server = Server::start().await;
    let client = server.client();
    let first = client.save(Save::from(checkpoint(0)).with_writes([write()])).await.unwrap();
    assert!(first.outcome == SaveOutcome::Created && first.revision > 0 && is_now(first.saved_at));
    let again = client.save(checkpoint(0)).await.unwrap();
    assert_eq!(
        (again.outcome, again.checkpoint_id, again.saved_at),
        (SaveOutcome::Unchanged, first.checkpoint_id, first.saved_at)
    );
    saved(&client, 1..2).await;
    let stored = client.save_writes(SaveWrites::to("s", format!("{:020}", 1), [write()])).await.unwrap();
    assert!(stored.stored == 1 && stored.revision > first.revision);

    let latest = client.load_latest(LatestQuery::of("s").channels(["messages"])).await.unwrap();
    let loaded = client.load(LoadQuery::step("s", 1).headers()).await.unwrap();
    assert_eq!((latest.revision, latest.checkpoint_revision), (loaded.revision, loaded.checkpoint_revision));
    assert_eq!((&latest.pending_writes, loaded.checkpoint.state), (&loaded.pending_writes, None));
    assert!(latest.checkpoint.unwrap().state.unwrap().extra.is_none() && loaded.pending_writes[0].task_id == "task");

    let query = CheckpointQuery::of("s").headers().with_writes().with_channel_sizes().with_total().page_size(1);
    let page = client.list_checkpoints_page(query).await.unwrap();
    let item = &page.checkpoints[0];
    assert_eq!((page.total_size, page.damaged.len(), item.checkpoint.step), (Some(2), 0, 1));
    assert!(is_now(item.saved_at) && item.saved_at >= first.saved_at && item.revision == latest.checkpoint_revision);
    assert!(item.state_bytes > 0 && item.pending_writes == latest.pending_writes && !page.next_page_token.is_empty());
    let channels: BTreeSet<_> = item.channels.iter().map(|size| &*size.channel).collect();
    assert_eq!(channels, ["extra/step", "messages"].into());
    assert!(item.channels.iter().all(|size| size.bytes > 0 && !size.fingerprint.is_empty()));

    let ancestors: Vec<_> = client.walk_ancestors(AncestorQuery::of("s").with_writes()).try_collect().await.unwrap();
    assert_eq!((ancestors.len(), ancestors[0].checkpoint.step, ancestors[0].revision), (1, 0, first.revision));
    assert_eq!(ancestors[0].pending_writes.len(), 1);
    let fleet: Vec<_> = client.load_latest_many(["s", "absent"]).try_collect().await.unwrap();
    assert_eq!(fleet.len(), 2);
    for one in fleet {
        let checkpoint = one.result.unwrap().checkpoint;
        assert_eq!((checkpoint.is_some(), &*one.namespace), (one.session_id == "s", ""));
    }
}

/// The next event that is no heartbeat.
async fn next(events: &mut Stream<SessionEvent>) -> SessionEvent {
    loop {
        let event = events.next().await.expect("it has no end").unwrap();
        if !event.is_heartbeat() {
            return event;
        }
    }
}

#[tokio::test]
async fn a_watch_gives_every_kind_of_event() {
    let server = Server::start().await;
    let client = Client::builder(server.target()).timeout(MINUTE).build().unwrap();
    let mut events = client.watch_session("s");
    assert!(events.next().await.unwrap().unwrap().is_heartbeat());
    saved(&client, 0..1).await;
    saved(&client, 1..2).await;
    let first = next(&mut events).await;
    let saved = next(&mut events).await;
    let EventKind::Saved(told) = &saved.kind else { panic!("{saved:?}") };
    assert_eq!((&*told.namespace, &*told.checkpoint_id), ("", "00000000000000000001"));
    assert_eq!((&*told.parent_id, told.step), ("00000000000000000000", 1));
    assert!(is_now(told.saved_at) && saved.revision > first.revision && !saved.resume_token.is_empty());

    let grant = client.acquire_lease("s", "one", MINUTE).await.unwrap();
    assert_eq!((&*grant.lease.holder, grant.ttl), ("one", Some(MINUTE)));
    let EventKind::LeaseChanged(Some(live)) = next(&mut events).await.kind else { panic!("no lease") };
    assert_eq!((live.token, live.holder, live.acquired_at), (0, grant.lease.holder, grant.lease.acquired_at));
    let renewed = client.renew_lease("s", grant.lease.token, 2 * MINUTE).await.unwrap();
    assert!(renewed.lease.expire_at > grant.lease.expire_at && renewed.ttl == Some(2 * MINUTE));
    assert!(client.release_lease("s", grant.lease.token).await.unwrap());
    while next(&mut events).await.kind != EventKind::LeaseChanged(None) {}

    let deleted = client.delete_checkpoints(CheckpointDeletion::after_step("s", 0)).await.unwrap();
    let event = next(&mut events).await;
    assert_eq!((event.kind, deleted.deleted), (EventKind::CheckpointsDeleted, 1));
    assert!(saved.revision < event.revision && event.revision <= deleted.revision);
    let mut resumed = client.watch_session(WatchQuery::of("s").resume_after(event.resume_token).heartbeat(MINUTE / 60));
    let copied = client.copy_session("s", "copy", CopyOptions::new().at_step(0).label("kind", "copy")).await.unwrap();
    assert!(copied.checkpoint_count == 1 && copied.revision > 0);
    let pruned = client.prune_sessions(PruneOptions::new().sessions(["s"]).retention(Retention::newest(1))).await;
    assert_eq!(pruned.unwrap().checkpoints, 0);
    assert_eq!(client.delete_sessions(["s", "other"], Duration::ZERO).await.unwrap(), 1);
    assert_eq!(next(&mut events).await.kind, EventKind::SessionDeleted);
    assert_eq!(next(&mut resumed).await.kind, EventKind::SessionDeleted);
}
