//! What a client remembers of its last saves, to send the next ones as deltas.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use prost::Message;

use crate::proto::VersionedState;

/// How many states a client remembers, so that saves send only changes instead of whole states.
///
/// The client forgets the least recently saved states first.
///
/// ```
/// let policy = lockstitch::DeltaPolicy::default().max_entries(100).max_bytes(8 * 1024 * 1024);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct DeltaPolicy {
    /// Maximum number of states, one for each namespace of a session; 1,024 by default.
    pub max_entries: usize,
    /// Maximum size of all states, serialized, in bytes; 64 MiB by default. A larger state is not remembered.
    pub max_bytes: usize,
}

impl Default for DeltaPolicy {
    fn default() -> Self {
        Self { max_entries: 1024, max_bytes: 64 * 1024 * 1024 }
    }
}

impl DeltaPolicy {
    /// Set the maximum number of states.
    pub fn max_entries(self, states: usize) -> Self {
        Self { max_entries: states, ..self }
    }

    /// Set the maximum size of all states, serialized, in bytes.
    pub fn max_bytes(self, bytes: usize) -> Self {
        Self { max_bytes: bytes, ..self }
    }
}

/// (session_id, namespace)
pub(crate) type Key = (String, String);

/// A state that the server has acknowledged, under this id, in this revision.
#[derive(Debug)]
pub(crate) struct Base {
    pub(crate) checkpoint_id: String,
    pub(crate) revision: u64,
    pub(crate) state: VersionedState,
}

/// The last acknowledged state of each session, within bounds.
#[derive(Debug)]
pub(crate) struct Memory {
    policy: DeltaPolicy,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    bases: HashMap<Key, Entry>,
    order: BTreeMap<u64, Key>, // least recently saved first
    clock: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    base: Arc<Base>,
    size: usize,
    saved: u64,
}

impl Memory {
    pub(crate) fn new(policy: DeltaPolicy) -> Self {
        Self { policy, kept: Mutex::default() }
    }

    /// The state to start from, if it is known.
    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Base>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bases.get(key).map(|entry| Arc::clone(&entry.base))
    }

    /// Remember an acknowledged state in place of the one before; forget the oldest where there is no room.
    pub(crate) fn put(&self, key: Key, base: Base) {
        let size = base.state.encoded_len() + key.0.len() + key.1.len();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.remove(&key);
        if size <= self.policy.max_bytes {
            kept.add(key, base, size);
        }
        while kept.bytes > self.policy.max_bytes || kept.bases.len() > self.policy.max_entries {
            kept.remove_oldest();
        }
    }
}

impl Kept {
    fn add(&mut self, key: Key, base: Base, size: usize) {
        self.clock += 1;
        self.bytes += size;
        self.order.insert(self.clock, key.clone());
        self.bases.insert(key, Entry { base: Arc::new(base), size, saved: self.clock });
    }

    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.bases.remove(key) {
            self.bytes -= entry.size;
            self.order.remove(&entry.saved);
        }
    }

    fn remove_oldest(&mut self) {
        if let Some((_, key)) = self.order.pop_first() {
            self.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        (name.to_owned(), String::new())
    }

    fn base(text_bytes: usize) -> Base {
        let entries = [("k".to_owned(), "1".repeat(text_bytes))].into();
        let extra = Some(crate::proto::ExtrasChannel { version: 1, entries });
        Base { checkpoint_id: "1".to_owned(), revision: 1, state: VersionedState { extra, ..Default::default() } }
    }

    #[test]
    fn the_least_recently_saved_is_forgotten_first() {
        let memory = Memory::new(DeltaPolicy { max_entries: 2, max_bytes: 1_000_000 });
        for name in ["a", "b", "a", "c"] {
            memory.put(key(name), base(1));
        }
        let known = ["a", "b", "c"].map(|name| memory.get(&key(name)).is_some());
        assert_eq!(known, [true, false, true]);
    }

    #[test]
    fn bytes_are_bounded() {
        let memory = Memory::new(DeltaPolicy { max_entries: 100, max_bytes: 1_000 });
        memory.put(key("a"), base(600));
        memory.put(key("b"), base(600));
        assert!(memory.get(&key("a")).is_none() && memory.get(&key("b")).is_some());
        memory.put(key("b"), base(2_000));
        assert!(memory.get(&key("b")).is_none(), "what is too large takes the place of nothing");
        assert_eq!(memory.kept.lock().unwrap().bytes, 0);
    }
}
