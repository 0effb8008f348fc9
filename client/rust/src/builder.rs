//! The settings of a client.

use std::{
    fmt::{self, Display},
    sync::Arc,
    time::Duration,
};

use tonic::metadata::MetadataMap;

use crate::{
    Client, DeltaPolicy, Error, RetryPolicy,
    addresses::{Addresses, Security},
    client::Shared,
    credentials::{self, Credentials, KeySource},
    limiter::Limiter,
    memory::Memory,
    observing::{CallReport, Hooks},
    save_ids::SaveIds,
    save_streams::SaveStreams,
    target::Target,
    transport::Transport,
    turns::Turns,
};

const TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1500);
const MAX_SAVES: usize = 1024;
const MAX_BYTES: usize = 32 * 1024 * 1024;

/// Settings of a [`Client`]; made by [`Client::builder`].
///
/// ```no_run
/// # fn run() -> Result<(), lockstitch::Error> {
/// use lockstitch::Client;
/// let client = Client::builder("127.0.0.1:50051").timeout(std::time::Duration::from_secs(5)).build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct Builder {
    target: String,
    metadata: Vec<(String, String)>,
    timeout: Duration,
    connect_timeout: Duration,
    retry: Option<RetryPolicy>,
    delta: Option<DeltaPolicy>,
    stream: bool,
    insecure: bool,
    max_in_flight: (usize, usize),
    key_source: Option<KeySource>,
    hooks: Hooks,
    security: Security,
}

