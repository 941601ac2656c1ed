//! The AWS event stream (`application/vnd.amazon.eventstream`): length-prefixed messages with
//! typed headers and two CRC-32 checksums. The prelude's checksum is verified before its lengths
//! are believed, the message's before it is handed out.

use crate::{FrameError, carry::Carry};

/// Prelude: total length, headers length, checksum of those eight bytes.
const PRELUDE: usize = 12;
/// The smallest message: a prelude and the checksum of the whole.
const SMALLEST: usize = PRELUDE + 4;
/// What AWS documents as the bound of one message.
pub const MESSAGE_LIMIT: usize = 16 * 1024 * 1024;
/// What AWS documents as the bound of a message's headers.
pub const HEADERS_LIMIT: usize = 128 * 1024;

/// The value of a header.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum HeaderValue<'a> {
    /// Types 0 and 1.
    Bool(bool),
    /// Types 2 to 5: 8, 16, 32 and 64 bits.
    Int(i64),
    /// Type 6.
    Bytes(&'a [u8]),
    /// Type 7.
    Text(&'a str),
    /// Type 8: milliseconds since 1970.
    Timestamp(i64),
    /// Type 9.
    Uuid([u8; 16]),
}

/// One message, lent for the duration of the callback.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    headers: &'a [u8],
    /// The payload.
    pub payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// The headers in order. They were checked when the message was split, so none is left out.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, HeaderValue<'a>)> + use<'a> {
        let mut rest = self.headers;
        std::iter::from_fn(move || {
            let (name, value, after) = read_header(rest)?;
            rest = after;
            Some((name, value))
        })
    }

    /// The text of the header `name`, if it is there and is text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.headers().find(|(n, _)| *n == name).and_then(|(_, v)| match v {
            HeaderValue::Text(t) => Some(t),
            _ => None,
        })
    }
}

/// Cuts a byte stream into messages.
#[derive(Debug)]
pub struct Splitter {
    limit: usize,
    carry: Carry,
    failed: Option<FrameError>,
}

impl Default for Splitter {
    fn default() -> Self {
        Self::new(MESSAGE_LIMIT)
    }
}

