//! A session that holds one plain state.

use std::{
    collections::BTreeMap,
    fmt,
    marker::PhantomData,
    time::{Duration, SystemTime},
};

use futures_util::{StreamExt, TryStreamExt};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    json::{self, Json},
    layout,
    path::Path,
};
use crate::{
    CheckpointDeletion, CheckpointQuery, Client, CopyOptions, Error, Latest, Lease, LoadQuery, Save, Saved, Stream,
    memory::Base,
    proto::{Checkpoint, VersionedState},
    save_ids::SaveIds,
    saving,
};

/// A session that holds one plain state: any type that serde can write to JSON and read, with keys, or a
/// `serde_json::Value`.
///
/// Every save adds a version. It succeeds only if nobody else has saved since this object loaded or saved last, not even an
/// equal state. Otherwise it fails with
/// [`ErrorReason::ExpectedLatestMismatch`](crate::ErrorReason::ExpectedLatestMismatch). Lists are stored item by item, and maps
/// and structs key by key, so a save stores only the changes. Programs in all languages can use the same thread.
///
/// Data that would be lost or changed, such as NaN or a stored key that `T` does not have, is refused with
/// [`ErrorReason::InvalidField`](crate::ErrorReason::InvalidField) and the path in [`Error::field`].
///
/// ```no_run
/// # #[derive(Default, serde::Serialize, serde::Deserialize)]
/// # struct Order { messages: Vec<String> }
/// # async fn run(client: lockstitch::Client) -> Result<(), lockstitch::Error> {
/// let mut thread = client.thread::<Order>("order-42");
/// let mut order = thread.load().await?.unwrap_or_default();
/// order.messages.push("hello".into());
/// thread.save(&order).await?;
/// # Ok(())
/// # }
/// ```
pub struct Thread<T> {
    client: Client,
    session_id: String,
    step: u64,
    /// Its id and revision.
    latest: Option<(String, u64)>,
    state: VersionedState,
    save_ids: SaveIds,
    loaded: bool,
    lease: Option<Lease>,
    kind: PhantomData<fn() -> T>,
}

/// One saved state of a thread; [`Thread::at`] loads it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Version {
    /// 1 for the first save, and 1 more for each that follows.
    pub step: u64,
    /// The database's time of the save.
    pub saved_at: Option<SystemTime>,
    /// Size of the state, in bytes, before compression.
    pub state_bytes: u64,
    /// Key to JSON text.
    pub metadata: BTreeMap<String, String>,
}

impl Client {
    /// The thread of plain state in a session, which need not exist yet. Makes no call. Needs the feature `plain`.
    pub fn thread<T>(&self, session_id: impl Into<String>) -> Thread<T> {
        Thread {
            client: self.clone(),
            session_id: session_id.into(),
            step: 0,
            latest: None,
            state: VersionedState::default(),
            save_ids: SaveIds::new(),
            loaded: false,
            lease: None,
            kind: PhantomData,
        }
    }

    /// Have the next save of this session send what changed since a checkpoint that was loaded.
    fn remember(&self, checkpoint: &Checkpoint, revision: u64) {
        if let (Some(memory), Some(state)) = (&self.shared.memory, &checkpoint.state)
            && revision != 0
        {
            let key = (checkpoint.session_id.clone(), checkpoint.namespace.clone());
            memory.put(key, Base { checkpoint_id: checkpoint.stored_id(), revision, state: state.clone() });
        }
    }
}

impl<T> fmt::Debug for Thread<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Thread").field("session_id", &self.session_id).field("step", &self.step).finish_non_exhaustive()
    }
}

impl<T> Thread<T> {
    /// The session.
    pub fn session_id(&self) -> &str {
        &self.session_id
    }

    /// The step of the state that this object loaded or saved last; 0: there is none.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The versions, newest first, without their states.
    pub fn history(&self) -> Stream<Version> {
        let query = CheckpointQuery::of(&self.session_id).in_namespace("").headers();
        let versions = self.client.list_checkpoints(query).map_ok(|listed| Version {
            step: listed.checkpoint.step,
            saved_at: listed.saved_at,
            state_bytes: listed.state_bytes,
            metadata: listed.checkpoint.metadata,
        });
        versions.boxed()
    }

    /// Acquire the session's lease, and renew it in the background. Until [`release`](Self::release), saves of others fail.
    ///
    /// ttl: how long the lease outlives this process. wait: how long to wait while another holder has the lease; then the
    /// call fails with [`ErrorReason::LeaseHeld`](crate::ErrorReason::LeaseHeld).
    pub async fn acquire_lease(&mut self, ttl: Duration, wait: Duration) -> Result<(), Error> {
        let holder = format!("process {}", std::process::id());
        self.lease = Some(self.client.wait_for_lease(&self.session_id, holder, ttl, wait).await?);
        Ok(())
    }

    /// The lease, if this object holds one; see [`Lease::lost`].
    pub fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// Release the lease. Returns whether it was still held.
    pub async fn release(&mut self) -> Result<bool, Error> {
        match self.lease.take() {
            Some(lease) => lease.release().await,
            None => Ok(false),
        }
    }
}

