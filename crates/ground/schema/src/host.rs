//! Host names and addresses with an optional port, as entities write them: `a.test`, `10.0.0.1:80`, `[::1]:8443`.

use std::net::{Ipv4Addr, Ipv6Addr};

use thiserror::Error;

/// What a host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostKind {
    Name,
    Ipv4,
    Ipv6,
}

/// A host and, if given, a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    pub kind: HostKind,
    /// Names as written; IPv4 without leading zeros; IPv6 as eight groups of four digits in brackets.
    pub host: String,
    pub port: Option<u16>,
}

/// Why a text is no host.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HostError {
    #[error("invalid hostname: {0}")]
    Name(String),
    #[error("invalid ipv4 address: {0}")]
    Ipv4(String),
    #[error("invalid ipv6 address: {0}")]
    Ipv6(String),
    #[error("invalid port number")]
    Port,
}

/// Reads a host with an optional port. More than one colon makes an IPv6 address, digits and dots alone an IPv4 one.
///
/// # Errors
/// What is wrong with the text, in the words shown to clients.
pub fn parse_host(text: &str) -> Result<HostPort, HostError> {
    if text.bytes().filter(|b| *b == b':').count() > 1 {
        return parse_ipv6(text);
    }
    let digits_and_dots = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b':');
    if digits_and_dots(text) { parse_ipv4(text) } else { parse_name(text) }
}

fn parse_port(text: &str) -> Result<u16, HostError> {
    text.parse().map_err(|_| HostError::Port)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn parse_ipv4(text: &str) -> Result<HostPort, HostError> {
    let invalid = || HostError::Ipv4(text.to_owned());
    let (address, port) = match text.split_once(':') {
        Some((address, port)) if is_digits(port) => (address, Some(port)),
        Some(_) => return Err(invalid()),
        None => (text, None),
    };
    let parts: Vec<u8> =
        address.split('.').map(|part| part.parse().map_err(|_| invalid())).collect::<Result<_, _>>()?;
    let octets: [u8; 4] = parts.try_into().map_err(|_| invalid())?;
    Ok(HostPort {
        kind: HostKind::Ipv4,
        host: Ipv4Addr::from(octets).to_string(),
        port: port.map(parse_port).transpose()?,
    })
}

fn parse_ipv6(text: &str) -> Result<HostPort, HostError> {
    let invalid = || HostError::Ipv6(text.to_owned());
    let (address, port) = match text.strip_prefix('[') {
        None => (text, None),
        Some(rest) => {
            let (address, after) = rest.split_once(']').ok_or_else(invalid)?;
            match after.strip_prefix(':') {
                Some(port) if is_digits(port) => (address, Some(port)),
                None if after.is_empty() => (address, None),
                _ => return Err(invalid()),
            }
        }
    };
    let address: Ipv6Addr = address.parse().map_err(|_| invalid())?;
    let groups: Vec<String> = address.segments().iter().map(|group| format!("{group:04x}")).collect();
    Ok(HostPort {
        kind: HostKind::Ipv6,
        host: format!("[{}]", groups.join(":")),
        port: port.map(parse_port).transpose()?,
    })
}

fn parse_name(text: &str) -> Result<HostPort, HostError> {
    let invalid = || HostError::Name(text.to_owned());
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if is_digits(port) => (name, Some(parse_port(port)?)),
        Some(_) => return Err(invalid()),
        None => (text, None),
    };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    let labels = name.strip_suffix('.').unwrap_or(name);
    let well_formed = !labels.is_empty()
        && labels.bytes().all(allowed)
        && labels.split('.').all(|label| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-'));
    if !well_formed {
        return Err(invalid());
    }
    Ok(HostPort { kind: HostKind::Name, host: name.to_owned(), port })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_addresses_and_ports() {
        let name = parse_host("a_b.test:80").unwrap();
        assert_eq!((name.kind, name.host.as_str(), name.port), (HostKind::Name, "a_b.test", Some(80)));
        let four = parse_host("10.0.0.1").unwrap();
        assert_eq!((four.kind, four.port), (HostKind::Ipv4, None));
        let six = parse_host("[::1]:8443").unwrap();
        assert_eq!((six.host.as_str(), six.port), ("[0000:0000:0000:0000:0000:0000:0000:0001]", Some(8443)));
    }

    #[test]
    fn faults_are_named() {
        assert_eq!(parse_host("a b"), Err(HostError::Name("a b".into())));
        assert_eq!(parse_host("a.test:99999"), Err(HostError::Port));
        assert_eq!(parse_host("a..b"), Err(HostError::Name("a..b".into())));
        assert_eq!(parse_host("1.2.3"), Err(HostError::Ipv4("1.2.3".into())));
        assert_eq!(parse_host("::zz"), Err(HostError::Ipv6("::zz".into())));
        assert_eq!(parse_host("-a.test"), Err(HostError::Name("-a.test".into())));
    }
}