impl Splitter {
    /// A splitter that refuses a message above `limit` bytes (its prelude included).
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, carry: Carry::new(limit, "event stream message"), failed: None }
    }

    /// Feeds one chunk; `on_message` sees every message that it completes.
    ///
    /// # Errors
    /// [`FrameError::Checksum`], [`FrameError::Broken`] or [`FrameError::TooLong`]; from then on
    /// every call returns the same error.
    pub fn push(&mut self, chunk: &[u8], mut on_message: impl FnMut(Message<'_>)) -> Result<(), FrameError> {
        if let Some(e) = &self.failed {
            return Err(e.clone());
        }
        let result = self.split(chunk, &mut on_message);
        if let Err(e) = &result {
            self.failed = Some(e.clone());
        }
        result
    }

    /// The body has ended.
    ///
    /// # Errors
    /// [`FrameError::Truncated`] inside a message, or the error of an earlier push.
    pub fn finish(&mut self) -> Result<(), FrameError> {
        match &self.failed {
            Some(e) => Err(e.clone()),
            None if self.carry.is_empty() => Ok(()),
            None => Err(FrameError::Truncated),
        }
    }

    fn split(&mut self, chunk: &[u8], on_message: &mut dyn FnMut(Message<'_>)) -> Result<(), FrameError> {
        let mut rest = chunk;
        // First finish what an earlier chunk began: its prelude, then its body.
        while !self.carry.is_empty() {
            let want = match prelude(self.carry.bytes(), self.limit)? {
                Some((total, _)) => total,
                None => PRELUDE,
            };
            let missing = want.saturating_sub(self.carry.len());
            let (now, later) = rest.split_at(missing.min(rest.len()));
            self.carry.push(now)?;
            rest = later;
            if self.carry.len() < want {
                return Ok(());
            }
            if let Some((total, _)) = prelude(self.carry.bytes(), self.limit)?
                && self.carry.len() >= total
            {
                on_message(message(self.carry.bytes(), self.limit)?);
                self.carry.clear();
            }
        }
        while let Some((total, _)) = prelude(rest, self.limit)? {
            let Some((whole, later)) = rest.split_at_checked(total) else { break };
            on_message(message(whole, self.limit)?);
            rest = later;
        }
        self.carry.push(rest)
    }
}

/// The two lengths of a prelude once all of it is there, verified.
fn prelude(bytes: &[u8], limit: usize) -> Result<Option<(usize, usize)>, FrameError> {
    let Some((head, sum)) = bytes.first_chunk::<PRELUDE>().and_then(|p| p.split_last_chunk::<4>()) else {
        return Ok(None);
    };
    if crc32(head) != u32::from_be_bytes(*sum) {
        return Err(FrameError::Checksum { part: "prelude" });
    }
    let total = read_u32(head, 0) as usize;
    let headers = read_u32(head, 4) as usize;
    if total > limit {
        return Err(FrameError::TooLong { what: "event stream message", limit });
    }
    if headers > HEADERS_LIMIT {
        return Err(FrameError::TooLong { what: "headers of an event stream message", limit: HEADERS_LIMIT });
    }
    if total < SMALLEST || headers > total - SMALLEST {
        return Err(broken("the lengths contradict each other"));
    }
    Ok(Some((total, headers)))
}

fn message(whole: &[u8], limit: usize) -> Result<Message<'_>, FrameError> {
    let short = || broken("the lengths contradict each other");
    let (_, headers) = prelude(whole, limit)?.ok_or_else(short)?;
    let (body, sum) = whole.split_last_chunk::<4>().ok_or_else(short)?;
    if crc32(body) != u32::from_be_bytes(*sum) {
        return Err(FrameError::Checksum { part: "message" });
    }
    let (headers, payload) = body.get(PRELUDE..).and_then(|b| b.split_at_checked(headers)).ok_or_else(short)?;
    let mut rest = headers;
    while !rest.is_empty() {
        let (_, _, after) = read_header(rest).ok_or_else(|| broken("a header is malformed"))?;
        rest = after;
    }
    Ok(Message { headers, payload })
}

fn read_header(bytes: &[u8]) -> Option<(&str, HeaderValue<'_>, &[u8])> {
    let (&len, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(len))?;
    let name = std::str::from_utf8(name).ok()?;
    let (&kind, rest) = rest.split_first()?;
    let (value, rest) = match kind {
        0 => (HeaderValue::Bool(true), rest),
        1 => (HeaderValue::Bool(false), rest),
        2 => rest.split_first_chunk::<1>().map(|(v, r)| (HeaderValue::Int(i8::from_be_bytes(*v).into()), r))?,
        3 => rest.split_first_chunk::<2>().map(|(v, r)| (HeaderValue::Int(i16::from_be_bytes(*v).into()), r))?,
        4 => rest.split_first_chunk::<4>().map(|(v, r)| (HeaderValue::Int(i32::from_be_bytes(*v).into()), r))?,
        5 => rest.split_first_chunk::<8>().map(|(v, r)| (HeaderValue::Int(i64::from_be_bytes(*v)), r))?,
        6 | 7 => {
            let (len, rest) = rest.split_first_chunk::<2>()?;
            let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
            let value = match kind {
                6 => HeaderValue::Bytes(value),
                _ => HeaderValue::Text(std::str::from_utf8(value).ok()?),
            };
            (value, rest)
        }
        8 => rest.split_first_chunk::<8>().map(|(v, r)| (HeaderValue::Timestamp(i64::from_be_bytes(*v)), r))?,
        9 => rest.split_first_chunk::<16>().map(|(v, r)| (HeaderValue::Uuid(*v), r))?,
        _ => return None,
    };
    Some((name, value, rest))
}

