//! The PROXY protocol, versions 1 and 2: who the client was before a load balancer stood in between.
//!
//! The parser is pure and strict: a listener that expects the header gets it or closes, because a header that
//! is read leniently lets a client choose its own address. Whom to believe is the caller's decision.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::time::{Instant, timeout_at};

use crate::socket::Socket;

/// The longest header taken, extensions included. Version 1 ends at 107 bytes; version 2 could claim 64 KiB, of
/// which no sender uses more than a few hundred (nginx draws the line here too).
pub const HEADER_LIMIT: usize = 4096;

const V1_LIMIT: usize = 107;
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyVersion {
    V1,
    V2,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Stream,
    Datagram,
}

/// Whom the header names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyAddresses {
    /// The sender speaks for itself (health checks), or does not know: the socket's own addresses hold.
    Unknown,
    Ip {
        transport: Transport,
        source: SocketAddr,
        destination: SocketAddr,
    },
    /// A unix socket on the sender's machine.
    Unix,
}

/// A PROXY protocol header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyHeader {
    pub version: ProxyVersion,
    pub addresses: ProxyAddresses,
    /// Version 2 extensions as they came: type, length, value, well-formed.
    extensions: Vec<u8>,
}

/// Why bytes are no PROXY protocol header.
#[derive(Debug, thiserror::Error)]
pub enum ProxyHeaderError {
    #[error("the connection does not begin with a PROXY protocol header")]
    Missing,
    #[error("PROXY protocol header: {0}")]
    Malformed(&'static str),
    #[error("no complete PROXY protocol header in the time allowed")]
    Timeout,
    #[error("the connection ended within the PROXY protocol header")]
    Ended,
    #[error("reading the PROXY protocol header: {0}")]
    Io(#[from] std::io::Error),
}

/// The verdict on the first bytes of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    Complete {
        header: ProxyHeader,
        /// How many bytes the header took.
        length: usize,
    },
    NeedMore,
}

/// Examines the first bytes of a connection.
pub fn parse_proxy_header(bytes: &[u8]) -> Result<Parsed, ProxyHeaderError> {
    if bytes.starts_with(V2_SIGNATURE) {
        parse_v2(bytes)
    } else if bytes.starts_with(b"PROXY ") {
        parse_v1(bytes)
    } else if V2_SIGNATURE.starts_with(bytes) || b"PROXY ".starts_with(bytes) {
        Ok(Parsed::NeedMore)
    } else {
        Err(ProxyHeaderError::Missing)
    }
}

fn parse_v1(bytes: &[u8]) -> Result<Parsed, ProxyHeaderError> {
    use ProxyHeaderError::Malformed;
    let window = bytes.get(..V1_LIMIT).unwrap_or(bytes);
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() < V1_LIMIT {
            Ok(Parsed::NeedMore)
        } else {
            Err(Malformed("line longer than 107 bytes"))
        };
    };
    let line = window.get(..end).and_then(|line| std::str::from_utf8(line).ok()).ok_or(Malformed("not ASCII"))?;
    let mut words = line.split(' ').skip(1);
    let addresses = match words.next() {
        // Whatever follows UNKNOWN is to be ignored.
        Some("UNKNOWN") => ProxyAddresses::Unknown,
        Some("TCP4") => v1_addresses(words, |text| text.parse::<Ipv4Addr>().ok().map(IpAddr::V4))?,
        Some("TCP6") => v1_addresses(words, |text| text.parse::<Ipv6Addr>().ok().map(IpAddr::V6))?,
        _ => return Err(Malformed("protocol is none of TCP4, TCP6, UNKNOWN")),
    };
    let header = ProxyHeader { version: ProxyVersion::V1, addresses, extensions: Vec::new() };
    Ok(Parsed::Complete { header, length: end + 2 })
}

fn v1_addresses<'a>(
    mut words: impl Iterator<Item = &'a str>,
    address: impl Fn(&str) -> Option<IpAddr>,
) -> Result<ProxyAddresses, ProxyHeaderError> {
    use ProxyHeaderError::Malformed;
    let mut next_address = || words.next().and_then(&address).ok_or(Malformed("bad address"));
    let (source, destination) = (next_address()?, next_address()?);
    let mut next_port = || words.next().and_then(v1_port).ok_or(Malformed("bad port"));
    let (source_port, destination_port) = (next_port()?, next_port()?);
    if words.next().is_some() {
        return Err(Malformed("text after the last port"));
    }
    Ok(ProxyAddresses::Ip {
        transport: Transport::Stream,
        source: SocketAddr::new(source, source_port),
        destination: SocketAddr::new(destination, destination_port),
    })
}

