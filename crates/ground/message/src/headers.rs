//! A header block that costs no allocation per header: one arena of bytes and a list of spans.
//!
//! Names are compared without regard to case, order and spelling are kept as they arrived. Fields stand in the arena as
//! lines, as they are sent over HTTP/1.1, so that a whole block leaves in a few copies.
//! A value can never smuggle a line break: what is set through the public face is escaped, so
//! header injection is impossible by construction, whoever sets it. Limits on the number and size
//! of headers are the parser's business.

use std::ops::Range;

/// A range of bytes inside the arena of a [`Headers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub start: u32,
    pub len: u32,
}

impl Span {
    /// The span of `bytes[start..end]`; a message head is far below 4 GiB.
    #[must_use]
    pub fn new(start: usize, end: usize) -> Self {
        Span { start: start as u32, len: end.saturating_sub(start) as u32 }
    }

    fn of(self, arena: &[u8]) -> &[u8] {
        let start = self.start as usize;
        arena.get(start..start + self.len as usize).unwrap_or_default()
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    name: Span,
    value: Span,
}

impl Entry {
    /// Where the field stands as a whole line: `name: value` and the end of the line.
    fn line(&self, arena: &[u8]) -> Option<Range<usize>> {
        let colon = (self.name.start + self.name.len) as usize;
        let end = (self.value.start + self.value.len) as usize;
        let is_line = self.value.start as usize == colon + SEPARATOR.len()
            && arena.get(colon..)?.starts_with(SEPARATOR)
            && arena.get(end..)?.starts_with(LINE_END);
        is_line.then_some(self.name.start as usize..end + LINE_END.len())
    }
}

const SEPARATOR: &[u8; 2] = b": ";
const LINE_END: &[u8; 2] = b"\r\n";

/// An ordered multi-map of header fields.
#[derive(Clone, Debug, Default)]
pub struct Headers {
    arena: Vec<u8>,
    /// On the heap, since blocks are kept and reused, and a small block moves cheaply.
    entries: Vec<Entry>,
}

impl Headers {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Empties the block and keeps its memory for the next message.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.entries.clear();
    }

