//! The targets: one row per parser of bytes that a stranger may choose.
//!
//! To add one: write a function over bytes that calls the parser and asserts what must hold of any input, add its row
//! to [`TARGETS`], and put a few inputs, valid and nearly valid, into `fuzz/corpus/NAME/`.

use crate::streams;

/// A parser under test. It returns normally for every input; a panic is a finding.
pub struct Target {
    /// The name on the command line, and of the corpus folder.
    pub name: &'static str,
    /// Feeds one input to the parser and asserts what must hold.
    pub run: fn(&[u8]),
    /// Words of the grammar, so that mutation gets past the first byte.
    pub words: &'static [&'static str],
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "uri", run: uri, words: &["/", "..", "%2f", "%", "//", "?", "&", "=", "+", "%00"] },
    Target { name: "request_head", run: request_head, words: HEAD_WORDS },
    Target { name: "response_head", run: response_head, words: HEAD_WORDS },
    Target { name: "chunked", run: chunked, words: &["\r\n", "0\r\n\r\n", ";ext=1", "ffffffff", "1\r\nx\r\n", "\n"] },
    Target {
        name: "ldap",
        run: ldap,
        words: &["\x30\x0c", "\x02\x01\x02", "\x61\x07", "\x0a\x01\x31", "\x04\x00", "\x78", "\u{80}"],
    },
    Target { name: "client_hello", run: client_hello, words: &["\x16\x03\x01", "\x01", "\0\0", "\0\x10", "\x02h2"] },
    Target {
        name: "proxy_header",
        run: proxy_header,
        words: &[
            "PROXY ",
            "TCP4",
            "TCP6",
            "UNKNOWN",
            "\r\n",
            "\r\n\r\n\0\r\nQUIT\n",
            "!",
            "\x11",
            "\0\x0c",
            "127.0.0.1",
        ],
    },
    Target {
        name: "declare",
        run: declare,
        words: &[
            "_format_version: \"3.0\"\n",
            "services:\n",
            "routes:\n",
            "plugins:\n",
            "targets:\n",
            "snis:\n",
            "- name: s\n",
            "  host: a\n",
            "  paths: [/]\n",
            "  service: s\n",
            "&a",
            "*a",
            "<<: *a",
            "{",
            "}",
            "[",
            "]",
            "\"",
            "~",
            "yes",
        ],
    },
    Target {
        name: "grpc_messages",
        run: streams::grpc_messages,
        words: &["\0\0\0\0\x01x", "\0\0\0\0\0", "\x01", "\u{80}"],
    },
    Target {
        name: "sse",
        run: streams::sse,
        words: &[
            "data:",
            "data: x\n\n",
            "event: ",
            "id:",
            "retry: 10\n",
            "\n\n",
            "\r\n",
            "\r",
            ":",
            "\u{feff}",
            "[DONE]",
        ],
    },
    Target {
        name: "aws_events",
        run: streams::aws_events,
        words: &["\0\0\0\x10", "\0\0\0\0", ":event-type", "\x07\0\x05chunk", ":message-type", "{}"],
    },
    Target {
        name: "json_stream",
        run: streams::json_stream,
        words: &["[", "]", ",", "{", "}", "\"", "\\\"", "[{}]", "\n", "\r\n", "null", "\\"],
    },
    Target { name: "expression", run: expression, words: EXPRESSION_WORDS },
    Target {
        name: "name_files",
        run: name_files,
        words: &["nameserver ", "search ", "options ", "ndots:", "127.0.0.1 ", "\n"],
    },
];

const HEAD_WORDS: &[&str] = &[
    "GET / HTTP/1.1\r\n",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.0",
    "Host: a.test\r\n",
    "Content-Length: 5\r\n",
    "\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding:",
    "Content-Length:",
    "Connection: close\r\n",
    " ",
    "\t",
    "\n",
    "Expect: 100-continue\r\n",
    "Upgrade: websocket\r\n",
    ",",
    "chunked",
    "http://b.test:80/x",
    "*",
    "HTTP/2.0",
];

