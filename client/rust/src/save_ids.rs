//! Ids of saves: the server tells by them which of a client's saves is the later one, and which is a retry.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, RandomState},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use prost::Message;
use tonic::Code;

use crate::{
    Error,
    v1::{Checkpoint, SaveId, SaveRequest},
};

/// How many saves of unknown outcome are remembered.
const MAX_UNSETTLED: usize = 1024;

/// Numbers the saves of one writer. It remembers those whose outcome is not known: the same save again is a retry.
#[derive(Debug)]
pub(crate) struct SaveIds {
    writer: u64,
    number: AtomicU64,
    hasher: RandomState,
    unsettled: Mutex<Unsettled>,
}

/// (session_id, namespace, checkpoint id)
pub(crate) type Key = (String, String, String);

#[derive(Debug, Default)]
struct Unsettled {
    saves: HashMap<Key, Save>,
    /// By number: the oldest first.
    order: BTreeMap<u64, Key>,
}

#[derive(Clone, Copy, Debug)]
struct Save {
    hash: u64,
    id: SaveId,
    /// Of the attempt that was made last.
    attempt: u64,
}

impl SaveIds {
    pub(crate) fn new() -> Self {
        let writer = std::iter::repeat_with(|| RandomState::new().hash_one(())).find(|writer| *writer != 0);
        Self {
            writer: writer.expect("a number that is not 0"),
            number: AtomicU64::new(0),
            hasher: RandomState::new(),
            unsettled: Mutex::default(),
        }
    }

    /// The id of a save that begins now: that of an equal save whose outcome is not known, else a new one.
    pub(crate) fn begin(&self, request: &SaveRequest) -> SaveId {
        let id = SaveId { writer: self.writer, number: self.number.fetch_add(1, Ordering::Relaxed) + 1 };
        let Some(key) = request.checkpoint.as_ref().map(key) else { return id };
        let Some(save) = self.lock().saves.get(&key).copied() else { return id };
        if save.hash == self.hash(request) {
            return save.id;
        }
        self.lock().forget(&key);
        id
    }

    /// The outcome of a save is not known. request: as `begin` was given it.
    pub(crate) fn unsettled(&self, request: &SaveRequest, id: SaveId) {
        let Some(key) = request.checkpoint.as_ref().map(key) else { return };
        let (hash, attempt) = (self.hash(request), self.number.fetch_add(1, Ordering::Relaxed) + 1);
        let mut unsettled = self.lock();
        unsettled.forget(&key);
        unsettled.order.insert(attempt, key.clone());
        unsettled.saves.insert(key, Save { hash, id, attempt });
        while unsettled.saves.len() > MAX_UNSETTLED {
            let oldest = unsettled.order.values().next().cloned();
            unsettled.forget(&oldest.expect("there are many"));
        }
    }

    /// The outcome of a save is known.
    pub(crate) fn settled(&self, key: &Key, id: SaveId) {
        let mut unsettled = self.lock();
        if unsettled.saves.get(key).is_some_and(|save| save.id == id) {
            unsettled.forget(key);
        }
    }

    fn hash(&self, request: &SaveRequest) -> u64 {
        self.hasher.hash_one(request.encode_to_vec())
    }

    fn lock(&self) -> MutexGuard<'_, Unsettled> {
        self.unsettled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Unsettled {
    fn forget(&mut self, key: &Key) {
        if let Some(save) = self.saves.remove(key) {
            self.order.remove(&save.attempt);
        }
    }
}

pub(crate) fn key(checkpoint: &Checkpoint) -> Key {
    (checkpoint.session_id.clone(), checkpoint.namespace.clone(), checkpoint.stored_id())
}

/// Whether an error leaves open whether the save was stored.
pub(crate) fn is_open(error: &Error) -> bool {
    error.is_transient() || matches!(error.code(), Code::Cancelled | Code::Internal | Code::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn save(session_id: &str, step: u64, ran: usize) -> SaveRequest {
        let mut checkpoint = Checkpoint::new(session_id, step);
        checkpoint.ran_nodes = vec![Default::default(); ran];
        checkpoint.into()
    }

    #[test]
    fn a_retry_has_the_id_of_the_save_that_is_open() {
        let ids = SaveIds::new();
        let first = ids.begin(&save("s", 1, 1));
        assert!(first.writer != 0 && first.number == 1);
        assert_ne!(ids.begin(&save("s", 1, 1)), first, "nothing is open");
        ids.unsettled(&save("s", 1, 1), first);
        assert_ne!(ids.begin(&save("s", 2, 1)), first);
        assert_eq!(ids.begin(&save("s", 1, 1)), first);
        let other = ids.begin(&save("s", 1, 2));
        assert!(other.number > first.number);
        assert_ne!(ids.begin(&save("s", 1, 1)), first, "another save has taken its place");
    }

    #[test]
    fn what_is_settled_is_forgotten() {
        let ids = SaveIds::new();
        let (request, key) = (save("s", 1, 1), key(&Checkpoint::new("s", 1)));
        let id = ids.begin(&request);
        ids.unsettled(&request, id);
        ids.settled(&key, SaveId { number: 77, ..id });
        assert_eq!(ids.begin(&request), id);
        ids.settled(&key, id);
        assert_ne!(ids.begin(&request), id);
    }

    #[test]
    fn few_are_remembered() {
        let ids = SaveIds::new();
        let requests: Vec<_> = (0..=MAX_UNSETTLED as u64).map(|step| save("s", step, 1)).collect();
        let begun: Vec<_> = requests.iter().map(|request| ids.begin(request)).collect();
        requests.iter().zip(&begun).for_each(|(request, id)| ids.unsettled(request, *id));
        assert_ne!(ids.begin(&requests[0]), begun[0]);
        assert_eq!(ids.begin(&requests[1]), begun[1]);
        assert_eq!(ids.lock().order.len(), MAX_UNSETTLED);
    }
}
