//! One of a thing for each Tokio runtime: connections and background tasks belong to the runtime that began them, and end
//! with it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::runtime::{Handle, Id};
use tokio_util::sync::CancellationToken;

type Things<T> = Mutex<Vec<(Id, Arc<T>)>>;

#[derive(Debug)]
pub(crate) struct PerRuntime<T> {
    things: Arc<Things<T>>,
    dropped: CancellationToken,
}

impl<T: Send + Sync + 'static> PerRuntime<T> {
    pub(crate) fn new() -> Self {
        Self { things: Arc::default(), dropped: CancellationToken::new() }
    }

    /// That of the current runtime; made by `make` where there is none yet. Panics outside of a runtime.
    pub(crate) fn get(&self, make: impl FnOnce() -> T) -> Arc<T> {
        let id = Handle::current().id();
        let mut things = lock(&self.things);
        if let Some((_, thing)) = things.iter().find(|(owner, _)| *owner == id) {
            return Arc::clone(thing);
        }
        let thing = Arc::new(make());
        things.push((id, Arc::clone(&thing)));
        drop(things); // a runtime that is ending drops the task at once
        let forget = Forget { things: Arc::downgrade(&self.things), id };
        let dropped = self.dropped.clone();
        tokio::spawn(async move {
            let _forget = forget;
            dropped.cancelled().await;
        });
        thing
    }
}

impl<T> Drop for PerRuntime<T> {
    fn drop(&mut self) {
        self.dropped.cancel();
    }
}

/// Belongs to a task of a runtime, and so is dropped with it.
struct Forget<T> {
    things: Weak<Things<T>>,
    id: Id,
}

impl<T> Drop for Forget<T> {
    fn drop(&mut self) {
        if let Some(things) = self.things.upgrade() {
            let gone: Vec<_> = lock(&things).extract_if(.., |(owner, _)| *owner == self.id).collect();
            drop(gone); // when the lock is open again
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
