//! Names and session ids that weavegraph allows and the server does not: longer, or of characters that it refuses.
//!
//! Each is stored under a digest, and a table in the checkpoint's header has the full text. Whatever looks like such a
//! digest is stored in the same way, so that no two names are ever stored as one.

use std::{borrow::Cow, collections::BTreeMap};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::proto;

/// The encoding of a header that has a table.
const HEADER: &str = "lockstitch.weavegraph";
/// What the stored form of a name or a session id begins with.
const DIGEST: &str = "weavegraph:sha256:";
/// The server's default limits, `limits.max_key_bytes` and `limits.max_session_id_bytes`.
const NAME_BYTES: usize = 512;
const SESSION_ID_BYTES: usize = 255;

/// The full texts of a checkpoint, by their stored forms.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Names {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session_id: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    names: BTreeMap<String, String>,
}

/// The form in which the name of a node or the key of an extra entry is stored.
pub(crate) fn stored_name(name: &str) -> Cow<'_, str> {
    if name.len() > NAME_BYTES || name.starts_with(DIGEST) { digest(name).into() } else { name.into() }
}

/// The form in which a session id is stored.
pub(crate) fn stored_session_id(session_id: &str) -> Cow<'_, str> {
    let fits = (1..=SESSION_ID_BYTES).contains(&session_id.len()) && !session_id.contains(char::is_control);
    if fits && !is_digest(session_id) { session_id.into() } else { digest(session_id).into() }
}

/// Whether a stored session id, or name, stands for another.
pub(crate) fn is_digest(stored: &str) -> bool {
    stored.starts_with(DIGEST)
}

fn digest(text: &str) -> String {
    let bytes = Sha256::digest(text.as_bytes());
    bytes.iter().fold(DIGEST.to_owned(), |hex, byte| format!("{hex}{byte:02x}"))
}

impl Names {
    /// The stored form of a name, which is entered into the table where it is another.
    pub(crate) fn store(&mut self, name: &str) -> String {
        let stored = stored_name(name);
        if let Cow::Owned(digest) = &stored {
            self.names.insert(digest.clone(), name.to_owned());
        }
        stored.into_owned()
    }

    /// The stored form of a session id, which is entered into the table where it is another.
    pub(crate) fn store_session_id(&mut self, session_id: &str) -> String {
        let stored = stored_session_id(session_id);
        if let Cow::Owned(_) = stored {
            self.session_id = Some(session_id.to_owned());
        }
        stored.into_owned()
    }

    /// The full text of a stored name. A digest that the table does not have is a name that another program wrote.
    pub(crate) fn full(&self, stored: &str) -> String {
        self.names.get(stored).map_or(stored, String::as_str).to_owned()
    }

    /// The full text of a stored session id. A copy of a session has the table of the original.
    pub(crate) fn full_session_id(&self, stored: &str) -> String {
        let full = self.session_id.as_deref().filter(|full| stored_session_id(full) == stored);
        full.unwrap_or(stored).to_owned()
    }

    /// The header that has this table; none where the table is empty.
    pub(crate) fn header(&self) -> Option<proto::TypedBlob> {
        (*self != Self::default()).then(|| proto::TypedBlob {
            r#type: HEADER.to_owned(),
            data: Bytes::from(serde_json::to_vec(self).expect("texts are JSON")),
        })
    }

    /// The table in a header; an empty one where another program wrote the header.
    pub(crate) fn of(header: Option<&proto::TypedBlob>) -> Result<Self, String> {
        match header {
            Some(blob) if blob.r#type == HEADER => {
                serde_json::from_slice(&blob.data).map_err(|error| format!("its header cannot be read: {error}"))
            }
            _ => Ok(Self::default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_are_never_taken_for_one_another() {
        let long = "n".repeat(NAME_BYTES + 1);
        let given = ["", "short", &"n".repeat(NAME_BYTES), &long, &stored_name(&long), DIGEST];
        let mut names = Names::default();
        let stored: Vec<_> = given.iter().map(|name| names.store(name)).collect();
        let names = Names::of(names.header().as_ref()).unwrap();
        for (index, stored_form) in stored.iter().enumerate() {
            assert!(stored_form.len() <= NAME_BYTES);
            assert_eq!(names.full(stored_form), given[index]);
            assert!(!stored[..index].contains(stored_form));
        }
    }

    /// The importer stores what it imports in the same way: its tests read the same file.
    #[test]
    fn names_are_stored_as_the_importer_stores_them() {
        #[derive(Deserialize)]
        struct Examples {
            names: Vec<(String, String)>,
            session_ids: Vec<(String, String)>,
            header: Header,
        }
        #[derive(Deserialize)]
        struct Header {
            session_id: String,
            names: Vec<String>,
            data: String,
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/weavegraph/names.json");
        let examples: Examples = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        for (name, stored) in &examples.names {
            assert_eq!(stored_name(name), *stored);
        }
        for (session_id, stored) in &examples.session_ids {
            assert_eq!(stored_session_id(session_id), *stored);
        }
        let mut names = Names::default();
        names.store_session_id(&examples.header.session_id);
        for name in &examples.header.names {
            names.store(name);
        }
        assert_eq!(names.header().unwrap().data, examples.header.data);
    }

    #[test]
    fn every_session_id_can_be_stored() {
        for session_id in ["", "line\nbreak", "\u{9f}", &"🧵".repeat(64), DIGEST] {
            let mut names = Names::default();
            let stored = names.store_session_id(session_id);
            assert!(is_digest(&stored) && stored.len() <= SESSION_ID_BYTES, "{session_id:?}");
            assert_eq!(Names::of(names.header().as_ref()).unwrap().full_session_id(&stored), session_id);
        }
        for session_id in ["s", &"s".repeat(SESSION_ID_BYTES)] {
            assert_eq!(stored_session_id(session_id), session_id);
        }
        assert_eq!(Names::default().header(), None);
    }
}
