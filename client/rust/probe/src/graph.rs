//! A graph that goes in circles: plan -> search and read together -> judge, five times.

use std::{env, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::json;

use super::{
    api::{
        event_bus::EventBus,
        graphs::GraphBuilder,
        message::Message,
        node::{Node, NodeContext, NodeError, NodePartial},
        runtimes::AppRunner,
        state::StateSnapshot,
        types::NodeKind,
        utils::collections::new_extra_map,
    },
    ours::LockstitchCheckpointer,
};

const ROUNDS: u64 = 5;

struct Worker(&'static str);

#[async_trait]
impl Node for Worker {
    async fn run(&self, state: StateSnapshot, _: NodeContext) -> Result<NodePartial, NodeError> {
        let pause = env::var("PAUSE_MS").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let round = round(&state) + u64::from(self.0 == "plan");
        println!("{} {round}", self.0);
        let partial = NodePartial::new().with_messages(vec![Message::assistant(&format!("{} {round}", self.0))]);
        if self.0 != "plan" {
            return Ok(partial);
        }
        let mut extra = new_extra_map();
        extra.insert("round".to_owned(), json!(round));
        extra.insert("tokens".to_owned(), json!(u64::MAX - round));
        Ok(partial.with_extra(extra))
    }
}

fn round(state: &StateSnapshot) -> u64 {
    state.extra.get("round").and_then(|round| round.as_u64()).unwrap_or(0)
}

fn node(name: &str) -> NodeKind {
    NodeKind::Custom(name.to_owned())
}

pub async fn runner(checkpointer: Arc<LockstitchCheckpointer>) -> Result<AppRunner, Box<dyn std::error::Error>> {
    let again = |state: StateSnapshot| vec![if round(&state) < ROUNDS { "plan" } else { "End" }.to_owned()];
    let app = GraphBuilder::new()
        .add_node(node("plan"), Worker("plan"))
        .add_node(node("search"), Worker("search"))
        .add_node(node("read"), Worker("read"))
        .add_node(node("judge"), Worker("judge"))
        .add_edge(NodeKind::Start, node("plan"))
        .add_edge(node("plan"), node("search"))
        .add_edge(node("plan"), node("read"))
        .add_edge(node("search"), node("judge"))
        .add_edge(node("read"), node("judge"))
        .add_conditional_edge(node("judge"), Arc::new(again))
        .compile()?;
    let events = EventBus::with_sinks(vec![]);
    Ok(AppRunner::builder().app(app).checkpointer_custom(checkpointer).event_bus(events).build().await)
}