impl<T: Serialize + DeserializeOwned> Thread<T> {
    /// Load the latest state. `None`: the session has none.
    pub async fn load(&mut self) -> Result<Option<T>, Error> {
        let found = self.client.load_latest(&self.session_id).await?;
        let Latest { checkpoint: Some(checkpoint), checkpoint_revision, .. } = found else {
            (self.step, self.latest, self.state) = (0, None, VersionedState::default());
            self.loaded = true;
            return Ok(None);
        };
        let state = decode(&checkpoint)?;
        self.client.remember(&checkpoint, checkpoint_revision);
        (self.step, self.latest) = (checkpoint.step, Some((checkpoint.checkpoint_id, checkpoint_revision)));
        self.state = checkpoint.state.unwrap_or_default();
        self.loaded = true;
        Ok(Some(state))
    }

    /// Store a state as the next version; when this returns, it is durable.
    ///
    /// After an error that leaves the outcome open, such as a timeout, save the same state again.
    pub async fn save(&mut self, state: &T) -> Result<Saved, Error> {
        self.save_with(state, |save| save).await
    }

    /// As [`save`](Self::save), with options of the save, such as [`Save::with_ttl`] or [`Save::with_metadata`].
    ///
    /// ```no_run
    /// # async fn run(mut thread: lockstitch::Thread<serde_json::Value>) -> Result<(), lockstitch::Error> {
    /// # let state = serde_json::json!({});
    /// thread.save_with(&state, |save| save.with_metadata("customer", "\"c-7\"")).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn save_with(&mut self, state: &T, more: impl FnOnce(Save) -> Save) -> Result<Saved, Error> {
        let written = layout::write(state, &self.state)?;
        self.put(written, more).await
    }

    /// Append an item to a list of the latest state, and save that as the next version. key: the key of the list in JSON.
    ///
    /// Loads the state first if this object has not. An absent key begins as an empty list.
    ///
    /// ```no_run
    /// # async fn run(mut thread: lockstitch::Thread<serde_json::Value>) -> Result<(), lockstitch::Error> {
    /// thread.append("messages", &["user", "hello"]).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn append(&mut self, key: &str, item: &(impl Serialize + ?Sized)) -> Result<Saved, Error> {
        self.extend(key, [item]).await
    }

    /// As [`append`](Self::append), with several items.
    pub async fn extend<I: Serialize>(
        &mut self,
        key: &str,
        items: impl IntoIterator<Item = I>,
    ) -> Result<Saved, Error> {
        // Once: an append that is repeated must not find what it has stored.
        if self.step == 0 && !self.loaded {
            self.load().await?;
        }
        let grown = layout::append(&self.state, key, items)?;
        self.put(grown, |save| save).await
    }

    /// The state of an earlier step. Fails with
    /// [`ErrorReason::CheckpointNotFound`](crate::ErrorReason::CheckpointNotFound) if it does not exist.
    pub async fn at(&self, step: u64) -> Result<T, Error> {
        let found = self.client.load(LoadQuery::step(&self.session_id, step)).await?;
        decode(&found.checkpoint)
    }

    /// Copy the thread into a new session, and load the copy. Fails with
    /// [`ErrorReason::SessionAlreadyExists`](crate::ErrorReason::SessionAlreadyExists) if that session exists.
    pub async fn fork(&self, session_id: impl Into<String>) -> Result<Self, Error> {
        self.copy(session_id.into(), CopyOptions::new()).await
    }

    /// As [`fork`](Self::fork), with the versions up to a step.
    pub async fn fork_at(&self, session_id: impl Into<String>, step: u64) -> Result<Self, Error> {
        self.copy(session_id.into(), CopyOptions::new().at_step(step)).await
    }

    /// Delete all versions after a step, and load the state of that step.
    pub async fn rewind(&mut self, step: u64) -> Result<T, Error> {
        let deletion = CheckpointDeletion::after_step(&self.session_id, step);
        let deletion = deletion.with_lease_token(self.lease.as_ref().map_or(0, Lease::token));
        self.client.delete_checkpoints(deletion).await?;
        self.load().await?.ok_or_else(|| Error::invalid("the session was deleted"))
    }

    async fn copy(&self, session_id: String, options: CopyOptions) -> Result<Self, Error> {
        self.client.copy_session(&self.session_id, &session_id, options).await?;
        let mut copy = self.client.thread(session_id);
        copy.load().await?;
        Ok(copy)
    }

    async fn put(&mut self, state: VersionedState, more: impl FnOnce(Save) -> Save) -> Result<Saved, Error> {
        let mut checkpoint = Checkpoint::new(&self.session_id, self.step + 1);
        checkpoint.state = Some(state.clone());
        checkpoint.header = Some(layout::header());
        checkpoint.parent_id = self.latest.as_ref().map(|(id, _)| id.clone()).unwrap_or_default();
        let save = more(checkpoint.into());
        let save = match &self.latest {
            Some((id, revision)) => save.expect_id(id).expect_revision(*revision),
            None => save.expect_none(),
        };
        let Save(request) = match &self.lease {
            Some(lease) => lease.check().map(|()| save.with_lease(lease))?,
            None => save,
        };
        let client = &self.client;
        let saved = saving::save(&client.shared, &self.save_ids, request, client.deadline(), false).await?;
        let saved = Saved::of(saved);
        self.latest = Some((saved.checkpoint_id.clone(), saved.revision));
        (self.step, self.state) = (self.step + 1, state);
        Ok(saved)
    }
}

pub(super) fn decode<T: Serialize + DeserializeOwned>(checkpoint: &Checkpoint) -> Result<T, Error> {
    let text = layout::read(checkpoint)?;
    json::read(&text, &Json::parse(&text, &mut Path::default())?)
}