/// Appends one message with text headers.
///
/// # Errors
/// [`FrameError::TooLong`] if a header name is above 255 bytes, a value above 65535, or the whole
/// above [`MESSAGE_LIMIT`]; `out` is unchanged then.
pub fn write(out: &mut Vec<u8>, headers: &[(&str, &str)], payload: &[u8]) -> Result<(), FrameError> {
    let mut head = Vec::with_capacity(64);
    for (name, value) in headers {
        let too_long = |limit| FrameError::TooLong { what: "event stream header", limit };
        head.push(u8::try_from(name.len()).map_err(|_| too_long(255))?);
        head.extend_from_slice(name.as_bytes());
        head.push(7);
        let len = u16::try_from(value.len()).map_err(|_| too_long(65535))?;
        head.extend_from_slice(&len.to_be_bytes());
        head.extend_from_slice(value.as_bytes());
    }
    let total = SMALLEST + head.len() + payload.len();
    if head.len() > HEADERS_LIMIT || total > MESSAGE_LIMIT {
        return Err(FrameError::TooLong { what: "event stream message", limit: MESSAGE_LIMIT });
    }
    let mut message = Vec::with_capacity(total);
    message.extend_from_slice(&(total as u32).to_be_bytes());
    message.extend_from_slice(&(head.len() as u32).to_be_bytes());
    message.extend_from_slice(&crc32(&message).to_be_bytes());
    message.extend_from_slice(&head);
    message.extend_from_slice(payload);
    message.extend_from_slice(&crc32(&message).to_be_bytes());
    out.append(&mut message);
    Ok(())
}

fn read_u32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.first_chunk::<4>()).map_or(0, |b| u32::from_be_bytes(*b))
}

fn broken(reason: &'static str) -> FrameError {
    FrameError::Broken { format: "event stream", reason }
}

/// CRC-32 as in gzip (polynomial 0xEDB88320, reflected).
fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = !0u32;
    for &byte in bytes {
        let at = usize::from((sum as u8) ^ byte);
        sum = (sum >> 8) ^ TABLE.get(at).copied().unwrap_or_default();
    }
    !sum
}

static TABLE: [u32; 256] = table();

