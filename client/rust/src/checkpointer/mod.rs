//! Drop-in checkpointers for weavegraph. One source serves every version of the crate whose types it fits.

#![allow(clippy::duplicate_mod)] // the same source, compiled against several versions of the crate

mod causes;
mod names;
mod settings;

/// The whole checkpointer, for the version of weavegraph that is called `api` where this is used.
macro_rules! checkpointer_for {
    ($weavegraph:ident) => {
        use $weavegraph as api;

        #[path = "convert.rs"]
        mod convert;
        #[path = "kept.rs"]
        mod kept;
        #[path = "saver.rs"]
        mod saver;

        pub use self::saver::LockstitchCheckpointer;
        pub use crate::checkpointer::settings::{SaveFailure, Settings, Stats};
    };
}

/// A checkpointer for weavegraph 0.7.
///
/// ```no_run
/// # use std::sync::Arc;
/// # async fn run(app: weavegraph::app::App) -> Result<(), lockstitch::Error> {
/// use lockstitch::weavegraph::LockstitchCheckpointer;
/// use weavegraph::runtimes::AppRunner;
///
/// let checkpointer = Arc::new(LockstitchCheckpointer::connect("127.0.0.1:50051")?);
/// let runner = AppRunner::builder().app(app).checkpointer_custom(checkpointer).build().await;
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "weavegraph")]
#[path = "."]
pub mod latest {
    checkpointer_for!(weavegraph);
}

/// A checkpointer for weavegraph 0.3; otherwise the same as [`weavegraph`](crate::weavegraph).
#[cfg(feature = "weavegraph-0-3")]
#[path = "."]
pub mod v0_3 {
    checkpointer_for!(weavegraph_0_3);
}
