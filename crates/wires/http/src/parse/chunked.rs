//! The chunked transfer coding (RFC 9112 7.1), decoded in place: data is pointed at, not copied.
//!
//! Strict: CR LF only, sizes of hexadecimal digits only. A decoder that is lenient here sees other
//! message borders than its neighbour, which is how requests are smuggled.

/// Bytes of chunk extensions taken in one body; nobody uses them, floods of them cost time.
const MAX_EXTENSIONS: u32 = 16 * 1024;

/// Why a body is not chunked as it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub enum ChunkError {
    Size,
    LineEnd,
    Extensions,
    Extension,
}

impl ChunkError {
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            ChunkError::Size => "invalid chunk size",
            ChunkError::LineEnd => "chunk line does not end in CR LF",
            ChunkError::Extensions => "too many bytes of chunk extensions",
            ChunkError::Extension => "control character in a chunk extension",
        }
    }
}

/// Where a decoder stands between two reads.
#[derive(Clone, Debug, Default)]
pub struct Chunked {
    state: State,
    extensions: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Before the first digit of a size.
    #[default]
    Start,
    Size(u64),
    /// Behind the size: blanks or an extension.
    Extension(u64),
    SizeLf(u64),
    Data(u64),
    DataCr,
    DataLf,
    /// Behind the last chunk's line: trailers and an empty line follow.
    Trailers,
}

/// What a call to [`Chunked::next`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// The input is used up.
    More,
    /// `input[start..end]` is data.
    Data { start: usize, end: usize },
    /// The last chunk ends at `at`: a trailer section begins there.
    Trailers { at: usize },
}

impl Chunked {
    /// Decodes on, up to the first piece. Everything before its end is used up; with
    /// [`Piece::More`], all of `input`.
    pub fn next(&mut self, input: &[u8]) -> Result<Piece, ChunkError> {
        let mut at = 0;
        loop {
            match self.state {
                State::Data(left) => {
                    let here = (input.len() - at).min(usize::try_from(left).unwrap_or(usize::MAX));
                    if here == 0 {
                        return Ok(Piece::More);
                    }
                    let left = left - here as u64;
                    self.state = if left == 0 { State::DataCr } else { State::Data(left) };
                    return Ok(Piece::Data { start: at, end: at + here });
                }
                State::Trailers => return Ok(Piece::Trailers { at }),
                _ => {}
            }
            let Some(&byte) = input.get(at) else { return Ok(Piece::More) };
            self.state = self.step(byte)?;
            at += 1;
        }
    }

    /// One byte of framing.
    fn step(&mut self, byte: u8) -> Result<State, ChunkError> {
        Ok(match (self.state, byte) {
            (State::Start, _) => State::Size(hex(byte).ok_or(ChunkError::Size)?),
            (State::Size(size) | State::Extension(size), b'\r') => State::SizeLf(size),
            (State::Size(size), b' ' | b'\t' | b';') => State::Extension(size),
            (State::Size(size), _) => State::Size(grown(size, byte)?),
            (State::Extension(_), b'\n') => return Err(ChunkError::LineEnd),
            (State::Extension(size), _) => self.extension(size, byte)?,
            (State::SizeLf(0), b'\n') => State::Trailers,
            (State::SizeLf(size), b'\n') => State::Data(size),
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Start,
            _ => return Err(ChunkError::LineEnd),
        })
    }

    fn extension(&mut self, size: u64, byte: u8) -> Result<State, ChunkError> {
        if (byte < 0x20 && byte != b'\t') || byte == 0x7f {
            return Err(ChunkError::Extension);
        }
        self.extensions += 1;
        if self.extensions > MAX_EXTENSIONS { Err(ChunkError::Extensions) } else { Ok(State::Extension(size)) }
    }
}

/// One more digit; a size that does not fit 63 bits is an attack on somebody's overflow.
fn grown(size: u64, byte: u8) -> Result<u64, ChunkError> {
    let digit = match hex(byte) {
        Some(digit) => digit,
        None if byte == b'\n' => return Err(ChunkError::LineEnd),
        None => return Err(ChunkError::Size),
    };
    if size >> 59 != 0 { Err(ChunkError::Size) } else { Ok(size << 4 | digit) }
}

fn hex(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    /// Decodes input given in `parts`; the data, and how many bytes were left behind the last chunk.
    fn decode(parts: &[&[u8]]) -> Result<(Vec<u8>, Option<usize>), ChunkError> {
        let mut decoder = Chunked::default();
        let mut data = Vec::new();
        for part in parts {
            let mut at = 0;
            loop {
                match decoder.next(&part[at..])? {
                    Piece::More => break,
                    Piece::Data { start, end } => {
                        data.extend_from_slice(&part[at + start..at + end]);
                        at += end;
                    }
                    Piece::Trailers { at: end } => return Ok((data, Some(part.len() - at - end))),
                }
            }
        }
        Ok((data, None))
    }

    #[test]
    fn chunks_are_joined() {
        let input = b"3\r\nabc\r\n00a;x=1\r\n0123456789\r\n0 ;y\r\n\r\nGET";
        assert_eq!(decode(&[input]).unwrap(), (b"abc0123456789".to_vec(), Some(5)));
    }

    #[test]
    fn any_looseness_is_refused() {
        for (input, error) in [
            (&b"zz\r\n"[..], ChunkError::Size),
            (b"\r\n", ChunkError::Size),
            (b"-1\r\n", ChunkError::Size),
            (b"+1\r\n", ChunkError::Size),
            (b"0x1\r\n", ChunkError::Size),
            (b" 1\r\n", ChunkError::Size),
            (b"fffffffffffffffff\r\n", ChunkError::Size),
            (b"8000000000000000\r\n", ChunkError::Size),
            (b"3\nabc", ChunkError::LineEnd),
            (b"3;x\nabc", ChunkError::LineEnd),
            (b"3\r\rabc", ChunkError::LineEnd),
            (b"3\r\nabc\n", ChunkError::LineEnd),
            (b"3\r\nabcd", ChunkError::LineEnd),
            (b"3\r\nabc\rx", ChunkError::LineEnd),
            (b"3;\x01\r\n", ChunkError::Extension),
        ] {
            assert_eq!(decode(&[input]), Err(error), "{:?}", String::from_utf8_lossy(input));
        }
        let flood = [b"1;".to_vec(), vec![b'x'; 20_000]].concat();
        assert_eq!(decode(&[&flood]), Err(ChunkError::Extensions));
    }

    proptest::proptest! {
        #[test]
        fn any_split_gives_the_same_data(
            input in proptest::collection::vec(proptest::sample::select(&b"0123afx;\r\n \x01"[..]), 0..40),
            cuts in proptest::collection::vec(0usize..40, 0..5),
        ) {
            let mut cuts: Vec<_> = cuts.into_iter().map(|c| c.min(input.len())).chain([0, input.len()]).collect();
            cuts.sort_unstable();
            let parts: Vec<_> = cuts.windows(2).map(|w| &input[w[0]..w[1]]).collect();
            let plain = |r: Result<(Vec<u8>, Option<usize>), ChunkError>| r.map(|(data, rest)| (data, rest.is_some()));
            proptest::prop_assert_eq!(plain(decode(&parts)), plain(decode(&[&input])));
        }
    }
}
