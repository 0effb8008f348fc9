//! weavegraph's `Checkpointer`, over a client.

use std::{
    collections::HashMap,
    fmt::Display,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use futures_util::TryStreamExt;

use super::{
    api::runtimes::{
        Checkpoint, Checkpointer,
        checkpointer::{CheckpointerError, Result},
    },
    convert::{from_proto, to_proto},
    kept::Kept,
};
use crate::{
    Client, Error, LatestQuery, Save, SessionQuery,
    checkpointer::{
        names::{Names, is_digest, stored_session_id},
        settings::{Counters, SaveFailure, Settings, Stats},
    },
    proto,
};

/// A checkpointer for weavegraph that stores sessions on a Lockstitch server.
///
/// It retries until the client's timeout. weavegraph's runner ignores a save that fails for good, and continues. So such a
/// save is also a tracing event of level ERROR (a line on standard error if no subscriber takes it), is counted in
/// [`stats`](Self::stats), and is passed to [`Settings::on_failure`]. The checkpointer is not [healthy](Self::healthy), and the
/// session is listed by [`unsaved`](Self::unsaved), until a later save of the session succeeds, which has the whole state.
///
/// All values of weavegraph's types are restored exactly. Names, session ids and chains of causes beyond the server's limits
/// are stored in another form.
#[derive(Debug)]
pub struct LockstitchCheckpointer {
    client: Client,
    settings: Settings,
    counters: Counters,
    /// Of the sessions that were loaded or saved; no more than the runner itself remembers.
    sessions: Mutex<HashMap<String, Known>>,
}

/// What is known of a session.
#[derive(Clone, Debug, Default)]
struct Known {
    latest: Option<Latest>,
    kept: Option<Arc<Kept>>,
    unsaved: Option<proto::Checkpoint>,
}

#[derive(Clone, Debug)]
struct Latest {
    checkpoint_id: String,
    parent_id: String,
    step: u64,
}

impl LockstitchCheckpointer {
    /// A checkpointer for a server, with the default settings. target: as in [`Client::connect`].
    pub fn connect(target: impl Into<String>) -> std::result::Result<Self, Error> {
        Ok(Self::new(Client::connect(target)?))
    }

    /// A checkpointer with a client, for example one with a key or TLS; see [`Client::builder`].
    pub fn new(client: Client) -> Self {
        Self::with_settings(client, Settings::default())
    }

    /// A checkpointer with a client and settings.
    pub fn with_settings(client: Client, settings: Settings) -> Self {
        Self { client, settings, counters: Counters::default(), sessions: Mutex::default() }
    }

    /// Counters of this checkpointer's calls.
    pub fn stats(&self) -> Stats {
        self.counters.stats()
    }

    /// The sessions whose last save failed, in the order of their ids.
    pub fn unsaved(&self) -> Vec<String> {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let unsaved = sessions.iter().filter(|(_, known)| known.unsaved.is_some());
        let mut ids: Vec<_> = unsaved.map(|(session_id, _)| session_id.clone()).collect();
        ids.sort_unstable();
        ids
    }

    /// Whether the last save of every session succeeded. For a health check of the process.
    ///
    /// ```no_run
    /// # #[cfg(feature = "weavegraph")]
    /// # fn check(checkpointer: &lockstitch::weavegraph::LockstitchCheckpointer) -> Result<(), String> {
    /// if !checkpointer.healthy() {
    ///     return Err(format!("not saved: {:?}", checkpointer.unsaved()));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn healthy(&self) -> bool {
        self.unsaved().is_empty()
    }

    /// Try once more to save the [`unsaved`](Self::unsaved) sessions, for example before the process ends.
    pub async fn save_unsaved(&self) -> std::result::Result<(), Error> {
        for session_id in self.unsaved() {
            if let Some(checkpoint) = self.known(&session_id).unsaved {
                self.save_proto(&session_id, checkpoint).await?;
            }
        }
        Ok(())
    }

    /// Free the memory of a session that this process no longer runs.
    pub fn forget(&self, session_id: &str) {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).remove(session_id);
    }

    fn known(&self, session_id: &str) -> Known {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).get(session_id).cloned().unwrap_or_default()
    }

    fn learn(&self, session_id: &str, change: impl FnOnce(&mut Known)) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        change(sessions.entry(session_id.to_owned()).or_default());
    }

    async fn save_proto(&self, session_id: &str, checkpoint: proto::Checkpoint) -> std::result::Result<(), Error> {
        let save = self.conditional(session_id, checkpoint.clone());
        match self.client.save(save).await {
            Ok(answer) => {
                self.counters.saved();
                self.learn(session_id, |known| known.saved(answer.checkpoint_id, &checkpoint));
                Ok(())
            }
            Err(error) => {
                self.failed(session_id, checkpoint, &error);
                Err(error)
            }
        }
    }

    fn conditional(&self, session_id: &str, checkpoint: proto::Checkpoint) -> Save {
        let latest = self.known(session_id).latest;
        let save = Save::from(checkpoint);
        match latest {
            _ if !self.settings.fenced => save,
            Some(latest) => save.expect_id(latest.checkpoint_id),
            None => save.expect_none(),
        }
    }

    fn failed(&self, session_id: &str, checkpoint: proto::Checkpoint, error: &Error) {
        let failure = SaveFailure { session_id: session_id.to_owned(), step: checkpoint.step, error: error.clone() };
        self.counters.failed_save();
        self.learn(session_id, |known| known.unsaved = Some(checkpoint));
        self.settings.report(&failure);
    }

    /// The id of a stored session as weavegraph knows it.
    async fn full_id(&self, stored: String) -> std::result::Result<String, Error> {
        if !is_digest(&stored) {
            return Ok(stored);
        }
        let query = LatestQuery::of(&stored).in_namespace(&self.settings.namespace).headers();
        let header = self.client.load_latest(query).await?.checkpoint.and_then(|checkpoint| checkpoint.header);
        Ok(Names::of(header.as_ref()).unwrap_or_default().full_session_id(&stored))
    }

    fn failed_read(&self, what: &str, error: impl Display) {
        tracing::error!(what, %error, "cannot be read");
        self.counters.failed_read();
    }

    fn adopt(&self, session_id: &str, loaded: &proto::Checkpoint) -> std::result::Result<Checkpoint, String> {
        let names = Names::of(loaded.header.as_ref())?;
        let checkpoint = from_proto(session_id, loaded, &names)?;
        let kept = loaded.state.as_ref().and_then(|state| Kept::of(state, &names)).map(Arc::new);
        let latest = Some(Latest {
            checkpoint_id: loaded.checkpoint_id.clone(),
            parent_id: loaded.parent_id.clone(),
            step: loaded.step,
        });
        self.learn(session_id, |known| *known = Known { latest, kept, unsaved: None });
        Ok(checkpoint)
    }
}

