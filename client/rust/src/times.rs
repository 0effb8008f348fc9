//! Times and durations of the contract, as those of the standard library.

use std::time::{Duration, SystemTime};

/// None: there is no time, or this platform cannot hold it.
pub(crate) fn time(stamp: Option<prost_types::Timestamp>) -> Option<SystemTime> {
    stamp.and_then(|stamp| stamp.try_into().ok())
}

/// None: there is no duration, or it is negative.
pub(crate) fn duration(length: Option<prost_types::Duration>) -> Option<Duration> {
    length.and_then(|length| length.try_into().ok())
}

pub(crate) fn proto_duration(duration: Duration) -> prost_types::Duration {
    let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    prost_types::Duration { seconds, nanos: duration.subsec_nanos() as i32 }
}
