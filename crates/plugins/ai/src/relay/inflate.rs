//! Answers that come compressed although nobody needs them so: they are unpacked as they come.

use std::io::Write;

use flate2::write::{GzDecoder, ZlibDecoder};
use gibbon_message::Headers;

/// Unpacks a body, or lets it be.
pub enum Inflate {
    Plain,
    Gzip(GzDecoder<Vec<u8>>),
    Deflate(ZlibDecoder<Vec<u8>>),
}

impl std::fmt::Debug for Inflate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Inflate::Plain => "Plain",
            Inflate::Gzip(_) => "Gzip",
            Inflate::Deflate(_) => "Deflate",
        })
    }
}

impl Inflate {
    /// What the headers of an answer say; they say nothing of it afterwards.
    pub fn of(headers: &mut Headers) -> Self {
        let encoding = headers.get_str("content-encoding").map(|v| v.trim().to_ascii_lowercase());
        let inflate = match encoding.as_deref() {
            Some("gzip" | "x-gzip") => Inflate::Gzip(GzDecoder::new(Vec::new())),
            Some("deflate") => Inflate::Deflate(ZlibDecoder::new(Vec::new())),
            _ => return Inflate::Plain,
        };
        headers.remove("content-encoding");
        headers.remove("content-length");
        inflate
    }

    /// The next bytes, unpacked. Packed bytes grow a thousandfold at most, and come a read buffer at a time.
    ///
    /// # Errors
    /// They are not packed as announced.
    pub fn push<'a>(&mut self, packed: &'a [u8]) -> std::io::Result<std::borrow::Cow<'a, [u8]>> {
        Ok(match self {
            Inflate::Plain => packed.into(),
            Inflate::Gzip(decoder) => {
                decoder.write_all(packed)?;
                decoder.flush()?;
                std::mem::take(decoder.get_mut()).into()
            }
            Inflate::Deflate(decoder) => {
                decoder.write_all(packed)?;
                decoder.flush()?;
                std::mem::take(decoder.get_mut()).into()
            }
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_body_is_unpacked_however_it_is_cut() {
        let text = b"data: {\"a\": 1}\n\n".repeat(40);
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(&text).unwrap();
        let packed = packer.finish().unwrap();
        for cut in 1..packed.len() {
            let mut headers = Headers::new();
            headers.append("Content-Encoding", "gzip");
            let mut inflate = Inflate::of(&mut headers);
            let mut out = inflate.push(&packed[..cut]).unwrap().into_owned();
            out.extend_from_slice(&inflate.push(&packed[cut..]).unwrap());
            assert_eq!(out, text);
            assert!(!headers.contains("content-encoding"));
        }
        let mut headers = Headers::new();
        headers.append("Content-Encoding", "gzip");
        assert!(Inflate::of(&mut headers).push(b"no gzip at all").is_err());
    }
}
