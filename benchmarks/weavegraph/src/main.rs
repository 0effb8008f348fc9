//! Saves the turns of sessions as weavegraph's runner does: the full state, at every turn.
//!
//! Reads a job from standard input, and writes its figures to standard output, both as JSON:
//!
//! ```text
//! {"kind": "sqlite", "url": "sqlite://file.db?mode=rwc", "sessions": 2, "turns": ["hello", "again"], "loads": 9}
//! {"wall": 0.01, "p50": 0.002, "p99": 0.003, "last": 0.002, "load": 0.001, "retries": 0}
//! ```
//!
//! Times are in seconds. `last` is the median of the last ten saves of each session, `load` that of all loads, which come
//! one by one after the saves.

use std::{
    error::Error,
    io::{Read, stdin},
    sync::Arc,
    time::{Instant, SystemTime},
};

use lockstitch::weavegraph::LockstitchCheckpointer;
use serde_json::{Value, json};
use tokio::task::JoinSet;
#[cfg(feature = "own")]
use weavegraph::runtimes::{PostgresCheckpointer, SQLiteCheckpointer};
use weavegraph::{
    channels::Channel,
    message::Message,
    runtimes::{Checkpoint, Checkpointer},
    state::VersionedState,
    types::NodeKind,
};

const LAST: usize = 10;
const TRIES: u32 = 100;

type Failure = Box<dyn Error + Send + Sync>;

/// How long the saves took.
#[derive(Default)]
struct Times {
    all: Vec<f64>,
    last: Vec<f64>,
    retries: u32,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut text = String::new();
    stdin().read_to_string(&mut text)?;
    let job: Value = serde_json::from_str(&text)?;
    let number = |name: &str| job[name].as_u64().ok_or_else(|| format!("{name}: a number is required"));
    let (sessions, count) = (number("sessions")?, number("loads")?);
    let turns: Arc<Vec<String>> = Arc::new(serde_json::from_value(job["turns"].clone())?);
    let url = job["url"].as_str().ok_or("url: a text is required")?;
    let checkpointer = open(job["kind"].as_str().unwrap_or_default(), url).await?;
    let begun = Instant::now();
    let mut saved = save_all(&checkpointer, sessions, &turns).await?;
    let wall = begun.elapsed().as_secs_f64();
    let mut loads = Vec::new();
    for number in 0..count {
        loads.push(load(&*checkpointer, &name(number % sessions), turns.len()).await?);
    }
    let figures = json!({
        "wall": wall,
        "p50": quantile(&mut saved.all, 50),
        "p99": quantile(&mut saved.all, 99),
        "last": quantile(&mut saved.last, 50),
        "load": quantile(&mut loads, 50),
        "retries": saved.retries,
    });
    println!("{figures}");
    Ok(())
}

async fn open(kind: &str, url: &str) -> Result<Arc<dyn Checkpointer>, Failure> {
    Ok(match kind {
        #[cfg(feature = "own")]
        "sqlite" => Arc::new(SQLiteCheckpointer::connect(url).await?),
        #[cfg(feature = "own")]
        "postgres" => Arc::new(PostgresCheckpointer::connect(url).await?),
        "lockstitch" => Arc::new(LockstitchCheckpointer::connect(url)?),
        other => return Err(format!("kind: {other:?} is not sqlite, postgres or lockstitch").into()),
    })
}

/// Saves sessions side by side.
async fn save_all(
    checkpointer: &Arc<dyn Checkpointer>,
    sessions: u64,
    turns: &Arc<Vec<String>>,
) -> Result<Times, Failure> {
    let mut running = JoinSet::new();
    for number in 0..sessions {
        running.spawn(save_session(Arc::clone(checkpointer), name(number), Arc::clone(turns)));
    }
    let mut sum = Times::default();
    while let Some(times) = running.join_next().await {
        let times = times??;
        sum.all.extend(times.all);
        sum.last.extend(times.last);
        sum.retries += times.retries;
    }
    Ok(sum)
}

/// Saves each turn of a session when the one before is stored.
async fn save_session(
    checkpointer: Arc<dyn Checkpointer>,
    name: String,
    turns: Arc<Vec<String>>,
) -> Result<Times, Failure> {
    let (mut times, mut state) = (Times::default(), VersionedState::new_with_messages(vec![]));
    for (step, turn) in (1..).zip(turns.iter()) {
        state.messages.get_mut().push(Message::assistant(turn));
        let checkpoint = checkpoint(&name, step, state.clone());
        let begun = Instant::now();
        times.retries += save(&*checkpointer, checkpoint).await?;
        times.all.push(begun.elapsed().as_secs_f64());
    }
    times.last = times.all.iter().rev().take(LAST).copied().collect();
    Ok(times)
}

/// Saves, again where the database is busy: several connections to one SQLite file exclude each other.
async fn save(checkpointer: &dyn Checkpointer, checkpoint: Checkpoint) -> Result<u32, Failure> {
    let mut retries = 0;
    while let Err(error) = checkpointer.save(checkpoint.clone()).await {
        if retries == TRIES {
            return Err(error.into());
        }
        retries += 1;
    }
    Ok(retries)
}

/// How long a load of a session takes, which must have all turns.
async fn load(checkpointer: &dyn Checkpointer, name: &str, turns: usize) -> Result<f64, Failure> {
    let begun = Instant::now();
    let found = checkpointer.load_latest(name).await?.ok_or("the session is not there")?;
    let seconds = begun.elapsed().as_secs_f64();
    let messages = found.state.messages.snapshot();
    if messages.len() != turns {
        return Err(format!("{name} has {} messages, and {turns} were saved", messages.len()).into());
    }
    Ok(seconds)
}

fn name(number: u64) -> String {
    format!("session-{number}")
}

fn checkpoint(name: &str, step: u64, state: VersionedState) -> Checkpoint {
    let work = || vec![NodeKind::Custom("work".to_owned())];
    Checkpoint {
        session_id: name.to_owned(),
        step,
        state,
        frontier: work(),
        versions_seen: Default::default(),
        concurrency_limit: 1,
        created_at: SystemTime::now().into(),
        ran_nodes: work(),
        skipped_nodes: vec![],
        updated_channels: vec!["messages".to_owned()],
    }
}

fn quantile(times: &mut [f64], percent: usize) -> f64 {
    times.sort_by(f64::total_cmp);
    times[(times.len() * percent / 100).min(times.len() - 1)]
}