/// Shows no metadata: a key is among it.
impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("target", &self.target).field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Builder {
    pub(crate) fn new(target: String) -> Self {
        Self {
            target,
            metadata: Vec::new(),
            timeout: TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
            retry: Some(RetryPolicy::default()),
            delta: Some(DeltaPolicy::default()),
            stream: true,
            insecure: false,
            max_in_flight: (MAX_SAVES, MAX_BYTES),
            key_source: None,
            hooks: Hooks::default(),
            security: Security::default(),
        }
    }

    /// The API key, or any other bearer token: every call carries `authorization: Bearer <key>`.
    ///
    /// Without TLS the key would be sent in clear text. [`build`](Self::build) refuses that, except for Unix sockets and the
    /// loopback interface. See [`insecure`](Self::insecure).
    ///
    /// ```no_run
    /// # fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let key = std::env::var("LOCKSTITCH_API_KEY")?;
    /// let client = lockstitch::Client::builder("https://lockstitch:50051").bearer(key).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn bearer(self, key: impl Display) -> Self {
        self.metadata(credentials::AUTHORIZATION, credentials::bearer(key))
    }

    /// A source of keys that change, such as tokens that expire. Every call asks `source` for its key. `source` must return
    /// at once: let a background task renew the key, and `source` read it. If `source` fails, the call fails with
    /// UNAUTHENTICATED.
    ///
    /// ```no_run
    /// # fn run() -> Result<(), lockstitch::Error> {
    /// let token = || std::fs::read_to_string("/run/secrets/token").map(|text| text.trim().to_owned());
    /// let client = lockstitch::Client::builder("https://lockstitch:50051").bearer_source(token).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn bearer_source<E: Display>(mut self, source: impl Fn() -> Result<String, E> + Send + Sync + 'static) -> Self {
        self.key_source = Some(Arc::new(move || source().map_err(|error| error.to_string())));
        self
    }

    /// Whether a key may be sent to another machine without TLS, for example because a service mesh encrypts the
    /// connection; false by default.
    pub fn insecure(mut self, allow: bool) -> Self {
        self.insecure = allow;
        self
    }

    /// The tenant to act for, if the credentials allow several tenants.
    pub fn tenant(self, tenant: impl Into<String>) -> Self {
        self.metadata("lockstitch-tenant", tenant)
    }

    /// Add a metadata entry to every call.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.push((key.into(), value.into()));
        self
    }

    /// Let a function change the metadata of every call. Its first argument is the method, such as
    /// "lockstitch.v1.CheckpointService/Save". A stream of saves is one call.
    ///
    /// ```no_run
    /// # fn run() -> Result<(), lockstitch::Error> {
    /// let client = lockstitch::Client::builder("127.0.0.1:50051")
    ///     .intercept(|_method, metadata| drop(metadata.insert("x-request-source", "worker".parse().expect("ASCII"))))
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn intercept(mut self, act: impl Fn(&str, &mut MetadataMap) + Send + Sync + 'static) -> Self {
        self.hooks.intercept = Some(Arc::new(act));
        self
    }

    /// Pass a report of every completed call and save to a function, for metrics.
    ///
    /// ```no_run
    /// # fn run() -> Result<(), lockstitch::Error> {
    /// let client = lockstitch::Client::builder("127.0.0.1:50051")
    ///     .observe(|call| println!("{} took {:?}: {:?}", call.method, call.duration, call.code))
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn observe(mut self, act: impl Fn(&CallReport) + Send + Sync + 'static) -> Self {
        self.hooks.observe = Some(Arc::new(act));
        self
    }

    /// Maximum duration of a call with all its retries; 30 seconds by default. Of a stream: maximum time without a message.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long calls wait for the client's first connection before they fail with UNAVAILABLE; 1.5 seconds by default.
    /// Once the client has been connected, calls wait for an unavailable server until their timeout.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How calls are retried. `None`: calls are not retried.
    ///
    /// ```no_run
    /// # fn run() -> Result<(), lockstitch::Error> {
    /// use lockstitch::{Client, RetryPolicy};
    /// let retry = RetryPolicy::default().max_backoff(std::time::Duration::from_secs(1));
    /// let client = Client::builder("127.0.0.1:50051").retry(retry).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn retry(mut self, policy: impl Into<Option<RetryPolicy>>) -> Self {
        self.retry = policy.into();
        self
    }

    /// How many states the client remembers, to send only changes. `None`: saves send whole states.
    pub fn delta(mut self, policy: impl Into<Option<DeltaPolicy>>) -> Self {
        self.delta = policy.into();
        self
    }

    /// Maximum number of saves in flight, and of their bytes; 1,024 and 32 MiB by default. Further saves wait in the order
    /// of the calls. A save with more bytes than that is sent alone. A save counts until its bytes have left memory.
    pub fn max_in_flight(mut self, saves: usize, bytes: usize) -> Self {
        self.max_in_flight = (saves, bytes);
        self
    }

    /// Whether concurrent saves share streams; true by default.
    pub fn stream(mut self, stream: bool) -> Self {
        self.stream = stream;
        self
    }

    /// Trust the certificate authorities in this PEM text, instead of those that the system trusts. Needs the feature `tls`.
    #[cfg(feature = "tls")]
    pub fn ca_certificate(self, pem: impl AsRef<[u8]>) -> Self {
        self.with_tls(|tls| tls.ca_certificate(tonic::transport::Certificate::from_pem(pem)))
    }

    /// Authenticate with this client certificate and its private key, both PEM text. Needs the feature `tls`.
    #[cfg(feature = "tls")]
    pub fn client_certificate(self, certificate: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        self.with_tls(|tls| tls.identity(tonic::transport::Identity::from_pem(certificate, key)))
    }

    /// The name that the server's certificate must have, if it is not the one in the target. Needs the feature `tls`.
    #[cfg(feature = "tls")]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.security.server_name = true;
        self.with_tls(|tls| tls.domain_name(name))
    }

    #[cfg(feature = "tls")]
    fn with_tls(
        mut self,
        change: impl FnOnce(tonic::transport::ClientTlsConfig) -> tonic::transport::ClientTlsConfig,
    ) -> Self {
        self.security.tls = Some(change(self.security.tls.unwrap_or_default()));
        self
    }

    /// Build the client. The first call makes the connection; nothing is sent before.
    ///
    /// Fails with INVALID_ARGUMENT if a setting is invalid, or if a key would be sent in clear text.
    pub fn build(self) -> Result<Client, Error> {
        let target = Target::parse(&self.target)?;
        self.check(&target)?;
        let credentials = Credentials::new(&self.metadata, self.key_source.clone())?;
        let encrypted = self.is_encrypted(&target);
        let mut security = self.security;
        security.encrypted = encrypted;
        let transport = Arc::new(Transport::new(
            Addresses::new(target, security)?,
            self.target.clone(),
            self.connect_timeout,
            credentials,
            self.hooks.clone(),
        ));
        let (max_saves, max_bytes) = self.max_in_flight;
        let shared = Shared {
            retry: self.retry,
            memory: self.delta.map(Memory::new),
            streams: self.stream.then(|| SaveStreams::new(Arc::clone(&transport), self.retry)),
            limiter: Limiter::new(max_saves, max_bytes),
            turns: Turns::default(),
            save_ids: SaveIds::new(),
            hooks: self.hooks,
            saving: Arc::default(),
            transport,
        };
        Ok(Client { shared: Arc::new(shared), timeout: self.timeout })
    }

    fn check(&self, target: &Target) -> Result<(), Error> {
        self.retry.map_or(Ok(()), |policy| policy.check())?;
        let (saves, bytes) = self.max_in_flight;
        if saves == 0 || bytes == 0 {
            return Err(Error::invalid(format!(
                "max_in_flight is {saves} saves and {bytes} bytes, with which nothing could be saved: set 1 or more"
            )));
        }
        for (name, duration) in [("timeout", self.timeout), ("connect_timeout", self.connect_timeout)] {
            if duration.is_zero() {
                return Err(Error::invalid(format!("{name} is 0, with which every call would fail: set 1 ms or more")));
            }
        }
        self.check_key(target)
    }

    fn check_key(&self, target: &Target) -> Result<(), Error> {
        let mut names = self.metadata.iter().map(|(name, _)| name);
        let has_key =
            self.key_source.is_some() || names.any(|name| name.eq_ignore_ascii_case(credentials::AUTHORIZATION));
        if !has_key || self.insecure || self.is_encrypted(target) || target.is_local() {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "the key would be sent to {:?} in clear text: use TLS (https://, or a certificate), or insecure(true) if the \
             network encrypts the connection",
            self.target
        )))
    }

    fn is_encrypted(&self, target: &Target) -> bool {
        !target.is_unix() && target.encrypted.unwrap_or_else(|| self.has_tls())
    }

    #[cfg(feature = "tls")]
    fn has_tls(&self) -> bool {
        self.security.tls.is_some()
    }

    #[cfg(not(feature = "tls"))]
    fn has_tls(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_does_not_travel_in_clear_text() {
        let built = |target: &str| Client::builder(target).bearer("secret").build();
        for target in ["lockstitch:50051", "10.0.0.1:50051", "http://lockstitch:50051", "dns:///lockstitch:50051"] {
            let error = built(target).unwrap_err();
            assert_eq!(error.code(), tonic::Code::InvalidArgument);
            assert!(error.message().contains("in clear text") && !error.message().contains("secret"), "{error}");
            Client::builder(target).bearer("secret").insecure(true).build().unwrap();
            Client::builder(target).build().unwrap();
        }
        let own =
            ["127.0.0.1:1", "localhost:1", "http://localhost:1", "[::1]:1", "dns:///127.0.0.1:1", "unix:///run/x"];
        for target in own {
            built(target).unwrap();
        }
        let by_name = Client::builder("lockstitch:50051").metadata("Authorization", "Bearer secret").build();
        assert!(by_name.is_err());
    }

    #[cfg(feature = "tls")]
    #[test]
    fn a_key_travels_over_tls() {
        Client::builder("https://lockstitch:50051").bearer("secret").build().unwrap();
        Client::builder("lockstitch:50051").server_name("other").bearer("secret").build().unwrap();
        assert!(Client::builder("http://lockstitch:50051").server_name("other").bearer("secret").build().is_err());
    }

    #[test]
    fn a_key_is_checked_and_shown_nowhere() {
        let builder = Client::builder("127.0.0.1:1").bearer("secret\n");
        assert!(!format!("{builder:?}").contains("secret"));
        let error = builder.build().unwrap_err();
        assert_eq!(error.message(), "metadata \"authorization\" cannot be sent");
    }
}