/// Decimal without sign or leading zeros.
fn v1_port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

fn parse_v2(bytes: &[u8]) -> Result<Parsed, ProxyHeaderError> {
    use ProxyHeaderError::Malformed;
    let Some((&[command, family, high, low], rest)) =
        bytes.get(V2_SIGNATURE.len()..).and_then(<[u8]>::split_first_chunk::<4>)
    else {
        return Ok(Parsed::NeedMore);
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let whole = V2_SIGNATURE.len() + 4 + length;
    if whole > HEADER_LIMIT {
        return Err(Malformed("longer than 4096 bytes"));
    }
    let local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(Malformed("unknown version or command")),
    };
    let transport = match family & 0x0f {
        0 | 1 => Transport::Stream,
        2 => Transport::Datagram,
        _ => return Err(Malformed("unknown transport")),
    };
    let Some(payload) = rest.get(..length) else { return Ok(Parsed::NeedMore) };
    let (addresses, extensions) = match family >> 4 {
        0 => (ProxyAddresses::Unknown, payload),
        1 => v2_addresses::<4>(payload, transport)?,
        2 => v2_addresses::<16>(payload, transport)?,
        3 => (ProxyAddresses::Unix, payload.get(216..).ok_or(Malformed("unix addresses cut short"))?),
        _ => return Err(Malformed("unknown address family")),
    };
    let addresses = if local || family & 0x0f == 0 { ProxyAddresses::Unknown } else { addresses };
    let known = family >> 4 != 0;
    if known && !well_formed(extensions) {
        return Err(Malformed("extensions cut short"));
    }
    let extensions = if known { extensions.to_vec() } else { Vec::new() };
    Ok(Parsed::Complete { header: ProxyHeader { version: ProxyVersion::V2, addresses, extensions }, length: whole })
}

fn v2_addresses<const N: usize>(
    payload: &[u8],
    transport: Transport,
) -> Result<(ProxyAddresses, &[u8]), ProxyHeaderError>
where
    IpAddr: From<[u8; N]>,
{
    let split = || {
        let (source, rest) = payload.split_first_chunk::<N>()?;
        let (destination, rest) = rest.split_first_chunk::<N>()?;
        let (&source_port, rest) = rest.split_first_chunk::<2>()?;
        let (&destination_port, rest) = rest.split_first_chunk::<2>()?;
        let source = SocketAddr::new(IpAddr::from(*source), u16::from_be_bytes(source_port));
        let destination = SocketAddr::new(IpAddr::from(*destination), u16::from_be_bytes(destination_port));
        Some((ProxyAddresses::Ip { transport, source, destination }, rest))
    };
    split().ok_or(ProxyHeaderError::Malformed("addresses cut short"))
}

fn well_formed(extensions: &[u8]) -> bool {
    let mut rest = extensions;
    while !rest.is_empty() {
        match next_extension(rest) {
            Some((_, _, after)) => rest = after,
            None => return false,
        }
    }
    true
}

fn next_extension(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[kind, high, low], rest) = bytes.split_first_chunk::<3>()?;
    let (value, after) = rest.split_at_checked(usize::from(u16::from_be_bytes([high, low])))?;
    Some((kind, value, after))
}

impl ProxyHeader {
    /// A header for a connection between these two, to be sent to an upstream.
    pub fn new(version: ProxyVersion, transport: Transport, source: SocketAddr, destination: SocketAddr) -> Self {
        Self { version, addresses: ProxyAddresses::Ip { transport, source, destination }, extensions: Vec::new() }
    }

    /// A header that names nobody: the sender speaks for itself, or the client came over a unix socket.
    pub fn unknown(version: ProxyVersion) -> Self {
        Self { version, addresses: ProxyAddresses::Unknown, extensions: Vec::new() }
    }

    /// The value of a version 2 extension (for example 0x02, the server name the client asked for).
    pub fn extension(&self, kind: u8) -> Option<&[u8]> {
        let mut rest = self.extensions.as_slice();
        while let Some((found, value, after)) = next_extension(rest) {
            if found == kind {
                return Some(value);
            }
            rest = after;
        }
        None
    }

