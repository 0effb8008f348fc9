//! How a client is set up.

use std::{
    fmt::{self, Display},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use tonic::{
    metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap},
    transport::Endpoint,
};

use crate::{
    Client, DeltaPolicy, Error, RetryPolicy, client::Shared, lanes::Lanes, memory::Memory, transport::Transport,
};

const TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1500);
/// How gRPC marks an address whose name DNS knows, as all names here.
const DNS: &str = "dns:///";
/// How long one attempt to connect may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);

/// Settings of a [`Client`]; see [`Client::builder`].
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
    #[cfg(feature = "tls")]
    tls: Option<tonic::transport::ClientTlsConfig>,
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
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// The API key, or any other bearer token: every call carries `authorization: Bearer <key>`.
    ///
    /// Without TLS it would travel in clear text: [`build`](Self::build) refuses that, except for Unix sockets and the
    /// loopback interface. See [`insecure`](Self::insecure).
    pub fn bearer(self, key: impl Display) -> Self {
        self.metadata("authorization", format!("Bearer {key}"))
    }

    /// Whether a key may be sent to another machine without TLS, as where a mesh encrypts the connection.
    pub fn insecure(mut self, allow: bool) -> Self {
        self.insecure = allow;
        self
    }

    /// The tenant to act for, where the credentials allow several.
    pub fn tenant(self, tenant: impl Into<String>) -> Self {
        self.metadata("lockstitch-tenant", tenant)
    }

    /// An entry for every call to carry.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.push((key.into(), value.into()));
        self
    }

    /// How long a call may take, retries and all; 30 seconds unless told. Of a stream: how long nothing may come.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long calls wait for the client's first connection before they fail with UNAVAILABLE; 1.5 seconds by default.
    /// Once the client has been connected, calls wait for a server that is away until their timeout.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How calls are repeated; `None`: not at all.
    pub fn retry(mut self, policy: impl Into<Option<RetryPolicy>>) -> Self {
        self.retry = policy.into();
        self
    }

    /// How much to remember so that saves send what changed; `None`: always whole states.
    pub fn delta(mut self, policy: impl Into<Option<DeltaPolicy>>) -> Self {
        self.delta = policy.into();
        self
    }

    /// Whether concurrent saves share streams; true unless told.
    pub fn stream(mut self, stream: bool) -> Self {
        self.stream = stream;
        self
    }

    /// Trust the authorities in this PEM text instead of those that the system trusts.
    #[cfg(feature = "tls")]
    pub fn ca_certificate(self, pem: impl AsRef<[u8]>) -> Self {
        self.with_tls(|tls| tls.ca_certificate(tonic::transport::Certificate::from_pem(pem)))
    }

    /// Show this certificate and prove it with this key, both PEM text.
    #[cfg(feature = "tls")]
    pub fn client_certificate(self, certificate: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        self.with_tls(|tls| tls.identity(tonic::transport::Identity::from_pem(certificate, key)))
    }

    /// The name that the server's certificate has to hold, where it is not the one in the target.
    #[cfg(feature = "tls")]
    pub fn server_name(self, name: impl Into<String>) -> Self {
        self.with_tls(|tls| tls.domain_name(name))
    }

    #[cfg(feature = "tls")]
    fn with_tls(
        mut self,
        change: impl FnOnce(tonic::transport::ClientTlsConfig) -> tonic::transport::ClientTlsConfig,
    ) -> Self {
        self.tls = Some(change(self.tls.unwrap_or_default()));
        self
    }

    /// The client. Nothing is sent before its first call, which also makes the connection.
    ///
    /// Fails with INVALID_ARGUMENT where a setting makes no sense, and where a key would be sent in clear text.
    pub fn build(self) -> Result<Client, Error> {
        self.check_key()?;
        let transport =
            Arc::new(Transport::new(self.endpoint()?, self.target.clone(), self.connect_timeout, self.all_metadata()?));
        let lanes = self.stream.then(|| Lanes::new(Arc::clone(&transport), self.retry));
        let memory = self.delta.map(Memory::new);
        let shared = Shared { transport, retry: self.retry, memory, lanes, saving: Arc::default() };
        Ok(Client { shared: Arc::new(shared), timeout: self.timeout })
    }

    fn check_key(&self) -> Result<(), Error> {
        let has_key = self.metadata.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        if !has_key || self.insecure || self.is_encrypted() || is_local(&self.target) {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "the key would be sent to {:?} in clear text: use TLS (https://, or a certificate), or insecure(true) if the \
             network encrypts the connection",
            self.target
        )))
    }

    fn is_encrypted(&self) -> bool {
        self.target.starts_with("https://") || (!self.target.starts_with("http://") && self.scheme() == "https://")
    }

    fn endpoint(&self) -> Result<Endpoint, Error> {
        check_target(&self.target)?;
        let named = self.target.strip_prefix(DNS).unwrap_or(&self.target);
        let known = ["http://", "https://", "unix:"].iter().any(|scheme| named.starts_with(scheme));
        let target = if known { named.to_owned() } else { format!("{}{named}", self.scheme()) };
        let endpoint = Endpoint::from_shared(target.clone())
            .map_err(|error| Error::invalid(format!("target {:?}: {error}", self.target)))?
            .connect_timeout(ATTEMPT_TIMEOUT)
            .tcp_nodelay(true);
        self.secured(endpoint, &target)
    }

    #[cfg(feature = "tls")]
    fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https://" } else { "http://" }
    }

    #[cfg(not(feature = "tls"))]
    fn scheme(&self) -> &'static str {
        "http://"
    }

    #[cfg(feature = "tls")]
    fn secured(&self, endpoint: Endpoint, target: &str) -> Result<Endpoint, Error> {
        if !target.starts_with("https://") {
            return match self.tls {
                None => Ok(endpoint),
                Some(_) => Err(Error::invalid(format!("TLS settings, and a target that is not https: {target:?}"))),
            };
        }
        let tls = self.tls.clone().unwrap_or_else(|| tonic::transport::ClientTlsConfig::new().with_native_roots());
        endpoint.tls_config(tls).map_err(|error| Error::invalid(format!("TLS settings: {error}")))
    }

    #[cfg(not(feature = "tls"))]
    fn secured(&self, endpoint: Endpoint, target: &str) -> Result<Endpoint, Error> {
        if target.starts_with("https://") {
            return Err(Error::invalid("https needs the feature `tls`"));
        }
        Ok(endpoint)
    }

    fn all_metadata(&self) -> Result<MetadataMap, Error> {
        let mut all = MetadataMap::new();
        for (key, value) in &self.metadata {
            // The value may be a secret: no error shows it.
            let invalid = |_| Error::invalid(format!("metadata {key:?} cannot be sent"));
            let name = AsciiMetadataKey::from_bytes(key.as_bytes()).map_err(|_| invalid(()))?;
            let mut value = AsciiMetadataValue::try_from(value.as_str()).map_err(|_| invalid(()))?;
            value.set_sensitive(key.eq_ignore_ascii_case("authorization"));
            all.append(name, value);
        }
        Ok(all)
    }
}

/// Whether a target is on this machine.
fn is_local(target: &str) -> bool {
    if target.starts_with("unix:") {
        return true;
    }
    let address = ["http://", DNS].iter().find_map(|scheme| target.strip_prefix(scheme)).unwrap_or(target);
    let address = address.split('/').next().unwrap_or_default();
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip.is_loopback())
}

/// Fails for an address that could only be completed by guessing: one without a host or a port.
fn check_target(target: &str) -> Result<(), Error> {
    if target.starts_with("unix:") {
        return Ok(());
    }
    let address = ["http://", "https://", DNS].iter().find_map(|scheme| target.strip_prefix(scheme)).unwrap_or(target);
    let address = address.split('/').next().unwrap_or_default();
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.starts_with('[') => (host, port),
        _ => (address, ""),
    };
    let refused =
        |what: &str| Err(Error::invalid(format!("target {target:?} {what}: write host:port, such as 127.0.0.1:50051")));
    match (host, port.parse::<u16>()) {
        ("", _) => refused("has no host"),
        (_, Ok(1..)) => Ok(()),
        _ => refused("has no port"),
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
