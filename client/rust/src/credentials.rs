//! What every call carries: metadata, and a key.

use std::{fmt, sync::Arc};

use tonic::{
    Code,
    metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap},
};

use crate::Error;

pub(crate) const AUTHORIZATION: &str = "authorization";

/// Gives the key to send with the next call.
pub(crate) type KeySource = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

#[derive(Clone, Default)]
pub(crate) struct Credentials {
    metadata: MetadataMap,
    source: Option<KeySource>,
}

/// Shows nothing: it is secret.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

impl Credentials {
    /// Fails for metadata that cannot be sent.
    pub(crate) fn new(metadata: &[(String, String)], source: Option<KeySource>) -> Result<Self, Error> {
        let mut all = MetadataMap::new();
        for (key, value) in metadata {
            let name = AsciiMetadataKey::from_bytes(key.as_bytes()).map_err(|_| unfit(key))?;
            all.append(name, sent(key, value).ok_or_else(|| unfit(key))?);
        }
        Ok(Self { metadata: all, source })
    }

    /// For one call. Fails with UNAUTHENTICATED where there is no key to be had.
    pub(crate) fn metadata(&self) -> Result<MetadataMap, Error> {
        let mut metadata = self.metadata.clone();
        if let Some(source) = &self.source {
            let no_key = |why: &str| Error::new(Code::Unauthenticated, format!("no key: {why}"));
            let key = source().map_err(|error| no_key(&error))?;
            let value =
                sent(AUTHORIZATION, &bearer(key)).ok_or_else(|| no_key("it has characters that cannot be sent"))?;
            metadata.insert(AUTHORIZATION, value);
        }
        Ok(metadata)
    }
}

pub(crate) fn bearer(key: impl fmt::Display) -> String {
    format!("Bearer {key}")
}

fn sent(key: &str, value: &str) -> Option<AsciiMetadataValue> {
    let mut value = AsciiMetadataValue::try_from(value).ok()?;
    value.set_sensitive(key.eq_ignore_ascii_case(AUTHORIZATION));
    Some(value)
}

/// The value may be a secret: no error shows it.
fn unfit(key: &str) -> Error {
    Error::invalid(format!("metadata {key:?} cannot be sent"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn every_call_gets_the_key_of_its_time() {
        let calls = AtomicU32::new(0);
        let source: KeySource = Arc::new(move || match calls.fetch_add(1, Ordering::Relaxed) {
            2 => Err("the vault is closed".to_owned()),
            3 => Ok("secret\n".to_owned()),
            number => Ok(format!("key-{number}")),
        });
        let credentials = Credentials::new(&[], Some(source)).unwrap();
        let key = || credentials.metadata().map(|all| all.get(AUTHORIZATION).unwrap().to_str().unwrap().to_owned());
        assert_eq!((key().unwrap(), key().unwrap()), ("Bearer key-0".to_owned(), "Bearer key-1".to_owned()));
        for said in ["the vault is closed", "cannot be sent"] {
            let error = key().unwrap_err();
            assert!(error.code() == Code::Unauthenticated && error.message().contains(said), "{error}");
            assert!(!error.message().contains("secret"));
        }
    }
}