    /// Number of header fields (not of distinct names).
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of memory held, for limits and pools.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.arena.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    /// Bytes the block takes on the wire as HTTP/1.1 lines.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        self.entries.iter().map(|e| (e.name.len + e.value.len + 4) as usize).sum()
    }

    /// Starts a block from a parsed head: `raw` is copied once, the spans of later
    /// [`push_span`](Self::push_span) calls point into it.
    pub fn load(&mut self, raw: &[u8]) {
        self.clear();
        self.arena.extend_from_slice(raw);
    }

    /// Adds a field whose name and value lie in the bytes given to [`load`](Self::load).
    /// The caller (the parser) answers for their validity.
    pub fn push_span(&mut self, name: Span, value: Span) {
        self.entries.push(Entry { name, value });
    }

    /// Writes the fields that `keep(name, value)` asks for as HTTP/1.1 lines, those that stand together in one copy.
    pub fn write_lines(&self, out: &mut Vec<u8>, mut keep: impl FnMut(&[u8], &[u8]) -> bool) {
        let mut run = 0..0;
        for entry in &self.entries {
            let (name, value) = (entry.name.of(&self.arena), entry.value.of(&self.arena));
            if !keep(name, value) {
                continue;
            }
            match entry.line(&self.arena) {
                Some(line) if line.start == run.end => run.end = line.end,
                Some(line) => {
                    out.extend_from_slice(self.arena.get(run).unwrap_or_default());
                    run = line;
                }
                None => {
                    out.extend_from_slice(self.arena.get(run).unwrap_or_default());
                    run = 0..0;
                    push_line(out, name, &[value]);
                }
            }
        }
        out.extend_from_slice(self.arena.get(run).unwrap_or_default());
    }

    /// All fields in order, as `(name, value)`.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> + ExactSizeIterator {
        self.entries.iter().map(|e| (e.name.of(&self.arena), e.value.of(&self.arena)))
    }

    /// The first value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.find(name.as_bytes()).and_then(|i| self.entries.get(i)).map(|e| e.value.of(&self.arena))
    }

    /// The first value of `name`, if it is UTF-8.
    #[must_use]
    pub fn get_str(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|v| std::str::from_utf8(v).ok())
    }

    /// Whether the name of some field begins with these bytes: a look at the lengths for most that do not.
    #[must_use]
    pub fn any_begins(&self, prefix: &[u8]) -> bool {
        let begins = |name: &[u8]| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
        self.entries.iter().any(|e| e.name.len as usize >= prefix.len() && begins(e.name.of(&self.arena)))
    }

    /// All values of `name` in order.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, v)| v)
    }

    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.find(name.as_bytes()).is_some()
    }

    /// As [`contains`](Self::contains), of a name as it came.
    #[must_use]
    pub fn contains_bytes(&self, name: &[u8]) -> bool {
        self.find(name).is_some()
    }

    /// Adds a field behind the others; control characters in it are percent-escaped.
    pub fn append(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let entry = self.store_line(name.as_ref(), value.as_ref());
        self.entries.push(entry);
    }

    /// As [`append`](Self::append), of a name that is known to be one, and with a value in several parts that nobody has
    /// to join first.
    #[inline]
    pub fn append_parts(&mut self, name: &'static [u8], parts: &[&[u8]]) {
        if parts.iter().any(|part| may_need_escapes(part)) {
            return self.append(name, parts.concat());
        }
        match parts {
            [value] => self.append_clean(name, value),
            _ => self.append_clean_parts(name, parts),
        }
    }

    /// Puts more behind the first value of `name`; nothing happens without one.
    pub fn extend_value(&mut self, name: &str, parts: &[&[u8]]) {
        let Some(entry) = self.find(name.as_bytes()).and_then(|at| self.entries.get_mut(at)) else { return };
        let (start, old) = (self.arena.len(), entry.value.start as usize);
        self.arena.extend_from_within(old..old + entry.value.len as usize);
        for part in parts {
            write_escaped_value(&mut self.arena, part);
        }
        entry.value = Span::new(start, self.arena.len());
    }

    /// Adds a field before the others.
    pub fn prepend(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let entry = self.store_line(name.as_ref(), value.as_ref());
        self.entries.insert(0, entry);
    }

    /// Makes `value` the only value of `name`: the first field of that name keeps its place and
    /// spelling, further ones go, a missing one is added at the end.
    pub fn set(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let name = name.as_ref();
        match self.find(name) {
            None => self.append(name, value),
            Some(first) => {
                let span = self.store_value(value.as_ref());
                self.replace(first, name, span);
            }
        }
    }

    /// As [`set`](Self::set), for bytes that are known to be harmless: see [`append_clean`](Self::append_clean).
    pub fn set_clean(&mut self, name: &[u8], value: &[u8]) {
        match self.find(name) {
            None => self.append_clean(name, value),
            Some(first) => {
                let span = self.store(value);
                self.replace(first, name, span);
            }
        }
    }

    /// Makes `values` the only values of `name`, in their order.
    pub fn set_all<V: AsRef<[u8]>>(&mut self, name: &str, values: impl IntoIterator<Item = V>) {
        self.remove(name);
        for value in values {
            self.append(name, value);
        }
    }

    /// Removes every field of that name; tells whether there was one.
    pub fn remove(&mut self, name: impl AsRef<[u8]>) -> bool {
        let name = name.as_ref();
        let Some(first) = self.find(name) else { return false };
        self.entries.remove(first);
        let arena = &self.arena;
        self.entries.retain(|e| !e.name.of(arena).eq_ignore_ascii_case(name));
        true
    }

    /// Keeps the fields for which `keep(name, value)` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&[u8], &[u8]) -> bool) {
        let arena = &self.arena;
        self.entries.retain(|e| keep(e.name.of(arena), e.value.of(arena)));
    }

    /// Copies every field of `other` behind these.
    pub fn extend_from(&mut self, other: &Headers) {
        for (name, value) in other.iter() {
            self.append_clean(name, value);
        }
    }

    /// Adds a field whose bytes are known to be harmless: they come from another block or are a
    /// constant. Saves the checks of [`append`](Self::append) on the hot path.
    // Where the name is a constant its copy is a few moves, and nothing is left of the checks.
    #[inline(always)]
    pub fn append_clean(&mut self, name: &[u8], value: &[u8]) {
        debug_assert!(is_token(name) && !value.iter().any(|&b| is_forbidden_in_value(b)));
        let start = self.arena.len();
        self.arena.reserve(name.len() + SEPARATOR.len() + value.len() + LINE_END.len());
        self.arena.extend_from_slice(name);
        self.arena.extend_from_slice(SEPARATOR);
        self.arena.extend_from_slice(value);
        self.arena.extend_from_slice(LINE_END);
        self.push_line_entry(start, name.len());
    }

    /// As [`append_clean`](Self::append_clean), with a value in several parts.
    pub fn append_clean_parts(&mut self, name: &[u8], parts: &[&[u8]]) {
        debug_assert!(is_token(name) && !parts.iter().copied().flatten().any(|&b| is_forbidden_in_value(b)));
        let start = self.arena.len();
        push_line(&mut self.arena, name, parts);
        self.push_line_entry(start, name.len());
    }

    /// The entry of the line that the arena ends with.
    fn push_line_entry(&mut self, start: usize, name: usize) {
        let colon = start + name;
        let value = Span::new(colon + SEPARATOR.len(), self.arena.len() - LINE_END.len());
        self.entries.push(Entry { name: Span::new(start, colon), value });
    }

    /// Copies a block that was made once, such as the fields that are the same in every message, behind these.
    pub fn append_block(&mut self, block: &Headers) {
        let shift = self.arena.len() as u32;
        let moved = |span: Span| Span { start: span.start + shift, len: span.len };
        self.arena.extend_from_slice(&block.arena);
        self.entries.extend(block.entries.iter().map(|e| Entry { name: moved(e.name), value: moved(e.value) }));
    }

    fn find(&self, name: &[u8]) -> Option<usize> {
        self.entries
            .iter()
            .position(|e| e.name.len as usize == name.len() && e.name.of(&self.arena).eq_ignore_ascii_case(name))
    }

    /// Makes `value` the only value of `name`, whose first field is known.
    fn replace(&mut self, first: usize, name: &[u8], value: Span) {
        if let Some(entry) = self.entries.get_mut(first) {
            entry.value = value;
        }
        let arena = &self.arena;
        let mut index = 0;
        self.entries.retain(|e| {
            let keep = index <= first || !e.name.of(arena).eq_ignore_ascii_case(name);
            index += 1;
            keep
        });
    }

    fn store(&mut self, bytes: &[u8]) -> Span {
        let start = self.arena.len();
        self.arena.extend_from_slice(bytes);
        Span::new(start, self.arena.len())
    }

    fn store_name(&mut self, name: &[u8]) -> Span {
        if is_token(name) {
            return self.store(name);
        }
        let start = self.arena.len();
        for &byte in name {
            if is_token_byte(byte) { self.arena.push(byte) } else { push_escaped(&mut self.arena, byte) }
        }
        Span::new(start, self.arena.len())
    }

    fn store_line(&mut self, name: &[u8], value: &[u8]) -> Entry {
        let name = self.store_name(name);
        self.arena.extend_from_slice(SEPARATOR);
        let value = self.store_value(value);
        self.arena.extend_from_slice(LINE_END);
        Entry { name, value }
    }

    fn store_value(&mut self, value: &[u8]) -> Span {
        let start = self.arena.len();
        write_escaped_value(&mut self.arena, value);
        Span::new(start, self.arena.len())
    }
}

