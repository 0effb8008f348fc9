//! A client of Lockstitch, a gRPC checkpoint server for agent workflows.
//!
//! A server for a first try: `pip install 'lockstitch[server]'`, then `lockstitch serve`.
//!
//! A [`Thread`] saves and loads plain state: any type that serde can write to JSON and read.
//!
//! ```no_run
//! # #[cfg(feature = "plain")]
//! # async fn run() -> Result<(), lockstitch::Error> {
//! # #[derive(Default, serde::Serialize, serde::Deserialize)]
//! # struct Order { messages: Vec<String> }
//! let client = lockstitch::Client::connect("127.0.0.1:50051")?;
//! let mut thread = client.thread::<Order>("order-42");
//! let mut order = thread.load().await?.unwrap_or_default();
//! order.messages.push("Where is my parcel?".into());
//! thread.save(&order).await?; // it is durable now
//! # Ok(())
//! # }
//! ```
//!
//! A runner of graphs saves a [`Checkpoint`] at every barrier. If it dies, another runner loads the latest checkpoint and
//! continues.
//!
//! ```no_run
//! # async fn run() -> Result<(), lockstitch::Error> {
//! use lockstitch::{Checkpoint, Client, Message, NodeKind};
//!
//! let client = Client::connect("127.0.0.1:50051")?;
//! let mut checkpoint = Checkpoint::new("order-4711", 0);
//! checkpoint.state_mut().messages_mut().items.push(Message::new("user", "Where is my parcel?"));
//! checkpoint.frontier.push(NodeKind::custom("plan"));
//! client.save(checkpoint).await?; // it is durable now
//!
//! let latest = client.load_latest("order-4711").await?.checkpoint; // in another process, next week
//! # Ok(())
//! # }
//! ```
//!
//! All calls are methods of [`Client`]. They fail with an [`Error`], which has a [reason](Error::reason).
//!
//! # Features
//!
//! | feature | |
//! |---|---|
//! | `plain` (default) | threads of plain state, with serde |
//! | `tls` (default) | TLS by rustls and ring, with the certificate authorities that the system trusts |
//! | `opentelemetry` | every call carries the current OpenTelemetry context |
//! | `weavegraph`, `weavegraph-0-3` | `LockstitchCheckpointer` for weavegraph 0.7 and 0.3 |

mod addresses;
mod builder;
mod changes;
#[cfg(feature = "_checkpointer")]
mod checkpointer;
mod client;
mod codec;
mod credentials;
mod delta;
mod error;
mod lease;
mod limiter;
mod link;
mod links;
mod memory;
mod observing;
mod outbox;
mod paging;
mod per_runtime;
#[cfg(feature = "plain")]
mod plain;
mod queries;
mod results;
mod retry;
mod rpcs;
mod runner;
mod save_ids;
mod save_streams;
mod saving;
mod session;
mod sessions;
mod stream_worker;
mod streams;
mod target;
mod times;
mod trace;
mod transport;
mod turns;
mod values;

/// The messages of the contract and stubs for its calls, as prost and tonic generate them.
///
/// Checkpoints and their parts are messages of the contract. They are also at the top of this crate; the calls of [`Client`]
/// use no others. This module is for programs that make calls with the stubs, or read and write serialized messages. Messages
/// can get fields in later versions, so write `..Default::default()` in each struct expression:
///
/// ```
/// use lockstitch::{Checkpoint, proto};
/// let request = proto::SaveRequest { checkpoint: Some(Checkpoint::new("order-4711", 0)), ..Default::default() };
/// ```
#[allow(missing_docs, clippy::all, rustdoc::all)]
pub mod proto {
    include!("generated/lockstitch.v1.rs");
}

#[doc(inline)]
pub use self::proto::{
    BlobList, ChannelVersions, Checkpoint, CustomChannel, Endpoint, ErrorEvent, ErrorReason, ErrorScope, ErrorsChannel,
    ExtrasChannel, Message, MessagesChannel, NodeKind, PendingWrite, Scheduler, SchedulerState, SessionState,
    StepReport, TypedBlob, VersionedState, WeaveError, custom_channel, error_scope, node_kind,
};
pub use self::{
    builder::Builder,
    changes::{CheckpointDeletion, CopyOptions, PruneOptions, Save, SaveWrites, SessionUpdate},
    client::{Client, Stream},
    error::Error,
    lease::Lease,
    memory::DeltaPolicy,
    observing::CallReport,
    paging::{ChannelSize, CheckpointPage, DamagedCheckpoint, ListedCheckpoint, SessionPage},
    queries::{AncestorQuery, CheckpointQuery, LatestQuery, LoadQuery, SessionQuery, WatchQuery},
    results::{
        Ancestor, CopiedSession, DeletedCheckpoints, Latest, LatestOf, Loaded, Pruned, SaveOutcome, Saved, SavedWrites,
    },
    retry::RetryPolicy,
    runner::{RunOptions, Runner},
    sessions::{
        EventKind, LeaseDetails, LeaseGrant, Retention, SavedCheckpoint, SessionDetails, SessionEvent, SessionSummary,
    },
};
pub use bytes::Bytes;
pub use prost_types::Timestamp;
pub use tonic::{Code, metadata::MetadataMap};

#[cfg(feature = "weavegraph")]
pub use checkpointer::latest as weavegraph;
#[cfg(feature = "weavegraph-0-3")]
pub use checkpointer::v0_3 as weavegraph_0_3;
#[cfg(feature = "plain")]
pub use plain::{Thread, Version, json_text, json_value};
