//! Ids of saves: the server tells by them which of a client's saves is the later one, and which is a retry.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, Hash, Hasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
};

use prost::Message;
use tonic::Code;

use crate::{
    Error,
    proto::{Checkpoint, ErrorReason, SaveId, SaveRequest},
};

/// How many saves of unknown outcome are remembered.
const MAX_UNSETTLED: usize = 1024;

/// Numbers the saves of one writer. It remembers those whose outcome is not known: the same save again is a retry.
#[derive(Debug)]
pub(crate) struct SaveIds {
    writer: u64,
    hasher: RandomState,
    state: Mutex<State>,
}

/// (session_id, namespace, checkpoint id)
pub(crate) type Key = (String, String, String);

/// A save that has been given its id.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) id: SaveId,
    key: Key,
    /// The number that it took, which is not that of `id` if it is a retry.
    attempt: u64,
}

#[derive(Debug, Default)]
struct State {
    attempts: u64,
    unsettled: HashMap<Key, Unsettled>,
    /// By attempt: the oldest first.
    order: BTreeMap<u64, Key>,
    running: HashMap<Key, Running>,
}

/// A save whose outcome is not known.
#[derive(Clone, Copy, Debug)]
struct Unsettled {
    hash: u64,
    number: u64,
    attempt: u64,
}

/// The saves of one checkpoint that have not ended.
#[derive(Debug, Default)]
struct Running {
    attempts: Vec<u64>,
    /// The latest of those that have ended, and may have been stored.
    stored: u64,
}

impl SaveIds {
    pub(crate) fn new() -> Self {
        let writer = std::iter::repeat_with(|| RandomState::new().hash_one(())).find(|writer| *writer != 0);
        Self { writer: writer.expect("a number that is not 0"), hasher: RandomState::new(), state: Mutex::default() }
    }

    /// Begin a save. It takes the id of an equal save whose outcome is not known, else a new one.
    pub(crate) fn begin(&self, request: &SaveRequest, key: Key) -> Begun {
        let (attempt, before) = self.lock().begin(&key);
        let number = before.filter(|save| save.hash == self.hash(request)).map_or(attempt, |save| save.number);
        Begun { id: SaveId { writer: self.writer, number }, key, attempt }
    }

    /// The outcome of a save is known. stored: whether it was stored.
    pub(crate) fn settled(&self, save: &Begun, stored: bool) {
        self.lock().end(save, stored);
    }

    /// The outcome of a save is not known. request: as `begin` was given it.
    pub(crate) fn unsettled(&self, request: &SaveRequest, save: Begun) {
        let hash = self.hash(request);
        let mut state = self.lock();
        if !state.end(&save, true) {
            state.remember(save.key, Unsettled { hash, number: save.id.number, attempt: save.attempt });
        }
    }

    /// Of what is saved. Conditions and the lease do not count: a retry may be made under another lease.
    fn hash(&self, request: &SaveRequest) -> u64 {
        let SaveRequest { checkpoint, delta, base_checkpoint_id, base_revision, writes, .. } = request;
        let mut hasher = self.hasher.build_hasher();
        checkpoint.as_ref().map(Message::encode_to_vec).hash(&mut hasher);
        delta.as_ref().map(Message::encode_to_vec).hash(&mut hasher);
        (base_checkpoint_id, base_revision).hash(&mut hasher);
        writes.iter().for_each(|write| write.encode_to_vec().hash(&mut hasher));
        hasher.finish()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The number of a save that begins, and the save of its checkpoint whose outcome is not known. Only one save gets that
    /// one, and none while a later save is under way: the server would take the retry for the earlier of the two.
    fn begin(&mut self, key: &Key) -> (u64, Option<Unsettled>) {
        self.attempts += 1;
        let before = self.forget(key);
        let running = self.running.entry(key.clone()).or_default();
        let before = before.filter(|save| running.attempts.iter().all(|other| *other < save.attempt));
        running.attempts.push(self.attempts);
        (self.attempts, before)
    }

    /// Returns whether a later save of the checkpoint may have been stored.
    fn end(&mut self, save: &Begun, stored: bool) -> bool {
        let Some(running) = self.running.get_mut(&save.key) else { return false };
        running.attempts.retain(|attempt| *attempt != save.attempt);
        if stored {
            running.stored = running.stored.max(save.attempt);
        }
        let overtaken = running.stored > save.attempt;
        if running.attempts.is_empty() {
            self.running.remove(&save.key);
        }
        if stored && self.unsettled.get(&save.key).is_some_and(|before| before.attempt < save.attempt) {
            self.forget(&save.key);
        }
        overtaken
    }

    fn remember(&mut self, key: Key, save: Unsettled) {
        self.order.insert(save.attempt, key.clone());
        self.unsettled.insert(key, save);
        while self.unsettled.len() > MAX_UNSETTLED {
            let (_, oldest) = self.order.pop_first().expect("there are many");
            self.unsettled.remove(&oldest);
        }
    }

    fn forget(&mut self, key: &Key) -> Option<Unsettled> {
        let save = self.unsettled.remove(key)?;
        self.order.remove(&save.attempt);
        Some(save)
    }
}

pub(crate) fn key(checkpoint: &Checkpoint) -> Key {
    (checkpoint.session_id.clone(), checkpoint.namespace.clone(), checkpoint.stored_id())
}

/// Whether the server has decided about a save, and not stored it. After all other errors, an attempt may have been stored:
/// one that was refused, for its key or its rate, says nothing about the attempt before.
pub(crate) fn is_refused(error: &Error) -> bool {
    let code = error.code();
    matches!(code, Code::Aborted | Code::FailedPrecondition | Code::InvalidArgument)
        || error.reason() == ErrorReason::TooLarge
}

#[cfg(test)]
mod tests {
    use super::*;

