//! A JSON array that arrives piece by piece: hands out each element's text as soon as it is whole.
//! This is how Gemini streams when not asked for server-sent events.
//!
//! Brackets and quotes are matched, nothing else is checked: the text of an element goes to a JSON
//! parser next. A body that is one bare object (an error page of the same service) counts as an
//! array of one.

use crate::{DEFAULT_LIMIT, FrameError, carry::Carry};

/// Nesting deeper than this is refused; JSON parsers refuse it too, to spare their stack.
const MAX_DEPTH: u16 = 128;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the opening bracket.
    Start,
    /// Between elements: after the bracket or a comma.
    Between,
    /// Inside an element.
    Element,
    /// After the closing bracket.
    End,
}

/// Cuts a streamed JSON array into its elements.
#[derive(Debug)]
pub struct Splitter {
    state: State,
    /// The body is not an array but one bare value.
    bare: bool,
    depth: u16,
    in_string: bool,
    escaped: bool,
    element: Carry,
    failed: Option<FrameError>,
}

impl Default for Splitter {
    fn default() -> Self {
        Self::new(DEFAULT_LIMIT)
    }
}

impl Splitter {
    /// A splitter that refuses an element above `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            state: State::Start,
            bare: false,
            depth: 0,
            in_string: false,
            escaped: false,
            element: Carry::new(limit, "element of a JSON array"),
            failed: None,
        }
    }

    /// Feeds one chunk; `on_element` sees the text of every element that it completes.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] or [`FrameError::Broken`]; from then on every call returns the same.
    pub fn push(&mut self, chunk: &[u8], mut on_element: impl FnMut(&[u8])) -> Result<(), FrameError> {
        if let Some(e) = &self.failed {
            return Err(e.clone());
        }
        let result = self.split(chunk, &mut on_element);
        if let Err(e) = &result {
            self.failed = Some(e.clone());
        }
        result
    }

    /// The body has ended.
    ///
    /// # Errors
    /// [`FrameError::Truncated`] if the array was begun and not closed, or the error of an earlier push.
    pub fn finish(&mut self) -> Result<(), FrameError> {
        match (&self.failed, self.state) {
            (Some(e), _) => Err(e.clone()),
            (None, State::Start | State::End) => Ok(()),
            (None, _) => Err(FrameError::Truncated),
        }
    }

    fn split(&mut self, chunk: &[u8], on_element: &mut dyn FnMut(&[u8])) -> Result<(), FrameError> {
        // Where the current element starts in this chunk; 0 when it began in an earlier one.
        let mut from = 0;
        for (at, &byte) in chunk.iter().enumerate() {
            match self.state {
                State::Element => {
                    let end = self.step(byte)?;
                    let Some(inclusive) = end else { continue };
                    let to = if inclusive { at + 1 } else { at };
                    self.hand_out(chunk.get(from..to).unwrap_or_default(), on_element)?;
                    self.state = match (self.bare, byte) {
                        (true, _) => State::End,
                        (false, b']') if !inclusive => State::End,
                        _ => State::Between,
                    };
                }
                State::Start => match byte {
                    b'[' => self.state = State::Between,
                    b' ' | b'\t' | b'\r' | b'\n' => {}
                    b'{' => {
                        self.bare = true;
                        from = at;
                        self.begin(byte)?;
                    }
                    _ => return Err(broken("the body is neither an array nor an object")),
                },
                State::Between => match byte {
                    b' ' | b'\t' | b'\r' | b'\n' | b',' => {}
                    b']' => self.state = State::End,
                    b'}' => return Err(broken("a bracket closes that was never opened")),
                    _ => {
                        from = at;
                        self.begin(byte)?;
                    }
                },
                State::End => {
                    if !byte.is_ascii_whitespace() {
                        return Err(broken("bytes follow the end of the array"));
                    }
                }
            }
        }
        if self.state == State::Element {
            self.element.push(chunk.get(from..).unwrap_or_default())?;
        }
        Ok(())
    }

    fn begin(&mut self, byte: u8) -> Result<(), FrameError> {
        self.state = State::Element;
        self.depth = 0;
        self.in_string = false;
        self.escaped = false;
        self.step(byte).map(|_| ())
    }

    /// One byte of an element: `Some(true)` when the element ends with it, `Some(false)` when it
    /// ended before it.
    fn step(&mut self, byte: u8) -> Result<Option<bool>, FrameError> {
        if self.in_string {
            if self.escaped {
                self.escaped = false;
            } else if byte == b'\\' {
                self.escaped = true;
            } else if byte == b'"' {
                self.in_string = false;
            }
            return Ok(None);
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => {
                self.depth += 1;
                if self.depth > MAX_DEPTH {
                    return Err(broken("nested too deeply"));
                }
            }
            b'}' | b']' if self.depth > 0 => {
                self.depth -= 1;
                if self.depth == 0 {
                    return Ok(Some(true));
                }
            }
            b']' | b',' if self.depth == 0 => return Ok(Some(false)),
            b'}' => return Err(broken("a bracket closes that was never opened")),
            _ => {}
        }
        Ok(None)
    }

    fn hand_out(&mut self, last: &[u8], on_element: &mut dyn FnMut(&[u8])) -> Result<(), FrameError> {
        if self.element.is_empty() {
            self.element.check(last.len())?;
            on_element(last.trim_ascii());
        } else {
            self.element.push(last)?;
            on_element(self.element.bytes().trim_ascii());
            self.element.clear();
        }
        Ok(())
    }
}

