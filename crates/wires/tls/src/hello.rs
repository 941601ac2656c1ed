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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::client::{ClientTls, ClientTlsSettings, ServerName};

    /// A real greeting, as our own client sends it.
    fn greeting(host: &str, alpn: &[&str]) -> Vec<u8> {
        let alpn = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let client = ClientTls::new(&ClientTlsSettings { alpn, ..ClientTlsSettings::default() }).unwrap();
        client.greeting(&ServerName::parse(host).unwrap())
    }

    fn complete(bytes: &[u8]) -> ClientHello {
        match client_hello(bytes) {
            Peeked::Complete(hello) => hello,
            other => panic!("expected a greeting, got {other:?}"),
        }
    }

    /// Cuts the handshake message of a one-record greeting into records of at most `size` bytes.
    fn in_records_of(size: usize, greeting: &[u8]) -> Vec<u8> {
        greeting[5..]
            .chunks(size)
            .flat_map(|part| [&[22, 3, 1], (part.len() as u16).to_be_bytes().as_slice(), part].concat())
            .collect()
    }

    #[test]
    fn name_protocols_and_signature_schemes_are_read() {
        let hello = complete(&greeting("API.Example.test", &["h2", "http/1.1"]));
        assert_eq!(hello.sni.as_deref(), Some("api.example.test"));
        assert_eq!(hello.alpn, [b"h2".to_vec(), b"http/1.1".to_vec()]);
        assert!(hello.accepts(KeyType::Rsa) && hello.accepts(KeyType::Ecdsa) && hello.accepts(KeyType::Ed25519));
    }

    #[test]
    fn a_greeting_for_an_address_names_nobody() {
        let hello = complete(&greeting("127.0.0.1", &[]));
        assert_eq!((hello.sni, hello.alpn), (None, Vec::new()));
    }

    #[test]
    fn what_is_no_handshake_record_is_not_tls() {
        for bytes in [
            b"GET / HTTP/1.1\r\n".as_slice(),
            b"\x15\x03\x01\x00\x02\x02\x28",             // an alert
            b"\x16\x02\x00\x00\x01\x01",                 // a major version that never was
            b"\x16\x03\x01\x00\x00",                     // an empty record
            b"\x16\x03\x01\x40\x01\x01",                 // a record above 16 KiB
            b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",     // a ServerHello
            b"\x16\x03\x01\x00\x04\x01\x00\x00\x01\x16", // then an unfinished second record
        ] {
            let verdict = client_hello(bytes);
            let unfinished = bytes.last() == Some(&0x16);
            assert_eq!(verdict, if unfinished { Peeked::NeedMore } else { Peeked::NotTls }, "{bytes:02x?}");
        }
    }

    #[test]
    fn a_message_announced_longer_than_the_limit_is_refused_at_once() {
        let bytes = b"\x16\x03\x01\x00\x04\x01\x00\x40\x01";
        assert_eq!(client_hello(bytes), Peeked::NotTls);
    }

    #[test]
    fn many_tiny_records_end_at_the_limit() {
        let mut tiny = greeting("a.test", &[]);
        tiny.truncate(5 + 40);
        let records = in_records_of(1, &tiny);
        let endless: Vec<u8> =
            records.iter().copied().chain([22, 3, 1, 0, 1, 0].into_iter().cycle()).take(HELLO_LIMIT).collect();
        assert_ne!(client_hello(&endless), Peeked::NeedMore);
    }

    #[test]
    fn names_that_are_no_host_names_count_as_absent() {
        for (given, expected) in [
            ("A.test.", Some("a.test")),
            ("under_score.test", Some("under_score.test")),
            ("", None),
            (".", None),
            ("10.0.0.1", None),
            ("::1", None),
            ("a/b", None),
            ("a\0b", None),
            ("b\u{fc}cher.test", None),
        ] {
            assert_eq!(normalise_name(given).as_deref(), expected);
        }
        assert_eq!(normalise_name(&"a".repeat(254)), None);
    }

    proptest! {
        #[test]
        fn every_prefix_needs_more_and_record_borders_do_not_matter(size in 1_usize..600, cut in 0.0..1.0) {
            let whole = greeting("a.test", &["h2"]);
            let records = in_records_of(size, &whole);
            prop_assert_eq!(client_hello(&records), client_hello(&whole));
            let cut = (records.len() as f64 * cut) as usize;
            prop_assert_eq!(client_hello(&records[..cut]), Peeked::NeedMore);
        }

        #[test]
        fn damaged_greetings_never_panic(position in 0_usize..600, byte: u8, cut in 0_usize..600) {
            let mut bytes = greeting("a.test", &["h2"]);
            let position = position % bytes.len();
            bytes[position] = byte;
            client_hello(&bytes);
            bytes.truncate(bytes.len() - cut % bytes.len());
            client_hello(&bytes);
        }

        #[test]
        fn any_bytes_get_a_verdict(tail in proptest::collection::vec(any::<u8>(), 0..200)) {
            client_hello(&tail);
            client_hello(&[b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4".as_slice(), &tail].concat());
        }
    }
}
