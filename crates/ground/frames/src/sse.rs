//! Server-sent events, as the WHATWG HTML standard (section 9.2.6) interprets them: lines end with
//! CRLF, LF or CR; a leading byte-order mark is skipped; `data` lines join with LF; a blank line
//! ends the event. One deliberate leniency: at the end of the body an event without its blank line
//! still counts, because several providers leave it out.
//!
//! The `id` is reported with the event that carried it; remembering the last one across events and
//! reconnecting are the reader's business.

use crate::{DEFAULT_LIMIT, FrameError, carry::Carry};
use memchr::memchr2;

const BOM: [u8; 3] = [0xEF, 0xBB, 0xBF];

/// One event, lent for the duration of the callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// The `event` field; empty when absent (the standard reads that as `message`).
    pub name: &'a [u8],
    /// The joined `data` lines, without the last line feed.
    pub data: &'a [u8],
    /// The `id` field of this event, if it had one.
    pub id: Option<&'a [u8]>,
    /// The `retry` field in milliseconds, if it had one made of digits only.
    pub retry: Option<u64>,
}

/// Cuts a byte stream into events.
#[derive(Debug)]
pub struct Splitter {
    /// The unfinished line.
    line: Carry,
    /// The data of the unfinished event, when it could not be lent from one chunk.
    data: Carry,
    name: Carry,
    id: Option<Vec<u8>>,
    retry: Option<u64>,
    has_data: bool,
    /// The last line ended with CR: a LF right after belongs to it.
    skip_lf: bool,
    /// Bytes of a byte-order mark seen so far, at the very start only.
    bom: Option<u8>,
    failed: Option<FrameError>,
}

impl Default for Splitter {
    fn default() -> Self {
        Self::new(DEFAULT_LIMIT)
    }
}

impl Splitter {
    /// A splitter that refuses a line, or the joined data of an event, above `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            line: Carry::new(limit, "line of an event"),
            data: Carry::new(limit, "event"),
            name: Carry::new(limit, "event name"),
            id: None,
            retry: None,
            has_data: false,
            skip_lf: false,
            bom: Some(0),
            failed: None,
        }
    }

    /// Feeds one chunk; `on_event` sees every event that it completes, in order.
    ///
    /// # Errors
    /// [`FrameError::TooLong`]; from then on every call returns the same error.
    pub fn push(&mut self, chunk: &[u8], mut on_event: impl FnMut(Event<'_>)) -> Result<(), FrameError> {
        if let Some(e) = &self.failed {
            return Err(e.clone());
        }
        let result = self.split(chunk, &mut on_event);
        if let Err(e) = &result {
            self.failed = Some(e.clone());
        }
        result
    }

    /// The body has ended: hands out the last event if its blank line is missing.
    ///
    /// # Errors
    /// The error of an earlier [`push`](Self::push), or an unfinished line above the limit.
    pub fn finish(&mut self, mut on_event: impl FnMut(Event<'_>)) -> Result<(), FrameError> {
        // Two line ends close both an unfinished line and the event; a second one is harmless.
        self.push(b"\n\n", &mut on_event)
    }

    fn split(&mut self, chunk: &[u8], on_event: &mut dyn FnMut(Event<'_>)) -> Result<(), FrameError> {
        let mut rest = self.skip_bom(chunk)?;
        // Data of the current event while it can still be lent from this chunk.
        let mut lent: Option<&[u8]> = None;
        loop {
            if self.skip_lf && !rest.is_empty() {
                self.skip_lf = false;
                rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            }
            let Some(end) = memchr2(b'\r', b'\n', rest) else { break };
            let (line, after) = rest.split_at(end);
            self.skip_lf = after.first() == Some(&b'\r');
            rest = after.get(1..).unwrap_or_default();
            if self.line.is_empty() {
                self.line.check(line.len())?;
                self.take_line(line, &mut lent, on_event)?;
            } else {
                self.line.push(line)?;
                let whole = std::mem::replace(&mut self.line, Carry::new(0, ""));
                // The bytes of `whole` do not outlive this call, so its data is never lent.
                self.spill(&mut lent)?;
                let mut none = None;
                self.take_line(whole.bytes(), &mut none, on_event)?;
                self.spill(&mut none)?;
                self.line = whole;
                self.line.clear();
            }
        }
        self.spill(&mut lent)?;
        self.line.push(rest)
    }

    /// Moves lent data into the buffer, where it survives the chunk.
    fn spill(&mut self, lent: &mut Option<&[u8]>) -> Result<(), FrameError> {
        match lent.take() {
            Some(d) => self.data.push(d),
            None => Ok(()),
        }
    }

    fn take_line<'a>(
        &mut self,
        line: &'a [u8],
        lent: &mut Option<&'a [u8]>,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), FrameError> {
        if line.is_empty() {
            self.dispatch(lent.take(), on_event);
            return Ok(());
        }
        let (field, value) = match memchr::memchr(b':', line) {
            Some(at) => {
                let (field, value) = line.split_at(at);
                let value = value.get(1..).unwrap_or_default();
                (field, value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &[][..]),
        };
        match field {
            b"data" if !self.has_data => {
                self.has_data = true;
                *lent = Some(value);
            }
            b"data" => {
                self.spill(lent)?;
                self.data.push(b"\n")?;
                self.data.push(value)?;
            }
            b"event" => {
                self.name.clear();
                self.name.push(value)?;
            }
            // The standard ignores an id with NUL in it.
            b"id" if memchr::memchr(0, value).is_none() => self.id = Some(value.to_vec()),
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                self.retry = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok());
            }
            // Comments (empty field name) and unknown fields.
            _ => {}
        }
        Ok(())
    }

    fn dispatch(&mut self, lent: Option<&[u8]>, on_event: &mut dyn FnMut(Event<'_>)) {
        if self.has_data {
            let data = lent.unwrap_or_else(|| self.data.bytes());
            on_event(Event { name: self.name.bytes(), data, id: self.id.as_deref(), retry: self.retry });
        }
        self.has_data = false;
        self.data.clear();
        self.name.clear();
        self.id = None;
        self.retry = None;
    }

    /// Skips a byte-order mark at the very start, which chunks may cut anywhere.
    fn skip_bom<'a>(&mut self, chunk: &'a [u8]) -> Result<&'a [u8], FrameError> {
        let Some(mut seen) = self.bom else { return Ok(chunk) };
        let mut rest = chunk;
        while let Some((first, after)) = rest.split_first() {
            if BOM.get(usize::from(seen)) == Some(first) {
                seen += 1;
                rest = after;
                self.bom = Some(seen);
                if usize::from(seen) == BOM.len() {
                    self.bom = None;
                    return Ok(rest);
                }
            } else {
                // No mark after all: what looked like one is the start of the first line.
                self.bom = None;
                self.line.push(BOM.get(..usize::from(seen)).unwrap_or_default())?;
                return Ok(rest);
            }
        }
        Ok(rest)
    }
}