    fn save(session_id: &str, step: u64, ran: usize) -> SaveRequest {
        let mut checkpoint = Checkpoint::new(session_id, step);
        checkpoint.ran_nodes = vec![Default::default(); ran];
        crate::Save::from(checkpoint).0
    }

    fn begin(ids: &SaveIds, request: &SaveRequest) -> Begun {
        ids.begin(request, key(request.checkpoint.as_ref().unwrap()))
    }

    /// The numbers of a save that began and has ended with an unknown outcome, and of the same save again.
    fn again(ids: &SaveIds, request: &SaveRequest) -> (u64, u64) {
        let first = begin(ids, request);
        let number = first.id.number;
        ids.unsettled(request, first);
        let second = begin(ids, request);
        ids.settled(&second, true);
        (number, second.id.number)
    }

    #[test]
    fn a_retry_has_the_id_of_the_save_that_is_open() {
        let ids = SaveIds::new();
        let request = save("s", 1, 1);
        assert_eq!(again(&ids, &request), (1, 1));
        assert_eq!(again(&ids, &request), (3, 3), "the one before is settled");
        let first = begin(&ids, &request);
        assert!(first.id.writer != 0);
        ids.unsettled(&request, first);
        ids.settled(&begin(&ids, &save("s", 2, 1)), true);
        let expected_latest = Some(Default::default());
        let leased = SaveRequest { lease_token: 7, expected_latest, ..request.clone() };
        assert_eq!(begin(&ids, &leased).id.number, 5, "under another lease");
    }

    #[test]
    fn another_save_takes_the_place_of_the_one_that_is_open() {
        let ids = SaveIds::new();
        let first = begin(&ids, &save("s", 1, 1));
        ids.unsettled(&save("s", 1, 1), first);
        ids.settled(&begin(&ids, &save("s", 1, 2)), false);
        assert_eq!(begin(&ids, &save("s", 1, 1)).id.number, 3);
    }

    #[test]
    fn a_retry_that_was_not_answered_is_open_still() {
        let ids = SaveIds::new();
        let request = save("s", 1, 1);
        for _ in 0..3 {
            let begun = begin(&ids, &request);
            assert_eq!(begun.id.number, 1);
            ids.unsettled(&request, begun);
        }
    }

    #[test]
    fn of_saves_side_by_side_only_the_latest_stays_open() {
        let requests = [save("s", 1, 1), save("s", 1, 2)];
        for later_ends in [Some(true), Some(false), None] {
            let ids = SaveIds::new();
            let [first, second] = [begin(&ids, &requests[0]), begin(&ids, &requests[1])];
            match later_ends {
                Some(stored) => ids.settled(&second, stored),
                None => ids.unsettled(&requests[1], second),
            }
            ids.unsettled(&requests[0], first);
            let number = begin(&ids, &requests[0]).id.number;
            assert_eq!(number, if later_ends == Some(false) { 1 } else { 3 }, "{later_ends:?}");
        }
        let ids = SaveIds::new();
        let [first, second] = [begin(&ids, &requests[0]), begin(&ids, &requests[1])];
        ids.unsettled(&requests[0], first);
        let again = begin(&ids, &requests[0]);
        assert_eq!(again.id.number, 3, "the later one is on its way");
        ids.settled(&second, true);
        ids.settled(&again, true);
        assert!(ids.lock().running.is_empty() && ids.lock().unsettled.is_empty());
    }

    #[test]
    fn few_are_remembered() {
        let ids = SaveIds::new();
        let requests: Vec<_> = (0..=MAX_UNSETTLED as u64).map(|step| save("s", step, 1)).collect();
        requests.iter().for_each(|request| {
            let begun = begin(&ids, request);
            ids.unsettled(request, begun);
        });
        assert_eq!(ids.lock().order.len(), MAX_UNSETTLED);
        assert_eq!(begin(&ids, &requests[1]).id.number, 2);
        assert!(begin(&ids, &requests[0]).id.number > requests.len() as u64);
    }
}
