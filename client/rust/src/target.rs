//! Where a server is: the forms of an address that are accepted, and whether only this machine is there.

use std::net::IpAddr;

use crate::Error;

/// How gRPC marks addresses. A name is looked up in DNS in any case.
const PREFIXES: [&str; 6] = ["https://", "http://", "dns:///", "dns:", "ipv4:", "ipv6:"];
const UNIX: &str = "unix:";

/// Addresses of one service, checked.
#[derive(Debug)]
pub(crate) struct Target {
    /// Each as `host:port`, or a Unix socket as `unix:path`.
    pub(crate) addresses: Vec<String>,
    /// What the target itself says about encryption.
    pub(crate) encrypted: Option<bool>,
}

impl Target {
    /// Fails for an address that could only be completed by guessing: one without a host or a port.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        if text.starts_with(UNIX) {
            if text.trim_start_matches(UNIX).trim_start_matches('/').is_empty() {
                return Err(refused(text, "has no path", "unix:///run/lockstitch.sock"));
            }
            return Ok(Self { addresses: vec![text.to_owned()], encrypted: None });
        }
        let prefix = PREFIXES.into_iter().find(|prefix| text.starts_with(prefix)).unwrap_or_default();
        let rest = &text[prefix.len()..];
        if let Some((scheme, _)) = rest.split_once("://") {
            let problem = format!("has the scheme {scheme:?}, which this client does not know");
            return Err(refused(text, &problem, "host:port, https://host:port or unix:///path"));
        }
        let encrypted = match prefix {
            "https://" => Some(true),
            "http://" => Some(false),
            _ => None,
        };
        let rest = if encrypted.is_some() { rest.strip_suffix('/').unwrap_or(rest) } else { rest };
        let addresses = rest.split(',').map(|address| check(text, address));
        Ok(Self { addresses: addresses.collect::<Result<_, _>>()?, encrypted })
    }

    pub(crate) fn is_unix(&self) -> bool {
        self.addresses.iter().all(|address| address.starts_with(UNIX))
    }

    /// Whether all addresses are on this machine.
    pub(crate) fn is_local(&self) -> bool {
        self.is_unix() || self.addresses.iter().all(|address| is_loopback(address))
    }
}

fn check(target: &str, address: &str) -> Result<String, Error> {
    let example = "host:port, such as 127.0.0.1:50051";
    if let Some(found) = address.chars().find(|found| "/?#@\\".contains(*found) || found.is_whitespace()) {
        return Err(refused(target, &format!("holds {found:?}"), example));
    }
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || (host.starts_with('[') && host.ends_with(']')) => (host, port),
        _ => (address, ""),
    };
    match (host, port.parse::<u16>()) {
        ("", _) => Err(refused(target, "has no host", example)),
        (_, Ok(1..)) => Ok(address.to_owned()),
        _ if port.is_empty() => Err(refused(target, "has no port", example)),
        _ => Err(refused(target, &format!("has the port {port:?}, not a number from 1 to 65535"), example)),
    }
}

fn refused(target: &str, problem: &str, instead: &str) -> Error {
    Error::invalid(format!("target {target:?} {problem}: write {instead}"))
}

fn is_loopback(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_of_addresses_are_taken() {
        for (text, addresses, encrypted) in [
            ("127.0.0.1:50051", vec!["127.0.0.1:50051"], None),
            ("dns:///lockstitch:1", vec!["lockstitch:1"], None),
            ("dns:lockstitch:1", vec!["lockstitch:1"], None),
            ("http://lockstitch:1/", vec!["lockstitch:1"], Some(false)),
            ("https://lockstitch:1", vec!["lockstitch:1"], Some(true)),
            ("[::1]:50051", vec!["[::1]:50051"], None),
            ("one:1,two:2", vec!["one:1", "two:2"], None),
            ("ipv4:10.0.0.1:1,10.0.0.2:1", vec!["10.0.0.1:1", "10.0.0.2:1"], None),
            ("unix:/run/x", vec!["unix:/run/x"], None),
        ] {
            let target = Target::parse(text).unwrap();
            assert_eq!(
                (target.addresses, target.encrypted),
                (addresses.iter().map(|a| a.to_string()).collect(), encrypted)
            );
        }
    }

    #[test]
    fn what_would_be_completed_by_guessing_is_refused() {
        for (text, said) in [
            ("", "has no host"),
            ("lockstitch", "has no port"),
            ("http://lockstitch", "has no port"),
            ("dns:///lockstitch", "has no port"),
            ("::1", "has no port"),
            ("[::1]", "has no port"),
            ("lockstitch:65536", "not a number from 1 to 65535"),
            ("lockstitch:0", "not a number from 1 to 65535"),
            (":50051", "has no host"),
            ("one:1,", "has no host"),
            ("tcp://lockstitch:1", "has the scheme \"tcp\""),
            ("http://lockstitch:1/path", "holds '/'"),
            ("user@lockstitch:1", "holds '@'"),
            (" lockstitch:1", "holds ' '"),
            ("unix:", "has no path"),
            ("unix:///", "has no path"),
        ] {
            let error = Target::parse(text).unwrap_err();
            assert_eq!(error.code(), tonic::Code::InvalidArgument);
            assert!(error.message().contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn this_machine_is_known() {
        for text in
            ["127.0.0.1:1", "localhost:1", "http://localhost:1", "[::1]:1", "dns:///127.0.0.1:1", "unix:///run/x"]
        {
            assert!(Target::parse(text).unwrap().is_local(), "{text}");
        }
        for text in ["lockstitch:1", "10.0.0.1:1", "127.0.0.1:1,10.0.0.1:1"] {
            assert!(!Target::parse(text).unwrap().is_local(), "{text}");
        }
    }
}