/// Room is made once, so that the parts are plain copies.
fn push_line(out: &mut Vec<u8>, name: &[u8], parts: &[&[u8]]) {
    let value: usize = parts.iter().map(|part| part.len()).sum();
    out.reserve(name.len() + SEPARATOR.len() + value + LINE_END.len());
    out.extend_from_slice(name);
    out.extend_from_slice(SEPARATOR);
    for part in parts {
        out.extend_from_slice(part);
    }
    out.extend_from_slice(LINE_END);
}

/// Appends a field value, with the control characters that could end a line (and their kin)
/// percent-escaped, as OpenResty does.
pub fn write_escaped_value(out: &mut Vec<u8>, value: &[u8]) {
    if !may_need_escapes(value) {
        out.extend_from_slice(value);
        return;
    }
    for &byte in value {
        if is_forbidden_in_value(byte) { push_escaped(out, byte) } else { out.push(byte) }
    }
}

/// Whether some byte of a value may be one that is escaped; a tab, which is not, counts as one that may. Eight bytes at a
/// time, because every value of every message is looked at and few are longer than a machine's vectors want.
fn may_need_escapes(value: &[u8]) -> bool {
    /// 1 in every byte.
    const ONES: u64 = u64::MAX / 255;
    let suspicious = |eight: &[u8; 8]| {
        let word = u64::from_le_bytes(*eight);
        let del = word ^ (0x7f * ONES);
        // The top bit of a byte is set where it is below 0x20, and where it is 0x7f; a borrow can only come from such a byte.
        let below = word.wrapping_sub(0x20 * ONES) & !word;
        let equal = del.wrapping_sub(ONES) & !del;
        (below | equal) & (0x80 * ONES) != 0
    };
    match value.last_chunk() {
        // The last eight, some of which were seen before, in place of a rest that would be looked at one by one.
        Some(last) => value.as_chunks().0.iter().chain([last]).any(suspicious),
        None => value.iter().any(|&b| is_forbidden_in_value(b)),
    }
}

