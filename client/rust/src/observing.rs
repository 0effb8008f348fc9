//! Functions of the application that see every call: interceptors and observers.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use tonic::{Code, metadata::MetadataMap};

use crate::Error;

type Intercept = Arc<dyn Fn(&str, &mut MetadataMap) + Send + Sync>;
type Observe = Arc<dyn Fn(&CallReport) + Send + Sync>;

/// A completed call or save, with all its retries; see [`Builder::observe`](crate::Builder::observe).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CallReport {
    /// The method, such as "lockstitch.v1.CheckpointService/Save", which is also that of a save over a stream.
    pub method: &'static str,
    /// The time from the begin of the call to its end.
    pub duration: Duration,
    /// The status code; [`Code::Ok`] if the call succeeded.
    pub code: Code,
    /// The name of the error's reason, such as "EXPECTED_LATEST_MISMATCH"; "" if the call succeeded, or failed without one.
    pub reason: String,
}

/// Functions of the user's.
#[derive(Clone, Default)]
pub(crate) struct Hooks {
    pub(crate) intercept: Option<Intercept>,
    pub(crate) observe: Option<Observe>,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hooks")
    }
}

impl Hooks {
    pub(crate) fn intercept(&self, path: &str, metadata: &mut MetadataMap) {
        if let Some(intercept) = &self.intercept {
            intercept(name(path), metadata);
        }
    }

    /// What the call gives, which is reported.
    pub(crate) async fn observed<T>(
        &self,
        path: &'static str,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let Some(observe) = &self.observe else { return call.await };
        let begun = Instant::now();
        let outcome = call.await;
        let error = outcome.as_ref().err();
        observe(&CallReport {
            method: name(path),
            duration: begun.elapsed(),
            code: error.map_or(Code::Ok, Error::code),
            reason: error.map_or(String::new(), |error| error.reason_name().to_owned()),
        });
        outcome
    }
}

fn name(path: &str) -> &str {
    path.trim_start_matches('/')
}
