//! What the probe can do with one version of weavegraph.

use std::{sync::Arc, time::Duration};

use lockstitch::Client;
use serde_json::json;

use super::{
    api::{
        channels::Channel,
        runtimes::{Checkpoint, Checkpointer, SessionInit, persistence::PersistedCheckpoint},
        state::VersionedState,
    },
    extremes::extreme_checkpoint,
    graph::runner,
    ours::{LockstitchCheckpointer, Settings},
};
use crate::Outcome;

pub async fn execute(command: &str, target: &str, session: &str) -> Outcome {
    let checkpointer = LockstitchCheckpointer::connect(target)?;
    match command {
        "run" => run(checkpointer, session).await,
        "show" => show(checkpointer, session).await,
        "resave" => resave(checkpointer, session).await,
        "extremes" => extremes(checkpointer, session).await,
        "fail" => fail(target, session).await,
        _ => Err(format!("there is no command {command:?}").into()),
    }
}

async fn run(checkpointer: LockstitchCheckpointer, session: &str) -> Outcome {
    let checkpointer = Arc::new(checkpointer);
    let mut runner = runner(Arc::clone(&checkpointer)).await?;
    let start = VersionedState::new_with_user_message("begin");
    match runner.create_session(session.to_owned(), start).await? {
        SessionInit::Fresh => println!("fresh"),
        SessionInit::Resumed { checkpoint_step } => println!("resumed {checkpoint_step}"),
    }
    let state = runner.run_until_complete(session).await?;
    let said: Vec<_> = state.messages.snapshot().iter().map(|message| message.content.clone()).collect();
    println!("{}", json!({"messages": said, "extra": state.extra.snapshot(), "unsaved": checkpointer.unsaved()}));
    assert_eq!(checkpointer.healthy(), checkpointer.unsaved().is_empty());
    Ok(())
}

async fn show(checkpointer: LockstitchCheckpointer, session: &str) -> Outcome {
    let checkpoint = checkpointer.load_latest(session).await?.ok_or("no such session")?;
    println!("{}", serde_json::to_string(&PersistedCheckpoint::from(&checkpoint))?);
    Ok(())
}

async fn resave(checkpointer: LockstitchCheckpointer, session: &str) -> Outcome {
    let mut checkpoint = checkpointer.load_latest(session).await?.ok_or("no such session")?;
    checkpoint.step += 1;
    Ok(checkpointer.save(checkpoint).await?)
}

async fn extremes(checkpointer: LockstitchCheckpointer, session: &str) -> Outcome {
    let saved = extreme_checkpoint(session);
    checkpointer.save(saved.clone()).await?;
    let loaded = checkpointer.load_latest(session).await?.ok_or("it was just saved")?;
    assert_same(&saved, &loaded);
    assert_eq!(checkpointer.list_sessions().await?, [session]);
    Ok(())
}

/// `Checkpoint` has no equality of its own. Nothing is printed of states: they are long.
fn assert_same(one: &Checkpoint, other: &Checkpoint) {
    assert!(one.state == other.state, "the states differ");
    assert!(one.versions_seen == other.versions_seen, "versions_seen differ");
    assert_eq!((&one.session_id, one.step), (&other.session_id, other.step));
    assert_eq!((one.concurrency_limit, one.created_at), (other.concurrency_limit, other.created_at));
    assert_eq!((&one.frontier, &one.updated_channels), (&other.frontier, &other.updated_channels));
    assert_eq!((&one.ran_nodes, &one.skipped_nodes), (&other.ran_nodes, &other.skipped_nodes));
}

/// Two runners that know nothing of one another, fenced: the second is told.
async fn fail(target: &str, session: &str) -> Outcome {
    let client = || Client::builder(target).timeout(Duration::from_secs(20)).build();
    let (told, failures) = std::sync::mpsc::channel();
    let settings = Settings::default().fenced(true).on_failure(move |failure| drop(told.send(failure.clone())));
    let (first, second) = (
        LockstitchCheckpointer::with_settings(client()?, Settings::default().fenced(true)),
        LockstitchCheckpointer::with_settings(client()?, settings),
    );
    let mut checkpoint = extreme_checkpoint(session);
    checkpoint.step = 1;
    first.save(checkpoint.clone()).await?;
    second.load_latest(session).await?;
    checkpoint.step = 2;
    first.save(checkpoint.clone()).await?;
    checkpoint.concurrency_limit = 1; // the same content would be no conflict
    assert!(second.save(checkpoint).await.is_err());
    let failure = failures.try_recv()?;
    let stats = second.stats();
    let (unsaved, healthy) = (second.unsaved(), second.healthy());
    second.load_latest(session).await?; // what to do about it: go on from there
    println!(
        "{}",
        json!({
            "reason": failure.error.reason_name(), "step": failure.step, "session": failure.session_id,
            "saved": stats.saved, "failed": stats.failed_saves, "unsaved": unsaved, "after": second.unsaved(),
            "healthy": [healthy, second.healthy()],
        })
    );
    Ok(())
}
