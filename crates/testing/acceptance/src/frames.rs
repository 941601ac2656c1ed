//! HTTP/2 frames by hand (RFC 9113 section 4), for connections that no library would make.

/// What a client sends first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Frame types.
#[expect(missing_docs, reason = "the names are RFC 9113's")]
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Flags.
#[expect(missing_docs, reason = "the names are RFC 9113's")]
pub mod flag {
    pub const NONE: u8 = 0;
    pub const END_STREAM: u8 = 1;
    pub const END_HEADERS: u8 = 4;
}

/// A frame. Payloads above 16 KiB are for tests of limits: no peer allows them at first.
#[must_use]
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut out = length.get(1..).unwrap_or_default().to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// A header block, without compression (RFC 7541 section 6.2.2: literal, new name, not indexed).
#[must_use]
pub fn headers(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name, value] {
            length(&mut out, text.len());
            out.extend_from_slice(text.as_bytes());
        }
    }
    out
}

/// The head of `GET path`.
#[must_use]
pub fn get(path: &str) -> Vec<u8> {
    headers(&[(":method", "GET"), (":scheme", "http"), (":authority", "flood.test"), (":path", path)])
}

/// A literal that enters the dynamic table, so that one byte (`0xBE`) means all of it afterwards.
#[must_use]
pub fn indexed(name: &str, value: &str) -> Vec<u8> {
    let mut out = vec![0x40];
    for text in [name, value] {
        length(&mut out, text.len());
        out.extend_from_slice(text.as_bytes());
    }
    out
}

/// An integer with a seven-bit prefix (RFC 7541 section 5.1), no Huffman coding.
fn length(out: &mut Vec<u8>, value: usize) {
    let Some(mut rest) = value.checked_sub(127) else {
        out.push(u8::try_from(value).unwrap_or(126));
        return;
    };
    out.push(127);
    while rest >= 128 {
        out.push(u8::try_from(rest % 128).unwrap_or_default() | 128);
        rest /= 128;
    }
    out.push(u8::try_from(rest).unwrap_or_default());
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn frames_and_integers_are_as_the_standard_says() {
        assert_eq!(frame(kind::PING, flag::NONE, 0, b"12345678")[..9], [0, 0, 8, 6, 0, 0, 0, 0, 0]);
        let mut out = Vec::new();
        length(&mut out, 126);
        length(&mut out, 127);
        length(&mut out, 1337);
        assert_eq!(out, [126, 127, 0, 127, 186, 9]);
    }
}
