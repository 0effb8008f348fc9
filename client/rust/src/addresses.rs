//! The addresses of a target, and those that its names have at the moment.

use std::{fmt, net::SocketAddr, time::Duration};

use tokio::net::lookup_host;
use tonic::transport::Endpoint;

use crate::{Error, target::Target};

/// How long one attempt to connect may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);
/// A connection that has been silent for this time is pinged, and closed when the answer takes longer than that. Servers
/// allow a ping every 10 seconds.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Whether connections are encrypted, and how.
#[derive(Clone, Default)]
pub(crate) struct Security {
    pub(crate) encrypted: bool,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<tonic::transport::ClientTlsConfig>,
    /// `tls` says which name the certificate has to hold.
    #[cfg(feature = "tls")]
    pub(crate) server_name: bool,
}

/// Where to connect to.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    /// As the target has it, or `ip:port` of a name that was looked up.
    pub(crate) text: String,
    pub(crate) endpoint: Endpoint,
}

/// An address, and its name in the target.
pub(crate) struct Found<'a> {
    pub(crate) text: String,
    name: &'a str,
}

pub(crate) struct Addresses {
    target: Target,
    security: Security,
    has_names: bool,
}

/// Shows nothing of TLS: keys are among it.
impl fmt::Debug for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Addresses").field("target", &self.target).finish_non_exhaustive()
    }
}

impl Addresses {
    /// Fails where nothing can be connected to with these settings.
    pub(crate) fn new(target: Target, security: Security) -> Result<Self, Error> {
        let has_names = !target.is_unix() && target.addresses.iter().any(|address| is_name(address));
        let addresses = Self { target, security, has_names };
        addresses.target.addresses.iter().try_for_each(|name| addresses.endpoint(name, name).map(drop))?;
        Ok(addresses)
    }

    /// Whether there is anything to look up.
    pub(crate) fn have_names(&self) -> bool {
        self.has_names
    }

    /// As the target has them. A name is looked up by whoever connects, who takes the first address that answers.
    pub(crate) fn as_written(&self) -> Vec<Address> {
        let found = self.target.addresses.iter().map(|name| Found { text: name.clone(), name });
        found.filter_map(|found| self.address(found)).collect()
    }

    /// Look all names up. None: one of them cannot be looked up.
    pub(crate) async fn look_up(&self) -> Option<Vec<Found<'_>>> {
        let mut all = Vec::<Found<'_>>::new();
        for name in &self.target.addresses {
            let texts = if self.has_names && is_name(name) {
                lookup_host(name).await.ok()?.map(|address| address.to_string()).collect()
            } else {
                vec![name.clone()]
            };
            for text in texts {
                if all.iter().all(|found| found.text != text) {
                    all.push(Found { text, name });
                }
            }
        }
        (!all.is_empty()).then_some(all)
    }

    /// None only where `new` would have failed.
    pub(crate) fn address(&self, found: Found<'_>) -> Option<Address> {
        let endpoint = self.endpoint(&found.text, found.name).ok()?;
        Some(Address { text: found.text, endpoint })
    }

    /// name: what the server is called there, in requests and in its certificate.
    fn endpoint(&self, address: &str, name: &str) -> Result<Endpoint, Error> {
        let invalid = |error: &dyn fmt::Display| Error::invalid(format!("target {name:?}: {error}"));
        let scheme = if self.security.encrypted { "https://" } else { "http://" };
        let uri = |address: &str| if self.target.is_unix() { address.to_owned() } else { format!("{scheme}{address}") };
        let mut endpoint = Endpoint::from_shared(uri(address))
            .map_err(|error| invalid(&error))?
            .connect_timeout(ATTEMPT_TIMEOUT)
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .tcp_nodelay(true);
        let looked_up = address != name;
        if looked_up {
            endpoint = endpoint.origin(uri(name).parse().map_err(|error| invalid(&error))?);
        }
        self.secured(endpoint, looked_up.then(|| host(name)))
    }

    #[cfg(feature = "tls")]
    fn secured(&self, endpoint: Endpoint, name: Option<&str>) -> Result<Endpoint, Error> {
        let Security { encrypted, tls, server_name } = &self.security;
        if !encrypted {
            return match tls {
                None => Ok(endpoint),
                Some(_) => {
                    let uri = endpoint.uri();
                    Err(Error::invalid(format!("TLS settings, and a target that is not https: {uri}")))
                }
            };
        }
        let tls = tls.clone().unwrap_or_else(|| tonic::transport::ClientTlsConfig::new().with_native_roots());
        let tls = match name {
            Some(name) if !server_name => tls.domain_name(name),
            _ => tls,
        };
        endpoint.tls_config(tls).map_err(|error| Error::invalid(format!("TLS settings: {error}")))
    }

    #[cfg(not(feature = "tls"))]
    fn secured(&self, endpoint: Endpoint, _: Option<&str>) -> Result<Endpoint, Error> {
        if self.security.encrypted {
            return Err(Error::invalid("https needs the feature `tls`"));
        }
        Ok(endpoint)
    }
}

fn is_name(address: &str) -> bool {
    address.parse::<SocketAddr>().is_err()
}

fn host(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(host, _)| host)
}
