//! A weavegraph agent that survives a kill: run it, kill it at any moment, and run it again.
//!
//! Start a server first: `pip install 'lockstitch[server]'`, then `lockstitch serve`.
//!
//! ```text
//! cargo run --features weavegraph --example weavegraph -- 127.0.0.1:50051 my-session
//! ```

use std::{env, error::Error, sync::Arc, time::Duration};

use async_trait::async_trait;
use lockstitch::weavegraph::LockstitchCheckpointer;
use serde_json::json;
use weavegraph::{
    channels::Channel,
    event_bus::EventBus,
    graphs::GraphBuilder,
    message::Message,
    node::{Node, NodeContext, NodeError, NodePartial},
    runtimes::{AppRunner, SessionInit},
    state::{StateSnapshot, VersionedState},
    types::NodeKind,
    utils::collections::extra_map_from_pairs,
};

const ROUNDS: u64 = 5;

/// Works for a while, says something, and counts its rounds.
struct Worker(&'static str);

#[async_trait]
impl Node for Worker {
    async fn run(&self, state: StateSnapshot, _: NodeContext) -> Result<NodePartial, NodeError> {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let round = round(&state) + u64::from(self.0 == "think");
        println!("{} in round {round}", self.0);
        Ok(NodePartial::new()
            .with_messages(vec![Message::assistant(&format!("{} {round}", self.0))])
            .with_extra(extra_map_from_pairs([("round", json!(round))])))
    }
}

fn round(state: &StateSnapshot) -> u64 {
    state.extra.get("round").and_then(|round| round.as_u64()).unwrap_or(0)
}

fn node(name: &str) -> NodeKind {
    NodeKind::Custom(name.to_owned())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let target = arguments.next().unwrap_or_else(|| "127.0.0.1:50051".to_owned());
    let session = arguments.next().unwrap_or_else(|| "my-session".to_owned());

    let again = |state: StateSnapshot| vec![if round(&state) < ROUNDS { "think" } else { "End" }.to_owned()];
    let app = GraphBuilder::new()
        .add_node(node("think"), Worker("think"))
        .add_node(node("act"), Worker("act"))
        .add_edge(NodeKind::Start, node("think"))
        .add_edge(node("think"), node("act"))
        .add_conditional_edge(node("act"), Arc::new(again))
        .compile()?;

    let checkpointer = Arc::new(LockstitchCheckpointer::connect(target)?);
    let mut runner = AppRunner::builder()
        .app(app)
        .checkpointer_custom(checkpointer.clone()) // the only line that differs from another checkpointer
        .event_bus(EventBus::with_sinks(vec![]))
        .build()
        .await;

    let start = VersionedState::new_with_user_message("How does one go on?");
    match runner.create_session(session.clone(), start).await? {
        SessionInit::Fresh => println!("a new session"),
        SessionInit::Resumed { checkpoint_step } => println!("resumed after step {checkpoint_step}"),
    }
    let state = runner.run_until_complete(&session).await?;
    checkpointer.save_unsaved().await?; // sessions whose last save failed, if there are any
    println!("{}", json!(state.messages.snapshot().iter().map(|said| &said.content).collect::<Vec<_>>()));
    Ok(())
}
