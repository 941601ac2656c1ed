//! Reads a TLS ClientHello from raw bytes, so that a connection can be routed by server name without being
//! terminated. A pure parser: it validates only what it needs and never trusts a length.

use crate::certificate::KeyType;

/// How many bytes of a connection are examined before it counts as "not TLS". Real greetings, post-quantum
/// key shares included, stay under 4 KiB; the bound keeps a slow sender from holding memory.
pub const HELLO_LIMIT: usize = 16 * 1024;

/// What a client says of itself before any secret is shared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// The server name asked for (RFC 6066): lower case, without a trailing dot; never an address.
    pub sni: Option<String>,
    /// Application protocols in the client's order (RFC 7301).
    pub alpn: Vec<Vec<u8>>,
    /// Signature schemes (RFC 8446, section 4.2.3) by number, in the client's order.
    pub signature_schemes: Vec<u16>,
}

impl ClientHello {
    /// Whether the client can verify a signature by such a key.
    pub fn accepts(&self, kind: KeyType) -> bool {
        self.signature_schemes.iter().any(|scheme| scheme_kind(*scheme) == Some(kind))
    }
}

fn scheme_kind(scheme: u16) -> Option<KeyType> {
    match scheme {
        0x0401 | 0x0501 | 0x0601 | 0x0804..=0x0806 => Some(KeyType::Rsa),
        0x0403 | 0x0503 | 0x0603 => Some(KeyType::Ecdsa),
        0x0807 => Some(KeyType::Ed25519),
        _ => None,
    }
}

/// The verdict on the first bytes of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peeked {
    /// The whole greeting is there.
    Complete(ClientHello),
    /// It may be a greeting; more bytes are needed.
    NeedMore,
    /// It is no TLS greeting, or a longer one than [`HELLO_LIMIT`].
    NotTls,
}

/// Examines the first bytes of a connection. The bytes are not consumed.
pub fn client_hello(bytes: &[u8]) -> Peeked {
    let verdict = match handshake_bytes(bytes) {
        Ok(Some(message)) => match parse_message(&message) {
            Some(hello) => Peeked::Complete(hello),
            None => Peeked::NotTls,
        },
        Ok(None) => Peeked::NeedMore,
        Err(NotTls) => Peeked::NotTls,
    };
    if verdict == Peeked::NeedMore && bytes.len() >= HELLO_LIMIT { Peeked::NotTls } else { verdict }
}

struct NotTls;

const RECORD_HANDSHAKE: u8 = 22;
const MESSAGE_CLIENT_HELLO: u8 = 1;
const MAX_RECORD: usize = 16 * 1024;

/// The body of the first handshake message, gathered from as many records as it spans (RFC 8446, section 5.1).
fn handshake_bytes(mut bytes: &[u8]) -> Result<Option<Vec<u8>>, NotTls> {
    let mut gathered: Vec<u8> = Vec::new();
    loop {
        let Some((&kind, after_kind)) = bytes.split_first() else { return Ok(None) };
        if kind != RECORD_HANDSHAKE || after_kind.first().is_some_and(|major| *major != 3) {
            return Err(NotTls);
        }
        let Some((&[_, _, high, low], rest)) = after_kind.split_first_chunk::<4>() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length == 0 || length > MAX_RECORD {
            return Err(NotTls);
        }
        let fragment = rest.get(..length).unwrap_or(rest);
        gathered.extend_from_slice(fragment);
        if gathered.first().is_some_and(|kind| *kind != MESSAGE_CLIENT_HELLO) {
            return Err(NotTls);
        }
        if let Some((&[_, a, b, c], body)) = gathered.split_first_chunk::<4>() {
            let needed = usize::try_from(u32::from_be_bytes([0, a, b, c])).map_err(|_| NotTls)?;
            if needed > HELLO_LIMIT {
                return Err(NotTls);
            }
            if let Some(body) = body.get(..needed) {
                return Ok(Some(body.to_vec()));
            }
        }
        match rest.get(length..) {
            Some(next) => bytes = next,
            None => return Ok(None),
        }
    }
}

fn parse_message(body: &[u8]) -> Option<ClientHello> {
    let mut input = Input(body);
    input.take(2 + 32)?; // legacy version, random
    input.vector8()?; // session id
    input.vector16()?; // cipher suites
    input.vector8()?; // compression methods
    let mut hello = ClientHello::default();
    if input.0.is_empty() {
        return Some(hello); // extensions are optional before TLS 1.3
    }
    let mut extensions = Input(input.vector16()?);
    while !extensions.0.is_empty() {
        let kind = extensions.u16()?;
        let mut content = Input(extensions.vector16()?);
        match kind {
            0 => hello.sni = server_name(&mut content)?,
            13 => hello.signature_schemes = numbers(content.vector16()?)?,
            16 => hello.alpn = protocols(content.vector16()?)?,
            _ => {}
        }
    }
    Some(hello)
}

/// The first host name of the list; names that are no plausible host names count as absent.
fn server_name(content: &mut Input<'_>) -> Option<Option<String>> {
    let mut list = Input(content.vector16()?);
    while !list.0.is_empty() {
        let kind = list.take(1)?;
        let name = list.vector16()?;
        if kind == [0] {
            return Some(std::str::from_utf8(name).ok().and_then(normalise_name));
        }
    }
    Some(None)
}

/// Lower case, no trailing dot; nothing for what is no host name (RFC 6066 excludes addresses).
pub(crate) fn normalise_name(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let plausible = !name.is_empty()
        && name.len() <= 253
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
        && name.parse::<std::net::IpAddr>().is_err();
    plausible.then(|| name.to_ascii_lowercase())
}

fn protocols(mut list: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    while !list.is_empty() {
        let mut input = Input(list);
        names.push(input.vector8()?.to_vec());
        list = input.0;
    }
    Some(names)
}

fn numbers(list: &[u8]) -> Option<Vec<u16>> {
    let (pairs, rest) = list.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect())
}

/// The bytes not yet read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        let (&number, rest) = self.0.split_first_chunk::<2>()?;
        self.0 = rest;
        Some(u16::from_be_bytes(number))
    }

    fn vector8(&mut self) -> Option<&'a [u8]> {
        let (&length, rest) = self.0.split_first()?;
        self.0 = rest;
        self.take(usize::from(length))
    }

    fn vector16(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }
}