const EXPRESSION_WORDS: &[&str] = &[
    "http.path",
    "http.host",
    "net.port",
    "http.headers.x",
    "http.queries.a",
    "lower(",
    "any(",
    " == ",
    " ^= ",
    " ~ ",
    " in ",
    "not in",
    "contains",
    " && ",
    " || ",
    "!",
    "(",
    ")",
    "\"a\"",
    "r#\"a\"#",
    "10.0.0.0/8",
    "::1",
    "443",
];

/// A file is accepted or refused with something to say; accepted entities satisfy their own schemas.
fn declare(input: &[u8]) {
    use gibbon_declare::{DeclareError, Loader, load};
    use gibbon_model::{Registry, RegistryOptions};
    use gibbon_schema::{Compat, Purpose, Sources};
    use std::sync::LazyLock;

    struct Fixed;
    impl Sources for Fixed {
        fn now(&mut self) -> f64 {
            1.0
        }

        fn uuid(&mut self) -> String {
            "00000000-0000-4000-8000-000000000000".to_owned()
        }

        fn secret(&mut self) -> String {
            "secret".to_owned()
        }
    }

    static REGISTRY: LazyLock<Registry> = LazyLock::new(|| Registry::new(&RegistryOptions::default()));
    let mut loader = Loader { registry: &REGISTRY, compat: Compat::default(), sources: &mut Fixed };
    match load(input, &mut loader) {
        Ok(declared) => {
            for (kind, documents) in &declared.entities {
                let Some(def) = REGISTRY.get(kind) else { continue };
                for document in documents {
                    let verdict = def.record.validate_fields(document, Purpose::Whole);
                    assert!(verdict.is_ok(), "an accepted entity is not sound: {kind}");
                }
            }
        }
        Err(DeclareError::Invalid(invalid)) => assert!(!invalid.faults.is_empty(), "refused without a reason"),
        Err(error) => assert!(!error.to_string().is_empty(), "refused without a reason"),
    }
}

/// An absolute path stays absolute and keeps no dot segment, which is what access rules on paths rely on.
fn uri(input: &[u8]) {
    use gibbon_message::uri;
    let path = [b"/", input].concat();
    let clean = uri::normalize(&path);
    assert!(clean.starts_with(b"/"), "an absolute path became relative");
    assert!(
        clean.split(|byte| *byte == b'/').all(|segment| segment != b".." && segment != b"."),
        "a dot segment is left"
    );
    uri::arguments(input).for_each(drop);
    let _ = uri::decode(input, true);
    uri::escape_into(&mut Vec::new(), input);
}

/// A head ends where it says, not a byte sooner, and nothing in it could end a line of ours.
fn request_head(input: &[u8]) {
    use gibbon_http::parse::{HeadLimits, Spans, request_head};
    let limits = HeadLimits { max_headers: 100, ignore_invalid_headers: true, keep_line: true };
    let (mut spans, mut head) = (Spans::default(), gibbon_message::RequestHead::default());
    let Ok(Some(framing)) = request_head(input, limits, &mut spans, &mut head) else { return };
    assert!(framing.consumed <= input.len(), "consumed more than there was");
    assert!(head.headers.iter().all(|(name, value)| is_harmless(name) && is_harmless(value)), "a line end in a field");
    let shorter = input.get(..framing.consumed.saturating_sub(1)).unwrap_or_default();
    let early = request_head(shorter, limits, &mut spans, &mut head);
    assert!(!matches!(early, Ok(Some(_))), "complete without its last byte");
}

/// As for requests.
fn response_head(input: &[u8]) {
    use gibbon_http::parse::{Spans, response_head};
    let (mut spans, mut head) = (Spans::default(), gibbon_message::ResponseHead::default());
    let method = gibbon_message::Method::Get;
    let Ok(Some(framing)) = response_head(input, 100, &method, &mut spans, &mut head) else { return };
    assert!(framing.consumed <= input.len(), "consumed more than there was");
    assert!(head.headers.iter().all(|(name, value)| is_harmless(name) && is_harmless(value)), "a line end in a field");
}

fn is_harmless(text: &[u8]) -> bool {
    !text.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0))
}