#[allow(clippy::indexing_slicing)] // Evaluated at compile time: a wrong index would not compile.
const fn table() -> [u32; 256] {
    let mut table = [0u32; 256];
    let mut n = 0;
    while n < 256 {
        let mut value = n as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ 0xEDB8_8320 } else { value >> 1 };
            bit += 1;
        }
        table[n] = value;
        n += 1;
    }
    table
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Owned = (Vec<(String, String)>, Vec<u8>);

    fn read(pieces: &[&[u8]]) -> Result<Vec<Owned>, FrameError> {
        let mut got = Vec::new();
        let mut s = Splitter::new(1 << 16);
        for p in pieces {
            s.push(p, |m| {
                got.push((m.headers().map(|(n, v)| (n.to_owned(), format!("{v:?}"))).collect(), m.payload.to_vec()));
            })?;
        }
        s.finish()?;
        Ok(got)
    }

    #[test]
    fn the_checksum_is_the_one_of_gzip() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn the_documented_empty_message_is_read() {
        // The smallest message of AWS's own test suite: no headers, no payload.
        let bytes = [0, 0, 0, 16, 0, 0, 0, 0, 0x05, 0xc2, 0x48, 0xeb, 0x7d, 0x98, 0xc8, 0xff];
        assert_eq!(read(&[&bytes]).unwrap(), [(vec![], vec![])]);
    }

    #[test]
    fn headers_and_payload_come_back() {
        let mut out = Vec::new();
        write(&mut out, &[(":message-type", "event"), (":event-type", "chunk")], b"{}").unwrap();
        let mut seen = false;
        Splitter::default()
            .push(&out, |m| {
                seen = true;
                assert_eq!(m.text(":event-type"), Some("chunk"));
                assert_eq!(m.text(":nothing"), None);
                assert_eq!(m.payload, b"{}");
            })
            .unwrap();
        assert!(seen);
    }

    #[test]
    fn every_header_type_is_read() {
        let mut head = Vec::new();
        let mut put = |kind: u8, value: &[u8]| {
            head.extend_from_slice(&[1, b'a' + kind, kind]);
            head.extend_from_slice(value);
        };
        put(0, &[]);
        put(1, &[]);
        put(2, &[0xff]);
        put(3, &[0xff, 0xfe]);
        put(4, &[0, 0, 0, 3]);
        put(5, &[0, 0, 0, 0, 0, 0, 0, 4]);
        put(6, &[0, 2, 1, 2]);
        put(8, &[0, 0, 0, 0, 0, 0, 0, 9]);
        put(9, &[7; 16]);
        let mut m = Vec::new();
        m.extend_from_slice(&((16 + head.len()) as u32).to_be_bytes());
        m.extend_from_slice(&(head.len() as u32).to_be_bytes());
        m.extend_from_slice(&crc32(&m).to_be_bytes());
        m.extend_from_slice(&head);
        m.extend_from_slice(&crc32(&m).to_be_bytes());
        let got = read(&[&m]).unwrap();
        let values: Vec<&str> = got[0].0.iter().map(|(_, v)| v.as_str()).collect();
        assert_eq!(values[..6], ["Bool(true)", "Bool(false)", "Int(-1)", "Int(-2)", "Int(3)", "Int(4)"]);
        assert_eq!(values[6..8], ["Bytes([1, 2])", "Timestamp(9)"]);
    }

    #[test]
    fn damage_truncation_and_size_are_noticed() {
        let mut good = Vec::new();
        write(&mut good, &[("a", "b")], b"payload").unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(matches!(read(&[&bad]), Err(FrameError::Checksum { .. })), "byte {at}");
        }
        assert_eq!(read(&[&good[..good.len() - 1]]).unwrap_err(), FrameError::Truncated);
        let err = Splitter::new(20).push(&good, |_| {}).unwrap_err();
        assert!(matches!(err, FrameError::TooLong { limit: 20, .. }));
    }

    #[test]
    fn a_header_that_does_not_fit_is_refused_before_anything_is_written() {
        let mut out = Vec::new();
        assert!(write(&mut out, &[("n".repeat(256).as_str(), "v")], b"").is_err());
        assert!(write(&mut out, &[("n", "v".repeat(65536).as_str())], b"").is_err());
        assert!(out.is_empty());
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same_messages(
            messages in prop::collection::vec(("[a-z]{1,6}", "[a-z]{0,9}", prop::collection::vec(any::<u8>(), 0..40)), 0..5),
            at in any::<prop::sample::Index>(),
        ) {
            let mut bytes = Vec::new();
            for (name, value, payload) in &messages {
                write(&mut bytes, &[(name, value)], payload).unwrap();
            }
            let whole = read(&[&bytes]).unwrap();
            prop_assert_eq!(whole.len(), messages.len());
            let cut = at.index(bytes.len() + 1);
            prop_assert_eq!(&read(&[&bytes[..cut], &bytes[cut..]]).unwrap(), &whole);
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(&read(&single).unwrap(), &whole);
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&[&bytes]);
        }

        #[test]
        fn any_headers_under_a_valid_checksum_are_survived(head in prop::collection::vec(0u8..12, 0..60)) {
            let mut m = Vec::new();
            m.extend_from_slice(&((16 + head.len()) as u32).to_be_bytes());
            m.extend_from_slice(&(head.len() as u32).to_be_bytes());
            m.extend_from_slice(&crc32(&m).to_be_bytes());
            m.extend_from_slice(&head);
            m.extend_from_slice(&crc32(&m).to_be_bytes());
            let _ = read(&[&m]);
        }
    }
}
