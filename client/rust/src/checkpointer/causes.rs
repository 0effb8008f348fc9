//! Chains of causes that are longer than protobuf messages may be nested.
//!
//! The causes that do not fit are stored in the details of the last one that does.

use std::mem;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::proto::WeaveError;

/// The server's limit of causes below an error.
const MAX_CAUSES: usize = 90;
/// The only key of details that hold further causes.
const KEY: &str = "lockstitch.weavegraph.causes";

/// An error of a chain: its message, and its details as JSON text.
pub(crate) type Link = (String, String);

/// Details, and the causes that follow.
#[derive(Serialize, Deserialize)]
struct Wrapped {
    details: String,
    causes: Vec<Link>,
}

/// A chain of errors, the outermost first, as one message.
pub(crate) fn join(mut chain: Vec<Link>) -> WeaveError {
    let mut further = chain.split_off(chain.len().min(MAX_CAUSES + 1));
    let last = chain.len().saturating_sub(1);
    let mut error = WeaveError::default();
    for (index, (message, details)) in chain.into_iter().enumerate().rev() {
        let causes = if index == last { mem::take(&mut further) } else { Vec::new() };
        // Details of the user's that look wrapped are wrapped, because the reader unwraps them.
        let wrap = !causes.is_empty() || unwrapped(&details).is_some();
        let details = if wrap { wrapped(details, causes) } else { details };
        let cause = (index < last).then(|| Box::new(error));
        error = WeaveError { message, cause, details };
    }
    error
}

/// The chain in a message, the outermost error first.
pub(crate) fn split(error: &WeaveError) -> Vec<Link> {
    let mut chain = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let message = error.message.clone();
        match unwrapped(&error.details) {
            Some(Wrapped { details, causes }) => {
                chain.push((message, details));
                chain.extend(causes);
            }
            None => chain.push((message, error.details.clone())),
        }
        next = error.cause.as_deref();
    }
    chain
}

fn wrapped(details: String, causes: Vec<Link>) -> String {
    json!({ KEY: Wrapped { details, causes } }).to_string()
}

fn unwrapped(text: &str) -> Option<Wrapped> {
    // Most details are not: that is found out without parsing them.
    if !text.starts_with(&format!("{{\"{KEY}\":")) {
        return None;
    }
    let mut value: Value = serde_json::from_str(text).ok()?;
    let entries = value.as_object_mut()?;
    let inner = entries.remove(KEY)?;
    entries.is_empty().then(|| serde_json::from_value(inner).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(length: usize) -> Vec<Link> {
        (0..length).map(|number| (format!("error {number}"), number.to_string())).collect()
    }

    fn causes(error: &WeaveError) -> usize {
        std::iter::successors(error.cause.as_deref(), |error| error.cause.as_deref()).count()
    }

    #[test]
    fn chains_of_every_length_come_back() {
        for length in [1, 2, MAX_CAUSES + 1, MAX_CAUSES + 2, 5_000] {
            let error = join(chain(length));
            assert_eq!(causes(&error), MAX_CAUSES.min(length - 1));
            assert_eq!(split(&error), chain(length));
        }
    }

    #[test]
    fn details_that_look_wrapped_come_back() {
        let once = wrapped("1".to_owned(), chain(2));
        for details in [once.clone(), wrapped(once, Vec::new()), format!("{{\"{KEY}\":7}}")] {
            for length in [1, MAX_CAUSES + 2] {
                let mut links = chain(length);
                links[0].1.clone_from(&details);
                let at = links.len().min(MAX_CAUSES + 1) - 1;
                links[at].1.clone_from(&details);
                assert_eq!(split(&join(links.clone())), links);
            }
        }
    }
}
