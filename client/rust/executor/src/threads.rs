//! Operations on threads of plain state.

use futures_util::TryStreamExt;
use lockstitch::{Error, ErrorReason, Thread, json_text, json_value};
use serde_json::{Value, json};

use crate::{
    Executor, Failed, Outcome,
    json::{long, text_or_empty},
};

pub async fn execute(executor: &mut Executor, op: &str, args: &Value) -> Option<Outcome> {
    let outcome = match op {
        "plain_save" => save(executor, args).await,
        "plain_append" => append(executor, args).await,
        "plain_load" => load(executor, args).await,
        "plain_history" => history(executor, args).await,
        "plain_fork" => fork(executor, args).await,
        "plain_rewind" => rewind(executor, args).await,
        "plain_save_ill_formed" => Ok(json!({"impossible": true})),
        _ => return None,
    };
    Some(match outcome {
        Err(Failed::Client(error)) if is_refused(&error) => Ok(json!({"refused": error.message()})),
        other => other,
    })
}

/// Whether the client itself refuses a state.
fn is_refused(error: &Error) -> bool {
    error.reason() == ErrorReason::InvalidField && error.field().starts_with("state")
}

fn thread<'a>(executor: &'a mut Executor, args: &Value) -> Result<&'a mut Thread<Value>, Failed> {
    let client = executor.client()?.clone();
    let session_id = text_or_empty(args, "session_id");
    let key = (session_id.clone(), text_or_empty(args, "by"));
    Ok(executor.threads.entry(key).or_insert_with(|| client.thread(session_id)))
}

async fn save(executor: &mut Executor, args: &Value) -> Outcome {
    let state: Value = json_value(&text_or_empty(args, "state"))?;
    let thread = thread(executor, args)?;
    thread.save(&state).await?;
    Ok(json!({"step": thread.step()}))
}

async fn append(executor: &mut Executor, args: &Value) -> Outcome {
    let items: Vec<Value> = json_value(&text_or_empty(args, "items"))?;
    let thread = thread(executor, args)?;
    thread.extend(&text_or_empty(args, "key"), items).await?;
    Ok(json!({"step": thread.step()}))
}

async fn load(executor: &mut Executor, args: &Value) -> Outcome {
    let thread = thread(executor, args)?;
    let state = match long(args, "step")? {
        Some(step) => Some(thread.at(step).await?),
        None => thread.load().await?,
    };
    Ok(json!({"state": state.as_ref().map(json_text).transpose()?, "step": thread.step()}))
}

async fn history(executor: &mut Executor, args: &Value) -> Outcome {
    let versions: Vec<_> = thread(executor, args)?.history().try_collect().await?;
    Ok(json!({"steps": versions.iter().map(|version| version.step).collect::<Vec<_>>()}))
}

async fn fork(executor: &mut Executor, args: &Value) -> Outcome {
    let target = text_or_empty(args, "target");
    let thread = thread(executor, args)?;
    let mut fork = match long(args, "step")? {
        Some(step) => thread.fork_at(target, step).await?,
        None => thread.fork(target).await?,
    };
    let state = fork.load().await?.ok_or("the fork has no state")?;
    Ok(json!({"state": json_text(&state)?}))
}

async fn rewind(executor: &mut Executor, args: &Value) -> Outcome {
    let step = long(args, "step")?.ok_or("no step")?;
    let state = thread(executor, args)?.rewind(step).await?;
    Ok(json!({"state": json_text(&state)?}))
}
