//! The executor of the Rust client for the harness in `tests/polyglot`, whose README tells its protocol.

mod checkpoints;
mod details;
mod edit;
mod json;
mod sessions;
mod threads;

use std::{collections::HashMap, error::Error as StdError, fs};

use lockstitch::{Client, Error, Lease, Thread};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::json::{failure, flag, millis, object, text};

/// What an operation ends with, where it has not worked.
enum Failed {
    /// The client reported a failure.
    Client(Box<Error>),
    /// This program is at fault.
    Fault(String),
}

type Outcome = Result<Value, Failed>;

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Client(Box::new(error))
    }
}

impl From<&str> for Failed {
    fn from(fault: &str) -> Self {
        Self::Fault(fault.to_owned())
    }
}

impl From<String> for Failed {
    fn from(fault: String) -> Self {
        Self::Fault(fault)
    }
}

/// What is kept from one operation to the next.
#[derive(Default)]
struct Executor {
    client: Option<Client>,
    lease: Option<Lease>,
    /// By session and name.
    threads: HashMap<(String, String), Thread<Value>>,
}

impl Executor {
    fn client(&self) -> Result<&Client, Failed> {
        self.client.as_ref().ok_or_else(|| "not connected".into())
    }

    fn connect(&mut self, args: &Value) -> Outcome {
        let mut builder = Client::builder(target(args)?);
        if let Some(timeout) = millis(args, "timeout_ms") {
            builder = builder.timeout(timeout);
        }
        if let Some(timeout) = millis(args, "connect_timeout_ms") {
            builder = builder.connect_timeout(timeout);
        }
        if let Some(key) = text(args, "api_key") {
            builder = builder.bearer(key);
        }
        if flag(args, "delta") == Some(false) {
            builder = builder.delta(None);
        }
        if flag(args, "retry") == Some(false) {
            builder = builder.retry(None);
        }
        self.threads.clear();
        self.client = Some(secured(builder, args)?.build()?);
        Ok(json!({}))
    }

    async fn execute(&mut self, op: &str, args: &Value) -> Outcome {
        if op == "connect" {
            return self.connect(args);
        }
        if let Some(outcome) = checkpoints::execute(self.client()?, op, args).await {
            return outcome;
        }
        if let Some(outcome) = sessions::execute(self, op, args).await {
            return outcome;
        }
        if let Some(outcome) = threads::execute(self, op, args).await {
            return outcome;
        }
        Err(format!("there is no operation {op:?}").into())
    }

    async fn answer(&mut self, line: &str) -> Value {
        let request: Value = match serde_json::from_str(line) {
            Ok(request) => request,
            Err(error) => return json!({"id": null, "fault": error.to_string()}),
        };
        let op = request["op"].as_str().unwrap_or_default().to_owned();
        match self.execute(&op, &request["args"]).await {
            Ok(ok) => json!({"id": request["id"], "ok": ok}),
            Err(Failed::Client(error)) => json!({"id": request["id"], "error": failure(&error)}),
            Err(Failed::Fault(fault)) => json!({"id": request["id"], "fault": fault}),
        }
    }
}

/// The target, which stands for TLS where that is asked for.
fn target(args: &Value) -> Result<String, Failed> {
    let target = text(args, "target").ok_or("no target")?;
    let secured = object(args, "tls").is_some() && !target.contains("://");
    Ok(if secured { format!("https://{target}") } else { target })
}

fn secured(mut builder: lockstitch::Builder, args: &Value) -> Result<lockstitch::Builder, Failed> {
    let Some(tls) = object(args, "tls") else { return Ok(builder) };
    let read = |path: String| fs::read(&path).map_err(|error| format!("{path}: {error}"));
    if let Some(path) = text(tls, "ca") {
        builder = builder.ca_certificate(read(path)?);
    }
    if let (Some(certificate), Some(key)) = (text(tls, "cert"), text(tls, "key")) {
        builder = builder.client_certificate(read(certificate)?, read(key)?);
    }
    if let Some(name) = text(tls, "server_name") {
        builder = builder.server_name(name);
    }
    Ok(builder)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn StdError>> {
    opentelemetry::global::set_text_map_propagator(opentelemetry_sdk::propagation::TraceContextPropagator::new());
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut stdout = tokio::io::stdout();
    let mut executor = Executor::default();
    while let Some(line) = lines.next_line().await? {
        let answer = executor.answer(&line).await;
        stdout.write_all(format!("{answer}\n").as_bytes()).await?;
        stdout.flush().await?;
    }
    Ok(())
}
