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
}

#[derive(Debug, Default)]
struct State {
    last_number: u64,
    under_way: HashMap<Key, CheckpointSaves>,
    /// Of checkpoints with an open save, and none under way; each with its place in `order`.
    unsettled: HashMap<Key, (u64, CheckpointSaves)>,
    /// The oldest first.
    order: BTreeMap<u64, Key>,
}

/// Saves of one checkpoint: those under way, and the last one of unknown outcome.
#[derive(Debug, Default)]
struct CheckpointSaves {
    under_way: usize,
    /// Of those under way, and of those that have ended meanwhile and are stored, or may be.
    numbers: Vec<u64>,
    open: Option<OpenSave>,
}

/// A save whose outcome is not known.
#[derive(Clone, Copy, Debug)]
struct OpenSave {
    hash: u64,
    number: u64,
}

/// How a save has ended.
enum End {
    Stored,
    Refused,
    Open { hash: u64 },
}

impl SaveIds {
    pub(crate) fn new() -> Self {
        let writer = std::iter::repeat_with(|| RandomState::new().hash_one(())).find(|writer| *writer != 0);
        Self { writer: writer.expect("a number that is not 0"), hasher: RandomState::new(), state: Mutex::default() }
    }

    /// Begin a save. It takes the id of an equal save whose outcome is not known, else a new one.
    pub(crate) fn begin(&self, request: &SaveRequest, key: Key) -> Begun {
        let number = self.lock().begin(&key, || self.hash(request));
        Begun { id: SaveId { writer: self.writer, number }, key }
    }

    /// The outcome of a save is known. stored: whether it was stored.
    pub(crate) fn settled(&self, save: Begun, stored: bool) {
        self.lock().end(save, if stored { End::Stored } else { End::Refused });
    }

    /// The outcome of a save is not known. request: as `begin` was given it.
    pub(crate) fn unsettled(&self, request: &SaveRequest, save: Begun) {
        let hash = self.hash(request);
        self.lock().end(save, End::Open { hash });
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
    /// The number of a save that begins: that of the equal save whose outcome is not known, else a new one.
    fn begin(&mut self, key: &Key, hash: impl FnOnce() -> u64) -> u64 {
        self.last_number += 1;
        let before = self.forget(key);
        let saves = self.under_way.entry(key.clone()).or_insert_with(|| before.unwrap_or_default());
        let retried = saves.retriable().filter(|open| open.hash == hash());
        if retried.is_some() {
            saves.open = None; // of two equal ones, only one is the retry
        }
        let number = retried.map_or(self.last_number, |open| open.number);
        saves.under_way += 1;
        saves.numbers.push(number);
        number
    }

    fn end(&mut self, Begun { id: SaveId { number, .. }, key }: Begun, end: End) {
        let Some(saves) = self.under_way.get_mut(&key) else { return };
        match end {
            End::Stored => {}
            End::Refused => {
                let place = saves.numbers.iter().position(|other| *other == number);
                place.map(|place| saves.numbers.swap_remove(place));
            }
            End::Open { hash } if saves.open.is_none_or(|open| open.number < number) => {
                saves.open = Some(OpenSave { hash, number });
            }
            End::Open { .. } => {}
        }
        saves.under_way -= 1;
        if saves.under_way == 0
            && let Some(saves) = self.under_way.remove(&key).filter(|saves| saves.retriable().is_some())
        {
            self.remember(key, saves);
        }
    }

    fn remember(&mut self, key: Key, saves: CheckpointSaves) {
        let place = self.order.last_key_value().map_or(0, |(last, _)| last + 1);
        self.order.insert(place, key.clone());
        self.unsettled.insert(key, (place, CheckpointSaves { numbers: Vec::new(), ..saves }));
        while self.unsettled.len() > MAX_UNSETTLED {
            let (_, oldest) = self.order.pop_first().expect("there are many");
            self.unsettled.remove(&oldest);
        }
    }

    fn forget(&mut self, key: &Key) -> Option<CheckpointSaves> {
        let (place, saves) = self.unsettled.remove(key)?;
        self.order.remove(&place);
        Some(saves)
    }
}

impl CheckpointSaves {
    /// The open save, if it is a retry when it is made again. Where a later one may be stored, it comes after that one: the
    /// server would take it for the earlier of the two.
    fn retriable(&self) -> Option<OpenSave> {
        self.open.filter(|open| self.numbers.iter().all(|number| *number <= open.number))
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
        let retried = second.id.number;
        ids.settled(second, true);
        (number, retried)
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
        ids.settled(begin(&ids, &save("s", 2, 1)), true);
        let expected_latest = Some(Default::default());
        let leased = SaveRequest { lease_token: 7, expected_latest, ..request.clone() };
        assert_eq!(begin(&ids, &leased).id.number, 5, "under another lease");
    }

    #[test]
    fn another_save_takes_the_place_of_the_one_that_is_open_if_it_is_stored() {
        for (stored, number) in [(true, 3), (false, 1)] {
            let ids = SaveIds::new();
            let first = begin(&ids, &save("s", 1, 1));
            ids.unsettled(&save("s", 1, 1), first);
            ids.settled(begin(&ids, &save("s", 1, 2)), stored);
            assert_eq!(begin(&ids, &save("s", 1, 1)).id.number, number);
        }
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
                Some(stored) => ids.settled(second, stored),
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
        ids.settled(second, true);
        ids.settled(again, true);
        assert!(ids.lock().under_way.is_empty() && ids.lock().unsettled.is_empty());
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
