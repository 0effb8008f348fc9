//! `lockstitch-probe latest|0.3 <command> <target> <session>`: the same for each version of weavegraph.
//!
//! - `run`: run a graph of several nodes to its end, `PAUSE_MS` for each node; tell of every node that ran, and at the
//!   end of all messages.
//! - `show`: the latest checkpoint as weavegraph itself serializes it.
//! - `resave`: load the latest checkpoint and save it as that of the next step.
//! - `extremes`: save a checkpoint with all that weavegraph's types can hold, load it and compare.
//! - `fail`: save against the will of the server, and tell what becomes known of it.

#![allow(clippy::duplicate_mod)] // the same source, compiled against several versions of the crate

use std::env;

type Outcome = Result<(), Box<dyn std::error::Error>>;

#[path = "."]
mod latest {
    use ::weavegraph as api;
    use lockstitch::weavegraph as ours;

    #[path = "commands.rs"]
    pub mod commands;
    #[path = "extremes.rs"]
    mod extremes;
    #[path = "graph.rs"]
    mod graph;
}

#[path = "."]
mod v0_3 {
    use ::weavegraph_0_3 as api;
    use lockstitch::weavegraph_0_3 as ours;

    #[path = "commands.rs"]
    pub mod commands;
    #[path = "extremes.rs"]
    mod extremes;
    #[path = "graph.rs"]
    mod graph;
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [version, command, target, session] = &arguments[..] else {
        return Err("usage: lockstitch-probe latest|0.3 run|show|resave|extremes|fail <target> <session>".into());
    };
    match version.as_str() {
        "latest" => latest::commands::execute(command, target, session).await,
        "0.3" => v0_3::commands::execute(command, target, session).await,
        _ => Err(format!("there is no version {version:?}").into()),
    }
}