impl Known {
    /// The parent of a checkpoint that is about to be saved. The same step once more keeps the parent that it had.
    fn parent_of(&self, step: u64) -> String {
        match &self.latest {
            Some(latest) if latest.step < step => latest.checkpoint_id.clone(),
            Some(latest) if latest.step == step => latest.parent_id.clone(),
            _ => String::new(),
        }
    }

    fn saved(&mut self, checkpoint_id: String, checkpoint: &proto::Checkpoint) {
        let (parent_id, step) = (checkpoint.parent_id.clone(), checkpoint.step);
        self.unsaved = None;
        if self.latest.as_ref().is_none_or(|latest| latest.checkpoint_id <= checkpoint_id) {
            self.latest = Some(Latest { checkpoint_id, parent_id, step });
        }
    }
}

#[async_trait]
impl Checkpointer for LockstitchCheckpointer {
    async fn save(&self, checkpoint: Checkpoint) -> Result<()> {
        let known = self.known(&checkpoint.session_id);
        let mut message = to_proto(&checkpoint);
        message.namespace.clone_from(&self.settings.namespace);
        message.parent_id = known.parent_of(checkpoint.step);
        if let Some(kept) = &known.kept {
            kept.restore(&checkpoint.state, message.state_mut());
        }
        self.save_proto(&checkpoint.session_id, message).await.map_err(backend)
    }

    async fn load_latest(&self, session_id: &str) -> Result<Option<Checkpoint>> {
        let query = LatestQuery::of(stored_session_id(session_id)).in_namespace(&self.settings.namespace);
        let answer = self.client.load_latest(query).await;
        let answer = answer.inspect_err(|error| self.failed_read(session_id, error)).map_err(backend)?;
        let Some(loaded) = answer.checkpoint else { return Ok(None) };
        let checkpoint = self.adopt(session_id, &loaded).map_err(|reason| {
            self.failed_read(session_id, &reason);
            let id = &loaded.checkpoint_id;
            CheckpointerError::Other { message: format!("checkpoint {id} of {session_id:?}: {reason}") }
        })?;
        self.counters.loaded();
        Ok(Some(checkpoint))
    }

    /// Last changed first.
    async fn list_sessions(&self) -> Result<Vec<String>> {
        let ids = self.client.list_sessions(SessionQuery::all().page_size(1000)).and_then(|session| self.full_id(session.session_id));
        ids.try_collect().await.inspect_err(|error| self.failed_read("sessions", error)).map_err(backend)
    }
}

fn backend(error: Error) -> CheckpointerError {
    CheckpointerError::Backend { message: error.to_string() }
}
