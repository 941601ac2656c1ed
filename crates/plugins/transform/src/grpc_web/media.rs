//! The media types of gRPC-Web, and what each means.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// How bytes travel between browser and gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Media {
    /// In base64.
    pub text: bool,
    /// In frames, with a frame of trailers at the end; otherwise bare JSON.
    pub framed: bool,
    /// Messages are JSON.
    pub json: bool,
}

impl Media {
    pub fn of(content_type: &str) -> Option<Media> {
        let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let (text, json, framed) = match media.as_str() {
            "application/grpc-web" | "application/grpc-web+proto" => (false, false, true),
            "application/grpc-web-text" | "application/grpc-web-text+proto" => (true, false, true),
            "application/grpc-web+json" => (false, true, true),
            "application/grpc-web-text+json" => (true, true, true),
            "application/json" => (false, true, false),
            _ => return None,
        };
        Some(Media { text, framed, json })
    }

    /// Bytes in the form that travels. Pieces of base64 may follow each other, each with its own padding.
    pub fn encode(self, bytes: Vec<u8>) -> Vec<u8> {
        if self.text && !bytes.is_empty() { STANDARD.encode(bytes).into_bytes() } else { bytes }
    }
}

/// Undoes base64 that may consist of several padded pieces.
pub fn from_text(text: &[u8]) -> Option<Vec<u8>> {
    let text: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    // A piece ends behind its padding.
    for piece in text.chunk_by(|before, after| !(*before == b'=' && *after != b'=')) {
        out.extend(STANDARD.decode(piece).ok()?);
    }
    Some(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn types_are_told_apart_whatever_their_case_and_parameters() {
        let of = |t| Media::of(t).map(|m| (m.text, m.framed, m.json));
        assert_eq!(of("Application/gRPC-Web; charset=x"), Some((false, true, false)));
        assert_eq!(of("application/grpc-web-text+json"), Some((true, true, true)));
        assert_eq!(of("application/json; charset=utf-8"), Some((false, false, true)));
        assert_eq!(of("application/grpc"), None);
    }

    #[test]
    fn text_may_come_in_several_padded_pieces() {
        assert_eq!(from_text(b"YQ==Yg==\r\nYWJj").unwrap(), b"ababc");
        assert_eq!(from_text(b"").unwrap(), b"");
        assert!(from_text(b"YQ=").is_none() && from_text(b"Y!").is_none());
    }
}