    /// Appends the header as it goes over the wire.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self.version {
            ProxyVersion::V1 => self.encode_v1(out),
            ProxyVersion::V2 => self.encode_v2(out),
        }
    }

    fn encode_v1(&self, out: &mut Vec<u8>) {
        use std::io::Write;
        let (source, destination) = match self.addresses {
            ProxyAddresses::Ip { source, destination, transport: Transport::Stream } => {
                same_family(source, destination)
            }
            _ => {
                out.extend_from_slice(b"PROXY UNKNOWN\r\n");
                return;
            }
        };
        let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
        // Writing to a vector cannot fail.
        let _ = write!(
            out,
            "PROXY {family} {} {} {} {}\r\n",
            source.ip(),
            destination.ip(),
            source.port(),
            destination.port()
        );
    }

    fn encode_v2(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(V2_SIGNATURE);
        let ProxyAddresses::Ip { transport, source, destination } = self.addresses else {
            out.extend_from_slice(&[0x20, 0x00, 0, 0]);
            return;
        };
        let (source, destination) = same_family(source, destination);
        let protocol = if transport == Transport::Stream { 1 } else { 2 };
        let (family, size) = if source.is_ipv4() { (0x10, 12) } else { (0x20, 36) };
        out.extend_from_slice(&[0x21, family | protocol, 0, size]);
        for address in [source.ip(), destination.ip()] {
            match address {
                IpAddr::V4(v4) => out.extend_from_slice(&v4.octets()),
                IpAddr::V6(v6) => out.extend_from_slice(&v6.octets()),
            }
        }
        out.extend_from_slice(&source.port().to_be_bytes());
        out.extend_from_slice(&destination.port().to_be_bytes());
    }
}

