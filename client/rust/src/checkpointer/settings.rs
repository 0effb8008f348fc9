//! What all versions' checkpointers share.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::Error;

type OnFailure = Arc<dyn Fn(&SaveFailure) + Send + Sync>;

/// Settings of a checkpointer.
///
/// ```
/// # #[cfg(feature = "weavegraph")]
/// # {
/// use lockstitch::weavegraph::Settings;
/// let settings = Settings::default().fenced(true).on_failure(|failure| {
///     eprintln!("step {} of {} is not saved: {}", failure.step, failure.session_id, failure.error);
/// });
/// # }
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct Settings {
    pub(crate) namespace: String,
    pub(crate) fenced: bool,
    pub(crate) on_failure: Option<OnFailure>,
}

impl Settings {
    /// Save the sessions in this namespace; "" by default.
    pub fn namespace(self, namespace: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), ..self }
    }

    /// Save a checkpoint only if the latest one is the one that this checkpointer loaded or saved last; false by default.
    ///
    /// If two runners run one session, the saves of the slower one fail with EXPECTED_LATEST_MISMATCH and overwrite nothing.
    /// Without this setting the last save of a step wins, as with weavegraph's own checkpointers.
    pub fn fenced(self, fenced: bool) -> Self {
        Self { fenced, ..self }
    }

    /// Call this function when a save has failed for good. weavegraph's runner ignores failed saves, and continues.
    pub fn on_failure(self, act: impl Fn(&SaveFailure) + Send + Sync + 'static) -> Self {
        Self { on_failure: Some(Arc::new(act)), ..self }
    }

    /// Make a failed save known.
    pub(crate) fn report(&self, failure: &SaveFailure) {
        let SaveFailure { session_id, step, error } = failure;
        if tracing::enabled!(tracing::Level::ERROR) {
            tracing::error!(session_id, step, %error, "a checkpoint is not saved");
        } else {
            eprintln!("lockstitch: the checkpoint of session {session_id:?} at step {step} is not saved: {error}");
        }
        if let Some(act) = &self.on_failure {
            act(failure);
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("namespace", &self.namespace)
            .field("fenced", &self.fenced)
            .finish_non_exhaustive()
    }
}

/// A save that failed for good: after all retries, or with an error that no retry can change.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SaveFailure {
    /// The session.
    pub session_id: String,
    /// The step that is not saved.
    pub step: u64,
    /// The error of the save.
    pub error: Error,
}

/// Counters of a checkpointer's calls, since it was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Checkpoints saved.
    pub saved: u64,
    /// Saves that failed for good.
    pub failed_saves: u64,
    /// Checkpoints loaded.
    pub loaded: u64,
    /// Loads and lists that failed for good.
    pub failed_reads: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    saved: AtomicU64,
    failed_saves: AtomicU64,
    loaded: AtomicU64,
    failed_reads: AtomicU64,
}

impl Counters {
    pub(crate) fn stats(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            saved: read(&self.saved),
            failed_saves: read(&self.failed_saves),
            loaded: read(&self.loaded),
            failed_reads: read(&self.failed_reads),
        }
    }

    pub(crate) fn saved(&self) {
        self.saved.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn loaded(&self) {
        self.loaded.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn failed_read(&self) {
        self.failed_reads.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn failed_save(&self) {
        self.failed_saves.fetch_add(1, Ordering::Relaxed);
    }
}
