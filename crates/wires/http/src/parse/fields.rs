//! A block of header field lines, as request heads, response heads and trailers have in common.

use gibbon_message::{Headers, Span};
use memchr::memchr;

/// What a block of field lines may hold.
#[derive(Clone, Copy, Debug)]
pub struct FieldLimits {
    /// Most lines.
    pub lines: usize,
    /// Which names are kept.
    pub names: Names,
    /// Whether a line may end in LF alone.
    pub bare_lf: bool,
}

/// What becomes of a name that is unusual but cannot be mistaken for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// Only letters, digits, `-` and `_` are kept, other fields dropped, as nginx does with requests.
    PlainOrDrop,
    /// The same, but other fields are an error.
    PlainOrRefuse,
    /// Any token is kept, other fields dropped, as suits answers.
    TokenOrDrop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldError {
    TooMany,
    Bad(&'static str),
}

/// Names and values found, as ranges of the parsed input. Kept from head to head so that finding them
/// allocates nothing.
#[derive(Debug, Default)]
pub struct Spans(Vec<(Span, Span)>);

/// Where a complete block ends, counted from the start of the input, and whether a value holds control
/// characters that must not be passed on as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub end: usize,
    pub odd: bool,
}

/// Letters, digits, `-`, `_`.
const PLAIN: u8 = 0;
/// Other characters of a token.
const TOKEN: u8 = 1;
/// What nginx takes in a name it then ignores.
const STRANGE: u8 = 2;
const COLON: u8 = 4;
/// Controls and space: a name with these could be read as another one.
const FORBIDDEN: u8 = 8;

const CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [STRANGE; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        let class = if b.is_ascii_alphanumeric() || b == b'-' || b == b'_' {
            PLAIN
        } else if b == b':' {
            COLON
        } else if b <= b' ' || b == 0x7f {
            FORBIDDEN
        } else if matches!(b, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'.' | b'^' | b'`' | b'|' | b'~')
        {
            TOKEN
        } else {
            STRANGE
        };
        #[allow(clippy::indexing_slicing)] // evaluated by the compiler
        {
            table[byte] = class;
        }
        byte += 1;
    }
    table
}

/// Finds the fields of a block that begins at `start` and ends with an empty line. `None`: the empty
/// line has not arrived.
pub(super) fn block(
    input: &[u8],
    start: usize,
    limits: FieldLimits,
    spans: &mut Spans,
) -> Result<Option<Block>, FieldError> {
    spans.0.clear();
    let mut position = start;
    let mut line_ends = 0;
    let mut lines = 0;
    loop {
        let Some(rest) = input.get(position..) else { return Ok(None) };
        let Some(lf) = memchr(b'\n', rest) else { return Ok(None) };
        let with_end = rest.get(..lf).unwrap_or_default();
        let line = with_end.strip_suffix(b"\r").unwrap_or(with_end);
        if line.len() == with_end.len() && !limits.bare_lf {
            return Err(FieldError::Bad("line ends in LF alone"));
        }
        line_ends += with_end.len() - line.len() + 1;
        if line.is_empty() {
            let end = position + lf + 1;
            let controls = count_controls(input.get(start..end).unwrap_or_default());
            return Ok(Some(Block { end, odd: controls != line_ends }));
        }
        lines += 1;
        if lines > limits.lines {
            return Err(FieldError::TooMany);
        }
        field(line, position, limits.names, spans)?;
        position += lf + 1;
    }
}

fn field(line: &[u8], position: usize, names: Names, spans: &mut Spans) -> Result<(), FieldError> {
    let (name_length, classes) = name_of(line);
    if classes & FORBIDDEN != 0 {
        // Also every line that begins with white space: obsolete folding (RFC 9112 5.2).
        return Err(FieldError::Bad("white space or control character in a field name"));
    }
    if name_length == 0 {
        return Err(FieldError::Bad("empty field name"));
    }
    let kept = match names {
        Names::PlainOrDrop => classes == PLAIN,
        Names::PlainOrRefuse if classes != PLAIN => return Err(FieldError::Bad("invalid character in a field name")),
        Names::PlainOrRefuse => true,
        Names::TokenOrDrop => classes & STRANGE == 0,
    };
    if kept {
        let (from, to) = trim(line, name_length + 1);
        let name = Span::new(position, position + name_length);
        spans.0.push((name, Span::new(position + from, position + to)));
    }
    Ok(())
}