/// The header has one family for both ends: an IPv4 end beside an IPv6 one is written as a mapped address.
fn same_family(source: SocketAddr, destination: SocketAddr) -> (SocketAddr, SocketAddr) {
    if source.is_ipv4() == destination.is_ipv4() {
        return (source, destination);
    }
    let widen = |address: SocketAddr| match address.ip() {
        IpAddr::V4(v4) => SocketAddr::new(v4.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    };
    (widen(source), widen(destination))
}

/// Reads the header a connection must begin with and keeps it in the socket; bytes behind it are read next.
pub async fn read_proxy_header(socket: &mut Socket, deadline: Instant) -> Result<(), ProxyHeaderError> {
    loop {
        if let Parsed::Complete { header, length } = parse_proxy_header(socket.ahead())? {
            socket.consume_ahead(length);
            socket.set_proxy_header(header);
            return Ok(());
        }
        let read = timeout_at(deadline, socket.read_ahead()).await.map_err(|_| ProxyHeaderError::Timeout)?;
        if read? == 0 {
            return Err(ProxyHeaderError::Ended);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn complete(bytes: &[u8]) -> (ProxyHeader, usize) {
        match parse_proxy_header(bytes) {
            Ok(Parsed::Complete { header, length }) => (header, length),
            other => panic!("{other:?} for {bytes:?}"),
        }
    }

    fn stream(source: &str, destination: &str) -> ProxyAddresses {
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        ProxyAddresses::Ip { transport: Transport::Stream, source, destination }
    }

    fn v2(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [V2_SIGNATURE.as_slice(), &[command, family], &length, payload].concat()
    }

    #[test]
    fn version_1_names_both_ends_and_leaves_the_rest() {
        let (header, length) = complete(b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\nGET /");
        assert_eq!(header.addresses, stream("192.0.2.1:56324", "198.51.100.2:443"));
        assert_eq!(length, 45);
        let (header, _) = complete(b"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n");
        assert_eq!(header.addresses, stream("[2001:db8::1]:1", "[::1]:65535"));
        let (header, _) = complete(b"PROXY UNKNOWN whatever follows\r\n");
        assert_eq!(header.addresses, ProxyAddresses::Unknown);
        assert_eq!(complete(b"PROXY UNKNOWN\r\n").0, ProxyHeader::unknown(ProxyVersion::V1));
    }

    #[test]
    fn version_1_is_read_strictly() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
        for line in [
            "PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 \r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 056324 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 +5 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 65536 443\r\n",
            "PROXY TCP4 192.0.2.01 198.51.100.2 1 443\r\n",
            "PROXY TCP4  192.0.2.1 198.51.100.2 1 443\r\n",
            "PROXY TCP4 ::1 ::1 1 443\r\n",
            "PROXY TCP6 192.0.2.1 198.51.100.2 1 443\r\n",
            "PROXY UDP4 192.0.2.1 198.51.100.2 1 443\r\n",
            "PROXY \r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 1 443\n\r\n",
            long.as_str(),
        ] {
            assert!(matches!(parse_proxy_header(line.as_bytes()), Err(ProxyHeaderError::Malformed(_))), "{line}");
        }
    }

    #[test]
    fn anything_else_is_no_header() {
        for bytes in [b"GET / HTTP/1.1\r\n".as_slice(), b"proxy TCP4", b"PROXYTCP4", b"\r\n\r\n\0\r\nQUIX", b"\x16\x03"]
        {
            assert!(matches!(parse_proxy_header(bytes), Err(ProxyHeaderError::Missing)));
        }
        assert_eq!(parse_proxy_header(b"").unwrap(), Parsed::NeedMore);
    }

    #[test]
    fn version_2_carries_extensions() {
        let payload =
            [[192, 0, 2, 1, 198, 51, 100, 2, 0, 80, 1, 187].as_slice(), b"\x02\x00\x06a.test\x04\x00\x00"].concat();
        let (header, length) = complete(&v2(0x21, 0x11, &payload));
        assert_eq!(header.addresses, stream("192.0.2.1:80", "198.51.100.2:443"));
        assert_eq!(length, 16 + payload.len());
        assert_eq!(header.extension(2), Some(b"a.test".as_slice()));
        assert_eq!(header.extension(4), Some(b"".as_slice()));
        assert_eq!(header.extension(1), None);
    }

    #[test]
    fn version_2_local_unspecified_and_unix_headers_name_no_address() {
        assert_eq!(complete(&v2(0x20, 0x00, b"")).0.addresses, ProxyAddresses::Unknown);
        assert_eq!(complete(&v2(0x20, 0x11, &[0; 12])).0.addresses, ProxyAddresses::Unknown);
        assert_eq!(complete(&v2(0x21, 0x00, b"junk that is skipped")).0.addresses, ProxyAddresses::Unknown);
        assert_eq!(complete(&v2(0x21, 0x31, &[0; 216])).0.addresses, ProxyAddresses::Unix);
    }

    #[test]
    fn version_2_is_read_strictly() {
        for bytes in [
            v2(0x11, 0x11, &[0; 12]),  // version 1 in version 2's clothes
            v2(0x22, 0x11, &[0; 12]),  // no such command
            v2(0x21, 0x41, &[0; 12]),  // no such family
            v2(0x21, 0x13, &[0; 12]),  // no such transport
            v2(0x21, 0x11, &[0; 11]),  // addresses cut short
            v2(0x21, 0x21, &[0; 35]),  // likewise
            v2(0x21, 0x31, &[0; 215]), // likewise
            v2(0x21, 0x11, &[0; 14]),  // an extension of two bytes
            v2(0x21, 0x11, &[[0; 12].as_slice(), &[1, 0, 9, 0]].concat()), // one that claims more than there is
            v2(0x21, 0x11, &[0; 5000]), // above the limit
        ] {
            assert!(matches!(parse_proxy_header(&bytes), Err(ProxyHeaderError::Malformed(_))), "{bytes:02x?}");
        }
    }

    #[test]
    fn ends_of_different_families_are_written_in_one() {
        let header = |version| {
            let (source, destination) = ("192.0.2.1:1".parse().unwrap(), "[::1]:2".parse().unwrap());
            let mut out = Vec::new();
            ProxyHeader::new(version, Transport::Stream, source, destination).encode(&mut out);
            complete(&out).0.addresses
        };
        let expected = stream("[::ffff:192.0.2.1]:1", "[::1]:2");
        assert_eq!(header(ProxyVersion::V1), expected);
        assert_eq!(header(ProxyVersion::V2), expected);
    }

    fn address() -> impl Strategy<Value = SocketAddr> {
        prop_oneof![
            (any::<[u8; 4]>(), any::<u16>()).prop_map(SocketAddr::from),
            (any::<[u16; 8]>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(Ipv6Addr::from(ip).into(), port)),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_and_no_prefix_of_it(source in address(), destination in address(), second: bool) {
            let version = if second { ProxyVersion::V2 } else { ProxyVersion::V1 };
            let mut bytes = Vec::new();
            ProxyHeader::new(version, Transport::Stream, source, destination).encode(&mut bytes);
            let (header, length) = complete(&bytes);
            let (source, destination) = same_family(source, destination);
            prop_assert_eq!(header.addresses, ProxyAddresses::Ip { transport: Transport::Stream, source, destination });
            prop_assert_eq!(length, bytes.len());
            for end in 0..bytes.len() {
                prop_assert_eq!(parse_proxy_header(&bytes[..end]).unwrap(), Parsed::NeedMore);
            }
        }

        #[test]
        fn any_bytes_get_a_verdict_within_the_limit(
            start in prop_oneof![Just(b"PROXY ".as_slice()), Just(V2_SIGNATURE.as_slice()), Just(b"".as_slice())],
            rest in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let bytes = [start, &rest].concat();
            if let Ok(Parsed::Complete { length, .. }) = parse_proxy_header(&bytes) {
                prop_assert!(length <= bytes.len() && length <= HEADER_LIMIT);
            }
        }
    }
}
