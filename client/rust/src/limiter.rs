//! Limits how many saves of a client are in flight, and how many bytes they have.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Error, retry::Deadline};

const KIBIBYTE: usize = 1024;

/// Admits a number of saves and of bytes at once, and a larger save alone. First come, first served.
#[derive(Debug)]
pub(crate) struct Limiter {
    saves: Arc<Semaphore>,
    kibibytes: Arc<Semaphore>,
    max_kibibytes: u32,
}

/// The right to hold the bytes of one save.
#[derive(Debug)]
pub(crate) struct Permit {
    _save: OwnedSemaphorePermit,
    _kibibytes: OwnedSemaphorePermit,
}

impl Limiter {
    pub(crate) fn new(max_saves: usize, max_bytes: usize) -> Self {
        let max_saves = max_saves.clamp(1, Semaphore::MAX_PERMITS);
        let max_kibibytes = max_bytes.div_ceil(KIBIBYTE).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        Self {
            saves: Arc::new(Semaphore::new(max_saves)),
            kibibytes: Arc::new(Semaphore::new(max_kibibytes)),
            max_kibibytes: max_kibibytes as u32,
        }
    }

    /// Wait until there is room for a save of this size, in bytes.
    pub(crate) async fn enter(&self, size: usize, deadline: Deadline) -> Result<Arc<Permit>, Error> {
        let size = u32::try_from(size / KIBIBYTE + 1).unwrap_or(u32::MAX).min(self.max_kibibytes);
        let room = async {
            let save = Arc::clone(&self.saves).acquire_owned().await.expect("is never closed");
            let kibibytes = Arc::clone(&self.kibibytes).acquire_many_owned(size).await.expect("is never closed");
            Arc::new(Permit { _save: save, _kibibytes: kibibytes })
        };
        tokio::time::timeout_at(deadline.at, room).await.map_err(|_| {
            let fault = Error::new(tonic::Code::Unavailable, "too many other saves of this client are in flight");
            Error::deadline(deadline.timeout, Some(fault))
        })
    }
}

/// Data that gives its permit back when the last copy of it is gone.
pub(crate) fn permitted(data: Vec<u8>, permit: &Arc<Permit>) -> Bytes {
    struct Owned(Vec<u8>, #[allow(dead_code)] Arc<Permit>);

    impl AsRef<[u8]> for Owned {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }

    Bytes::from_owner(Owned(data, Arc::clone(permit)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn room_is_free_again_when_the_bytes_are_gone() {
        let limiter = Limiter::new(10, 4 * KIBIBYTE);
        let soon = || Deadline::after(Duration::from_millis(10));
        let permit = limiter.enter(3 * KIBIBYTE, soon()).await.unwrap();
        let data = permitted(vec![0; 3 * KIBIBYTE], &permit);
        let part = data.slice(..1);
        drop((permit, data));
        assert!(limiter.enter(1, soon()).await.is_err(), "a part is still held");
        drop(part);
        limiter.enter(1, soon()).await.unwrap();
        limiter.enter(1_000 * KIBIBYTE, soon()).await.expect("a larger save, alone");
    }

    #[tokio::test]
    async fn saves_are_counted() {
        let limiter = Limiter::new(2, usize::MAX);
        let soon = || Deadline::after(Duration::from_millis(10));
        let permits = (limiter.enter(1, soon()).await.unwrap(), limiter.enter(1, soon()).await.unwrap());
        let error = limiter.enter(1, soon()).await.unwrap_err();
        assert!(error.message().contains("in flight"), "{error}");
        drop(permits);
        limiter.enter(1, soon()).await.unwrap();
    }
}
