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