fn broken(reason: &'static str) -> FrameError {
    FrameError::Broken { format: "JSON array", reason }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(pieces: &[&[u8]]) -> Result<Vec<String>, FrameError> {
        let mut got = Vec::new();
        let mut s = Splitter::new(4096);
        for p in pieces {
            s.push(p, |e| got.push(String::from_utf8_lossy(e).into_owned()))?;
        }
        s.finish()?;
        Ok(got)
    }

    #[test]
    fn elements_come_one_by_one_whatever_their_text() {
        let text = br#"[{"a":"]},{ \" \\"}
,
{"b":[1,{"c":2}]}, 3 ,"x,]"]
"#;
        assert_eq!(read(&[text]).unwrap(), [r#"{"a":"]},{ \" \\"}"#, r#"{"b":[1,{"c":2}]}"#, "3", r#""x,]""#]);
    }

    #[test]
    fn an_empty_array_and_an_empty_body_have_no_elements() {
        assert!(read(&[b"[]"]).unwrap().is_empty());
        assert!(read(&[b" "]).unwrap().is_empty());
    }

    #[test]
    fn a_bare_object_is_an_array_of_one() {
        assert_eq!(read(&[br#"{"error":{"code":400}}"#]).unwrap(), [r#"{"error":{"code":400}}"#]);
    }

    #[test]
    fn an_array_cut_short_is_noticed() {
        assert_eq!(read(&[br#"[{"a":1},"#]), Err(FrameError::Truncated));
        assert_eq!(read(&[br#"[{"a":"#]), Err(FrameError::Truncated));
    }

    #[test]
    fn pages_depth_and_size_are_refused() {
        assert!(matches!(read(&[b"<html>"]), Err(FrameError::Broken { .. })));
        assert!(matches!(read(&[b"[}"]), Err(FrameError::Broken { .. })));
        assert!(matches!(read(&[&[b'['; 400]]), Err(FrameError::Broken { .. })));
        let long = [b"[\"".to_vec(), vec![b'x'; 5000]].concat();
        assert!(matches!(read(&[&long]), Err(FrameError::TooLong { .. })));
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same_elements(
            elements in prop::collection::vec(r#"(\{"a":"[a-z,\]\}]{0,6}"\}|[0-9]{1,3}|"\\"é"|\[\[\],\{\}\])"#, 0..6),
            at in any::<prop::sample::Index>(),
        ) {
            let text = format!("[{}]", elements.join(" ,\n"));
            let bytes = text.as_bytes();
            let whole = read(&[bytes]).unwrap();
            prop_assert_eq!(&whole, &elements);
            let cut = at.index(bytes.len() + 1);
            prop_assert_eq!(&read(&[&bytes[..cut], &bytes[cut..]]).unwrap(), &whole);
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(&read(&single).unwrap(), &whole);
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&[&bytes]);
        }
    }
}