/// Appends one event. `data` may hold line breaks: each of its lines becomes a `data` line, so that
/// no text can end the event early or start another. Line breaks in `name` are left out for the
/// same reason.
pub fn write(out: &mut Vec<u8>, name: Option<&str>, data: &[u8]) {
    if let Some(name) = name {
        out.extend_from_slice(b"event: ");
        out.extend(name.bytes().filter(|b| !matches!(b, b'\r' | b'\n')));
        out.push(b'\n');
    }
    let mut rest = data;
    loop {
        out.extend_from_slice(b"data: ");
        let Some(end) = memchr2(b'\r', b'\n', rest) else {
            out.extend_from_slice(rest);
            break;
        };
        let (line, after) = rest.split_at(end);
        out.extend_from_slice(line);
        out.push(b'\n');
        rest = after.strip_prefix(b"\r\n").or_else(|| after.get(1..)).unwrap_or_default();
    }
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Owned = (String, String, Option<String>, Option<u64>);

    fn own(e: Event<'_>) -> Owned {
        let s = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        (s(e.name), s(e.data), e.id.map(s), e.retry)
    }

    fn read(pieces: &[&[u8]]) -> Vec<Owned> {
        let mut got = Vec::new();
        let mut splitter = Splitter::new(1 << 16);
        for piece in pieces {
            splitter.push(piece, |e| got.push(own(e))).unwrap();
        }
        splitter.finish(|e| got.push(own(e))).unwrap();
        got
    }

    fn data(text: &str) -> Vec<String> {
        read(&[text.as_bytes()]).into_iter().map(|e| e.1).collect()
    }

    #[test]
    fn all_three_line_ends_separate_lines_and_events() {
        for end in ["\n", "\r\n", "\r"] {
            let text = format!("event: a{end}data: 1{end}{end}data: 2{end}{end}");
            let got = read(&[text.as_bytes()]);
            assert_eq!(got.len(), 2, "{end:?}");
            assert_eq!((got[0].0.as_str(), got[0].1.as_str()), ("a", "1"));
            assert_eq!((got[1].0.as_str(), got[1].1.as_str()), ("", "2"));
        }
    }

    #[test]
    fn data_lines_join_with_a_line_feed() {
        assert_eq!(data("data: a\ndata\ndata:b\n\n"), ["a\n\nb"]);
    }

    #[test]
    fn one_space_after_the_colon_is_dropped_and_only_one() {
        assert_eq!(data("data:x\n\ndata:  y\n\n"), ["x", " y"]);
    }

    #[test]
    fn comments_unknown_fields_and_events_without_data_are_silent() {
        assert_eq!(data(": OPENROUTER PROCESSING\n\nfoo: 1\n\nevent: ping\n\ndata: x\n\n"), ["x"]);
    }

    #[test]
    fn an_empty_data_line_is_an_event_with_empty_data() {
        assert_eq!(data("data:\n\n"), [""]);
    }

    #[test]
    fn a_byte_order_mark_is_skipped_at_the_start_only() {
        assert_eq!(data("\u{feff}data: x\n\n\u{feff}data: y\n\n"), ["x"]);
    }

    #[test]
    fn the_last_event_counts_without_its_blank_line() {
        assert_eq!(data("data: x\n\ndata: y"), ["x", "y"]);
        assert_eq!(data("data: x\n\ndata: y\n"), ["x", "y"]);
    }

    #[test]
    fn id_and_retry_belong_to_their_event() {
        let got = read(&[b"id: 7\nretry: 30\ndata: a\n\nretry: x\ndata: b\n\n"]);
        assert_eq!(got[0], (String::new(), "a".into(), Some("7".into()), Some(30)));
        assert_eq!(got[1], (String::new(), "b".into(), None, None));
    }

    #[test]
    fn a_line_or_an_event_above_the_limit_is_refused_for_good() {
        let mut s = Splitter::new(16);
        let err = s.push(&[b'x'; 17], |_| {}).unwrap_err();
        assert!(matches!(err, FrameError::TooLong { limit: 16, .. }));
        assert_eq!(s.push(b"data: 1\n\n", |_| {}).unwrap_err(), err);
        let mut s = Splitter::new(16);
        let many: Vec<u8> = b"data: 12345\n".repeat(4);
        assert!(matches!(s.push(&many, |_| {}), Err(FrameError::TooLong { what: "event", .. })));
    }

    #[test]
    fn written_text_cannot_end_its_event_early() {
        let mut out = Vec::new();
        write(&mut out, Some("a\nb"), b"x\n\ndata: fake\r\nevent: y\rz");
        let got = read(&[&out]);
        assert_eq!(got.len(), 1);
        assert_eq!(got[0].0, "ab");
        assert_eq!(got[0].1, "x\n\ndata: fake\nevent: y\nz");
    }

    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just("data: "),
            Just("data:"),
            Just("event: e"),
            Just("id: 4"),
            Just(":c"),
            Just("\n"),
            Just("\r"),
            Just("\r\n"),
            Just("\n\n"),
            Just("{\"a\":1}"),
            Just("\u{feff}"),
            Just("é"),
            Just("retry: 5"),
        ];
        prop::collection::vec(piece, 0..40).prop_map(|p| p.concat().into_bytes())
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same_events(bytes in stream(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
            let whole = read(&[&bytes]);
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(&read(&single), &whole);
            let mut at: Vec<usize> = cuts.iter().map(|c| c.index(bytes.len() + 1)).collect();
            at.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for to in at {
                pieces.push(&bytes[from..to]);
                from = to;
            }
            pieces.push(&bytes[from..]);
            prop_assert_eq!(&read(&pieces), &whole);
        }

        #[test]
        fn any_bytes_are_survived_within_the_limit(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut s = Splitter::new(32);
            for b in bytes.chunks(7) {
                let _ = s.push(b, |e| assert!(e.data.len() <= 32));
            }
        }

        #[test]
        fn what_is_written_is_read_back(name in "[a-z]{1,8}", text in "[a-z\n{}: \"]{0,40}") {
            let mut out = Vec::new();
            write(&mut out, Some(&name), text.as_bytes());
            let got = read(&[&out]);
            prop_assert_eq!(got.len(), 1);
            prop_assert_eq!(&got[0].0, &name);
            prop_assert_eq!(&got[0].1, &text);
        }
    }
}
