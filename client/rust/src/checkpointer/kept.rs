//! What others wrote and weavegraph's types cannot hold, so that it is saved as it was loaded.

use super::{
    api::{channels::Channel, state::VersionedState},
    convert::{state_from_proto, state_to_proto},
};
use crate::{
    checkpointer::names::{Names, stored_name},
    proto,
};

/// A state as it was loaded, and as weavegraph sees it.
#[derive(Debug)]
pub(super) struct Kept {
    loaded: proto::VersionedState,
    seen: VersionedState,
}

impl Kept {
    /// None: weavegraph's types hold all of it, as with whatever this checkpointer has saved.
    pub(super) fn of(loaded: &proto::VersionedState, names: &Names) -> Option<Self> {
        let seen = state_from_proto(loaded, names).ok()?;
        (state_to_proto(&seen, &mut Names::default()) != *loaded).then(|| Self { loaded: loaded.clone(), seen })
    }

    /// Write into `saved`, which is `now`, whatever has not changed since as it was loaded: the very text of a JSON
    /// value (an integer beyond 64 bits, the order of keys), an error without a scope, custom channels.
    pub(super) fn restore(&self, now: &VersionedState, saved: &mut proto::VersionedState) {
        self.restore_extra(now, saved);
        self.restore_errors(now, saved);
        saved.custom.clone_from(&self.loaded.custom);
    }

    fn restore_extra(&self, now: &VersionedState, saved: &mut proto::VersionedState) {
        let Some(loaded) = &self.loaded.extra else { return };
        let (before, now) = (self.seen.extra.snapshot(), now.extra.snapshot());
        let entries = &mut saved.extra_mut().entries;
        for (key, value) in &now {
            let key_stored = stored_name(key);
            if let Some(original) = loaded.entries.get(&*key_stored)
                && before.get(key) == Some(value)
            {
                entries.insert(key_stored.into_owned(), original.clone());
            }
        }
    }

    fn restore_errors(&self, now: &VersionedState, saved: &mut proto::VersionedState) {
        let Some(loaded) = &self.loaded.errors else { return };
        let (before, now) = (self.seen.errors.snapshot(), now.errors.snapshot());
        let same = before.iter().zip(&now).take_while(|(before, now)| before == now).count();
        saved.errors_mut().items[..same].clone_from_slice(&loaded.items[..same]);
    }
}