/// Length of the name (all of the line if there is no colon) and the classes of its characters.
fn name_of(line: &[u8]) -> (usize, u8) {
    let mut seen = 0;
    for (at, &byte) in line.iter().enumerate() {
        let class = CLASS.get(byte as usize).copied().unwrap_or(FORBIDDEN);
        if class == COLON {
            return (at, seen);
        }
        seen |= class;
    }
    (line.len(), seen)
}

/// The range of `line[from..]` without white space at either end.
fn trim(line: &[u8], from: usize) -> (usize, usize) {
    let blank = |b: &u8| *b == b' ' || *b == b'\t';
    let value = line.get(from..).unwrap_or_default();
    let Some(first) = value.iter().position(|b| !blank(b)) else { return (line.len(), line.len()) };
    let last = value.iter().rposition(|b| !blank(b)).unwrap_or(first);
    (from + first, from + last + 1)
}

/// Control characters other than tab, counted so that the compiler can use vector instructions.
fn count_controls(bytes: &[u8]) -> usize {
    let control = |b: u8| u8::from(b < 0x20 && b != b'\t') | u8::from(b == 0x7f);
    bytes.chunks(192).map(|part| part.iter().fold(0u8, |n, &b| n + control(b)) as usize).sum()
}

impl Spans {
    pub(super) fn iter(&self) -> impl Iterator<Item = (Span, Span)> {
        self.0.iter().copied()
    }

    /// Copies the fields into `headers`. `input` up to `end` is what the spans were found in.
    pub(super) fn load(
        &self,
        input: &[u8],
        start: usize,
        block: Block,
        headers: &mut Headers,
    ) -> Result<(), FieldError> {
        if block.odd {
            return self.load_escaped(input, headers);
        }
        headers.load(input.get(start..block.end).unwrap_or_default());
        let moved = |span: Span| Span { start: span.start - start as u32, len: span.len };
        for (name, value) in self.iter() {
            headers.push_span(moved(name), moved(value));
        }
        Ok(())
    }

    /// NUL and CR could end a line for somebody and are refused; other control characters are escaped.
    fn load_escaped(&self, input: &[u8], headers: &mut Headers) -> Result<(), FieldError> {
        headers.clear();
        for (name, value) in self.iter() {
            let value = slice(input, value);
            if value.iter().any(|&b| b == 0 || b == b'\r') {
                return Err(FieldError::Bad("NUL or CR in a field value"));
            }
            headers.append(slice(input, name), value);
        }
        Ok(())
    }
}

pub(super) fn slice(input: &[u8], span: Span) -> &[u8] {
    input.get(span.start as usize..(span.start + span.len) as usize).unwrap_or_default()
}

/// Parses a trailer section, without what must not come in trailers (RFC 9110 6.5.1: framing, routing,
/// connection handling). `None`: incomplete. On success the number of bytes it took.
pub fn trailers(
    input: &[u8],
    lines: usize,
    spans: &mut Spans,
    trailers: &mut Headers,
) -> Result<Option<usize>, &'static str> {
    let limits = FieldLimits { lines, names: Names::TokenOrDrop, bare_lf: false };
    let to_text = |error| match error {
        FieldError::TooMany => "too many trailer fields",
        FieldError::Bad(why) => why,
    };
    let Some(found) = block(input, 0, limits, spans).map_err(to_text)? else { return Ok(None) };
    spans.load(input, 0, found, trailers).map_err(to_text)?;
    trailers.retain(|name, _| !is_forbidden_in_trailers(name));
    Ok(Some(found.end))
}

pub(crate) fn is_forbidden_in_trailers(name: &[u8]) -> bool {
    const FORBIDDEN_NAMES: [&str; 12] = [
        "content-length",
        "transfer-encoding",
        "host",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "upgrade",
        "content-encoding",
        "content-type",
        "authorization",
        "set-cookie",
    ];
    FORBIDDEN_NAMES.iter().any(|f| name.eq_ignore_ascii_case(f.as_bytes()))
}

/// An unsigned decimal number without sign, blank or list (RFC 9110 8.6); as nginx, below 2^63.
pub(crate) fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = value.iter().fold(0u64, |n, &b| n.wrapping_mul(10).wrapping_add(u64::from(b - b'0')));
    i64::try_from(number).ok().map(|n| n as u64)
}

/// The elements of a comma-separated list.
pub(super) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}