/// However the bytes arrive, the data is the same, and so is where it ends or breaks.
fn chunked(input: &[u8]) {
    let whole = dechunk([input]);
    assert_eq!(dechunk(input.chunks(1)), whole, "byte by byte");
    assert_eq!(dechunk(input.chunks(7)), whole, "seven bytes at a time");
}

/// The data, how many bytes of input the coding took, and whether it ended, waits for more, or broke.
fn dechunk<'a>(reads: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, usize, &'static str) {
    use gibbon_http::parse::{Chunked, Piece};
    let (mut decoder, mut data, mut taken) = (Chunked::default(), Vec::new(), 0);
    for read in reads {
        let mut rest = read;
        loop {
            match decoder.next(rest) {
                Err(_) => return (data, 0, "broken"),
                Ok(Piece::More) => {
                    taken += rest.len();
                    break;
                }
                Ok(Piece::Trailers { at }) => return (data, taken + at, "ended"),
                Ok(Piece::Data { start, end }) => {
                    data.extend_from_slice(rest.get(start..end).unwrap_or_default());
                    taken += end;
                    rest = rest.get(end..).unwrap_or_default();
                }
            }
        }
    }
    (data, taken, "waits")
}

fn expression(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let _ = gibbon_expr::parse(text);
}

fn name_files(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let _ = gibbon_dns::Hosts::parse(&text);
    gibbon_dns::Settings::default().apply_resolv_conf(&text);
}

/// A verdict on a prefix is never taken back: what is no greeting does not become one by more bytes.
fn client_hello(input: &[u8]) {
    use gibbon_tls::{HELLO_LIMIT, Peeked, client_hello};
    let whole = client_hello(input);
    assert!(whole != Peeked::NeedMore || input.len() < HELLO_LIMIT, "waiting beyond the limit");
    if let Peeked::Complete(hello) = &whole {
        let name = hello.sni.as_deref().unwrap_or("-");
        assert!(!name.is_empty() && name.len() <= 253, "a name no host can have");
        assert!(!name.bytes().any(|byte| byte.is_ascii_uppercase() || byte <= b' '), "a name not in normal form");
    }
    let half = client_hello(input.get(..input.len() / 2).unwrap_or_default());
    assert!(half == Peeked::NeedMore || half == whole, "a verdict was taken back");
}

/// A header is found within the bytes that hold it, and what is written for its addresses is read back.
fn proxy_header(input: &[u8]) {
    use gibbon_net::{HEADER_LIMIT, Parsed, ProxyAddresses, ProxyHeader, parse_proxy_header};
    let Ok(Parsed::Complete { header, length }) = parse_proxy_header(input) else { return };
    assert!(length <= input.len() && length <= HEADER_LIMIT, "a header longer than its bytes");
    for prefix in [length / 2, length - 1] {
        let verdict = parse_proxy_header(input.get(..prefix).unwrap_or_default());
        assert!(matches!(verdict, Ok(Parsed::NeedMore)), "a header that ends twice");
    }
    let ProxyAddresses::Ip { transport, source, destination } = header.addresses else { return };
    let mut written = Vec::new();
    ProxyHeader::new(header.version, transport, source, destination).encode(&mut written);
    let read = parse_proxy_header(&written);
    assert!(
        matches!(&read, Ok(Parsed::Complete { header: read, .. }) if read.addresses == header.addresses),
        "our own header was not understood: {read:?}"
    );
}

/// An answer of a directory is read whole or not at all: never from a part of it, never with bytes behind it.
fn ldap(input: &[u8]) {
    use gibbon_auth::ldap_auth::message::{MAX_MESSAGE, answer, message_length};
    let length = message_length(input);
    let read = answer(input);
    if let Ok(Some(length)) = length {
        assert!((2..=MAX_MESSAGE).contains(&length), "a length that no message has");
    }
    if let Ok(read) = read {
        assert!(length == Ok(Some(input.len())) || input.len() > MAX_MESSAGE, "an answer of another length");
        assert!(read.id < 1 << 31 && read.result_code < 1 << 31, "a number that LDAP does not have");
        assert!(answer(input.get(..input.len() - 1).unwrap_or_default()).is_err(), "an answer that ends twice");
        assert!(answer(&[input, b"\0"].concat()).is_err(), "bytes behind an answer");
    }
}
