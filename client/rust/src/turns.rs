//! Lets saves of one session go in the order in which they were called.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{sync::OwnedMutexGuard, time::timeout_at};

use crate::{Error, retry::Deadline};

type Gate = Arc<tokio::sync::Mutex<()>>;

/// A queue for each session that has saves to send.
#[derive(Debug, Default)]
pub(crate) struct Turns(Arc<Mutex<HashMap<String, Gate>>>);

/// The turn of one save; the next one's begins when it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    session_id: String,
    gates: Arc<Mutex<HashMap<String, Gate>>>,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Return when all saves of the session that called this before have had their turn. Fails at the deadline: their
    /// timeouts may be longer.
    pub(crate) async fn next(&self, session_id: &str, deadline: Deadline) -> Result<Turn, Error> {
        let gate = {
            let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(gates.entry(session_id.to_owned()).or_default())
        };
        // Made before the wait, so that a save that is dropped while it waits leaves nothing behind.
        let mut turn = Turn { session_id: session_id.to_owned(), gates: Arc::clone(&self.0), guard: None };
        turn.guard = Some(timeout_at(deadline.at, gate.lock_owned()).await.map_err(|_| {
            let fault = Error::new(tonic::Code::Unavailable, "an earlier save of this session waits for its answer");
            Error::deadline(deadline.timeout, Some(fault))
        })?);
        Ok(turn)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.guard = None;
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        if gates.get(&self.session_id).is_some_and(|gate| Arc::strong_count(gate) == 1) {
            gates.remove(&self.session_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn sessions_take_turns_and_leave_nothing_behind() {
        let (turns, deadline) = (Turns::default(), Deadline::after(Duration::from_secs(60)));
        let first = turns.next("s", deadline).await.unwrap();
        turns.next("other", deadline).await.unwrap();
        assert!(turns.next("s", deadline).now_or_never().is_none());
        let late = turns.next("s", Deadline::after(Duration::from_secs(1))).await.unwrap_err();
        assert_eq!(late.code(), tonic::Code::DeadlineExceeded);
        drop(first);
        drop(turns.next("s", deadline).await.unwrap());
        assert!(turns.0.lock().unwrap().is_empty());
    }
}