/// Whether `name` is a `token` of RFC 9110 5.6.2, the only form a field name may have.
#[must_use]
pub fn is_token(name: &[u8]) -> bool {
    // Nearly every name is of letters and hyphens, which is seen many bytes at a time.
    let is_plain = |b: u8| ((b | 0x20).wrapping_sub(b'a') < 26) | (b == b'-');
    !name.is_empty()
        && (name.iter().fold(true, |plain, &b| plain & is_plain(b)) || name.iter().all(|&b| is_token_byte(b)))
}

/// Which bytes may stand in a token, as one look-up each: every name of every message is looked at.
#[allow(clippy::indexing_slicing)] // evaluated by the compiler, which refuses an index beyond the end
const TOKEN_BYTES: [bool; 256] = {
    let marks = b"!#$%&'*+-.^_`|~";
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut mark = 0;
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        while mark < marks.len() {
            table[byte] |= marks[mark] == byte as u8;
            mark += 1;
        }
        byte += 1;
    }
    table
};

fn is_token_byte(byte: u8) -> bool {
    TOKEN_BYTES.get(usize::from(byte)).copied().unwrap_or_default()
}

fn is_forbidden_in_value(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\t') || byte == 0x7f
}

fn push_escaped(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |n: u8| HEX.get(n as usize).copied().unwrap_or(b'0');
    out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn block(fields: &[(&str, &str)]) -> Headers {
        let mut headers = Headers::new();
        for (name, value) in fields {
            headers.append(name, value);
        }
        headers
    }

    fn shown(headers: &Headers) -> Vec<(String, String)> {
        let text = |b: &[u8]| String::from_utf8(b.to_vec()).unwrap();
        headers.iter().map(|(n, v)| (text(n), text(v))).collect()
    }

    #[test]
    fn names_are_found_in_any_case_and_keep_their_spelling() {
        let headers = block(&[("Content-TYPE", "a"), ("content-type", "b")]);
        assert_eq!(headers.get("Content-Type"), Some(&b"a"[..]));
        assert_eq!(headers.get_all("content-type").count(), 2);
        assert_eq!(shown(&headers)[0].0, "Content-TYPE");
    }

    #[test]
    fn set_replaces_in_place_and_drops_the_others() {
        let mut headers = block(&[("A", "1"), ("B", "2"), ("a", "3"), ("C", "4")]);
        headers.set("a", "9");
        assert_eq!(
            shown(&headers),
            block(&[("A", "9"), ("B", "2"), ("C", "4")])
                .iter()
                .map(|(n, v)| (String::from_utf8_lossy(n).into(), String::from_utf8_lossy(v).into()))
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_line_break_in_a_value_is_escaped() {
        let headers = block(&[("X-A", "v\r\nEvil: 1"), ("X\r\nB", "ok")]);
        assert_eq!(shown(&headers), [("X-A".into(), "v%0D%0AEvil: 1".into()), ("X%0D%0AB".into(), "ok".into())]);
    }

    #[test]
    fn every_byte_is_judged_alike_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            for at in 0..17 {
                let mut value = [b'v'; 17];
                value[at] = byte;
                let mut written = Vec::new();
                write_escaped_value(&mut written, &value);
                assert_eq!(written != value, is_forbidden_in_value(byte), "{byte:#x} at {at}");
                let mut name = [b'n'; 17];
                name[at] = byte;
                assert_eq!(is_token(&name), is_token_byte(byte), "{byte:#x} at {at}");
            }
        }
        assert!(!is_token(b""));
    }

    #[test]
    fn a_value_in_parts_is_joined_and_can_grow() {
        let mut headers = Headers::new();
        headers.append_parts(b"Host", &[b"a.test", b":", b"8000"]);
        headers.append("Type", "text/plain");
        headers.extend_value("type", &[b"; charset=", b"u\r\n8"]);
        headers.extend_value("absent", &[b"x"]);
        let expect = [("Host".into(), "a.test:8000".into()), ("Type".into(), "text/plain; charset=u%0D%0A8".into())];
        assert_eq!(shown(&headers), expect);
    }

    #[test]
    fn spans_of_a_parsed_head_are_read_back() {
        let mut headers = Headers::new();
        headers.load(b"Host: a.test\r\n");
        headers.push_span(Span::new(0, 4), Span::new(6, 12));
        headers.append("X", "y");
        assert_eq!(shown(&headers), [("Host".into(), "a.test".into()), ("X".into(), "y".into())]);
    }

    #[test]
    fn lines_are_written_in_order_however_they_came_about() {
        let mut headers = Headers::new();
        headers.load(b"A: 1\r\nB:2\nC: 3\r\n");
        headers.push_span(Span::new(0, 1), Span::new(3, 4));
        headers.push_span(Span::new(6, 7), Span::new(8, 9));
        headers.push_span(Span::new(10, 11), Span::new(13, 14));
        headers.append_clean(b"D", b"4");
        headers.append_parts(b"E", &[b"5", b"\r\nF: 6"]);
        headers.append_block(&block(&[("G", "7"), ("H", "8")]));
        headers.set("c", "three");
        headers.prepend("Z", "0");
        headers.extend_value("a", &[b"1"]);
        headers.remove("d");
        let mut out = b"-".to_vec();
        headers.write_lines(&mut out, |name, _| name != b"H");
        let expect = "-Z: 0\r\nA: 11\r\nB: 2\r\nC: three\r\nE: 5%0D%0AF: 6\r\nG: 7\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), expect);
    }

    #[test]
    fn remove_takes_all_fields_of_a_name() {
        let mut headers = block(&[("A", "1"), ("B", "2"), ("a", "3")]);
        assert!(headers.remove("A"));
        assert!(!headers.remove("A"));
        assert_eq!(headers.len(), 1);
    }
}
