//! Lua patterns, as the `match` family of field rules uses them.
//!
//! Schemas written for Lua carry patterns such as `^%*%.` that are no regular expressions; this is a matcher for
//! exactly that language (classes, sets, `* + - ?`, captures, back-references, `%b`, `%f`, anchors), on bytes.
//! It only answers "does it match", it extracts nothing. Work is bounded: a pattern may come from a plugin and the
//! subject from anybody, and the backtracking of `*` and `-` is exponential in the worst case.

const MAX_STEPS: u32 = 1_000_000;
const MAX_DEPTH: u32 = 200;
const MAX_CAPTURES: usize = 32;

/// Whether `pattern` is found in `subject`. A malformed pattern, or one that needs more work than the bound allows,
/// does not match.
pub fn is_match(subject: &str, pattern: &str) -> bool {
    let (pattern, anchored) = match pattern.as_bytes().split_first() {
        Some((b'^', rest)) => (rest, true),
        _ => (pattern.as_bytes(), false),
    };
    let subject = subject.as_bytes();
    let last_start = if anchored { 0 } else { subject.len() };
    let mut matcher = Matcher { subject, pattern, captures: Vec::new(), steps: 0, depth: 0 };
    for start in 0..=last_start {
        matcher.captures.clear();
        match matcher.run(start, 0) {
            Ok(Some(_)) => return true,
            Ok(None) => {}
            Err(Malformed) => return false,
        }
    }
    false
}

/// The pattern cannot be read, or matching it exceeded the bound.
struct Malformed;

type Found = Result<Option<usize>, Malformed>;

#[derive(Clone, Copy)]
enum Capture {
    Open(usize),
    Closed(usize, usize),
}

struct Matcher<'a> {
    subject: &'a [u8],
    pattern: &'a [u8],
    captures: Vec<Capture>,
    steps: u32,
    depth: u32,
}

impl Matcher<'_> {
    /// Matches the pattern from offset `p` against the subject from offset `s`; the end of the match if there is one.
    fn run(&mut self, s: usize, p: usize) -> Found {
        if self.depth >= MAX_DEPTH {
            return Err(Malformed);
        }
        self.depth += 1;
        let found = self.run_inner(s, p);
        self.depth -= 1;
        found
    }

    fn run_inner(&mut self, mut s: usize, mut p: usize) -> Found {
        loop {
            self.steps += 1;
            if self.steps > MAX_STEPS {
                return Err(Malformed);
            }
            let Some(&c) = self.pattern.get(p) else { return Ok(Some(s)) };
            match c {
                b'(' => return self.open_capture(s, p + 1),
                b')' => return self.close_capture(s, p + 1),
                b'$' if p + 1 == self.pattern.len() => {
                    return Ok((s == self.subject.len()).then_some(s));
                }
                b'%' => match self.pattern.get(p + 1) {
                    Some(b'b') => match self.balanced(s, p + 2)? {
                        Some(end) => {
                            s = end;
                            p += 4;
                            continue;
                        }
                        None => return Ok(None),
                    },
                    Some(b'f') => {
                        let set = p + 2;
                        if self.pattern.get(set) != Some(&b'[') {
                            return Err(Malformed);
                        }
                        let end = self.class_end(set)?;
                        let before = s.checked_sub(1).and_then(|i| self.subject.get(i)).copied().unwrap_or(0);
                        let after = self.subject.get(s).copied().unwrap_or(0);
                        if self.set_has(before, set, end) || !self.set_has(after, set, end) {
                            return Ok(None);
                        }
                        p = end;
                        continue;
                    }
                    Some(d) if d.is_ascii_digit() => match self.back_reference(s, *d)? {
                        Some(end) => {
                            s = end;
                            p += 2;
                            continue;
                        }
                        None => return Ok(None),
                    },
                    _ => {}
                },
                _ => {}
            }
            let end = self.class_end(p)?;
            match self.pattern.get(end) {
                Some(b'?') => {
                    if self.single(s, p, end)
                        && let Some(found) = self.run(s + 1, end + 1)?
                    {
                        return Ok(Some(found));
                    }
                    p = end + 1;
                }
                Some(b'+') => {
                    return if self.single(s, p, end) { self.longest(s + 1, p, end) } else { Ok(None) };
                }
                Some(b'*') => return self.longest(s, p, end),
                Some(b'-') => return self.shortest(s, p, end),
                _ => {
                    if !self.single(s, p, end) {
                        return Ok(None);
                    }
                    s += 1;
                    p = end;
                }
            }
        }
    }

    fn longest(&mut self, s: usize, p: usize, end: usize) -> Found {
        let mut count = 0;
        while self.single(s + count, p, end) {
            count += 1;
        }
        loop {
            if let Some(found) = self.run(s + count, end + 1)? {
                return Ok(Some(found));
            }
            if count == 0 {
                return Ok(None);
            }
            count -= 1;
        }
    }

    fn shortest(&mut self, mut s: usize, p: usize, end: usize) -> Found {
        loop {
            if let Some(found) = self.run(s, end + 1)? {
                return Ok(Some(found));
            }
            if !self.single(s, p, end) {
                return Ok(None);
            }
            s += 1;
        }
    }

    fn open_capture(&mut self, s: usize, p: usize) -> Found {
        if self.captures.len() >= MAX_CAPTURES {
            return Err(Malformed);
        }
        if self.pattern.get(p) == Some(&b')') {
            self.captures.push(Capture::Closed(s, s)); // a position capture: matches nothing
            let found = self.run(s, p + 1)?;
            if found.is_none() {
                self.captures.pop();
            }
            return Ok(found);
        }
        self.captures.push(Capture::Open(s));
        let found = self.run(s, p)?;
        if found.is_none() {
            self.captures.pop();
        }
        Ok(found)
    }

    fn close_capture(&mut self, s: usize, p: usize) -> Found {
        let Some(open) = self.captures.iter().rposition(|c| matches!(c, Capture::Open(_))) else {
            return Err(Malformed);
        };
        let Some(Capture::Open(start)) = self.captures.get(open).copied() else { return Err(Malformed) };
        self.set_capture(open, Capture::Closed(start, s));
        let found = self.run(s, p)?;
        if found.is_none() {
            self.set_capture(open, Capture::Open(start));
        }
        Ok(found)
    }

    fn set_capture(&mut self, index: usize, capture: Capture) {
        if let Some(slot) = self.captures.get_mut(index) {
            *slot = capture;
        }
    }

    fn back_reference(&self, s: usize, digit: u8) -> Found {
        let index = usize::from(digit - b'0').checked_sub(1).ok_or(Malformed)?;
        let Some(Capture::Closed(from, to)) = self.captures.get(index) else { return Err(Malformed) };
        let text = self.subject.get(*from..*to).unwrap_or_default();
        let rest = self.subject.get(s..).unwrap_or_default();
        Ok(rest.starts_with(text).then_some(s + text.len()))
    }

    fn balanced(&self, s: usize, p: usize) -> Found {
        let (Some(open), Some(close)) = (self.pattern.get(p), self.pattern.get(p + 1)) else {
            return Err(Malformed);
        };
        if self.subject.get(s) != Some(open) {
            return Ok(None);
        }
        let mut nesting = 1u32;
        for (offset, byte) in self.subject.iter().enumerate().skip(s + 1) {
            if byte == close {
                nesting -= 1;
                if nesting == 0 {
                    return Ok(Some(offset + 1));
                }
            } else if byte == open {
                nesting += 1;
            }
        }
        Ok(None)
    }

    /// The offset just after the single-character class that starts at `p`.
    fn class_end(&self, p: usize) -> Result<usize, Malformed> {
        match self.pattern.get(p) {
            None => Err(Malformed),
            Some(b'%') => match self.pattern.get(p + 1) {
                Some(_) => Ok(p + 2),
                None => Err(Malformed),
            },
            Some(b'[') => {
                let mut at = p + 1;
                if self.pattern.get(at) == Some(&b'^') {
                    at += 1;
                }
                loop {
                    // The first member may be `]` itself, so the end is looked for only after one member.
                    match self.pattern.get(at) {
                        None => return Err(Malformed),
                        Some(b'%') => at += 2,
                        Some(_) => at += 1,
                    }
                    match self.pattern.get(at) {
                        None => return Err(Malformed),
                        Some(b']') => return Ok(at + 1),
                        Some(_) => {}
                    }
                }
            }
            Some(_) => Ok(p + 1),
        }
    }

    fn single(&self, s: usize, p: usize, end: usize) -> bool {
        let Some(&byte) = self.subject.get(s) else { return false };
        match self.pattern.get(p) {
            Some(b'.') => true,
            Some(b'%') => self.pattern.get(p + 1).is_some_and(|class| class_has(byte, *class)),
            Some(b'[') => self.set_has(byte, p, end),
            Some(&literal) => literal == byte,
            None => false,
        }
    }

    /// Whether the set between `p` (its `[`) and `end` (just after its `]`) has `byte`.
    fn set_has(&self, byte: u8, p: usize, end: usize) -> bool {
        let close = end - 1;
        let mut at = p + 1;
        let negated = self.pattern.get(at) == Some(&b'^');
        if negated {
            at += 1;
        }
        while at < close {
            let Some(&c) = self.pattern.get(at) else { break };
            if c == b'%' {
                if self.pattern.get(at + 1).is_some_and(|class| class_has(byte, *class)) {
                    return !negated;
                }
                at += 2;
            } else if self.pattern.get(at + 1) == Some(&b'-') && at + 2 < close {
                let high = self.pattern.get(at + 2).copied().unwrap_or(0);
                if (c..=high).contains(&byte) {
                    return !negated;
                }
                at += 3;
            } else {
                if c == byte {
                    return !negated;
                }
                at += 1;
            }
        }
        negated
    }
}

fn class_has(byte: u8, class: u8) -> bool {
    let has = match class.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        b's' => byte.is_ascii_whitespace() || byte == 0x0b,
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0,
        _ => return class == byte,
    };
    has != class.is_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::is_match;
    use proptest::prelude::*;

    #[test]
    fn anchors_bind_to_the_ends() {
        assert!(is_match("/path", "^/"));
        assert!(!is_match("path/", "^/"));
        assert!(is_match("a.*", "%.%*$"));
        assert!(!is_match("a.*b", "%.%*$"));
        assert!(is_match("", "^$"));
        assert!(is_match("a$b", "a$b"), "a dollar that is not last is a literal");
    }

    #[test]
    fn classes_and_their_complements() {
        assert!(is_match("GET", "^%u+$"));
        assert!(!is_match("get", "^%u+$"));
        assert!(is_match("a1", "^%a%d$"));
        assert!(is_match("!", "^%W$"));
        assert!(is_match("a%b", "a%%b"));
    }

    #[test]
    fn sets_ranges_and_a_leading_bracket() {
        assert!(is_match("HoSt", "^[Hh][Oo][Ss][Tt]$"));
        assert!(is_match("my-vault-1", "^[a-z][a-z%d-]-[a-z%d]+$"));
        assert!(!is_match("1vault", "^[a-z][a-z%d-]-[a-z%d]+$"));
        assert!(is_match("]", "^[]]$"));
        assert!(is_match("a*b", "^[^*]*%*?[^*]*$"));
        assert!(!is_match("a**b", "^[^*]*%*?[^*]*$"));
    }

    #[test]
    fn repetition_is_greedy_or_lazy_and_backtracks() {
        assert!(is_match("aaab", "^a*ab$"));
        assert!(is_match("<x><y>", "^<.->"));
        assert!(is_match("ab", "^ac?b$"));
    }

    #[test]
    fn captures_back_references_balance_and_frontier() {
        assert!(is_match("abcabc", "^(abc)%1$"));
        assert!(!is_match("abcabd", "^(abc)%1$"));
        assert!(is_match("f(a(b)c)", "%b()$"));
        assert!(is_match("THE (quick) fox", "%f[%a]%a+%f[%A]"));
        assert!(is_match("ab", "^()ab()$"));
    }

    #[test]
    fn a_malformed_pattern_matches_nothing() {
        for pattern in ["[a", "%", "(a", ")", "%1", "%f", "%b("] {
            assert!(!is_match("a", pattern) || pattern == "(a", "{pattern}");
        }
    }

    #[test]
    fn exponential_backtracking_is_cut_off() {
        let subject = "a".repeat(200);
        assert!(!is_match(&subject, &format!("^{}b$", "a*".repeat(30))));
    }

    proptest! {
        #[test]
        fn never_panics(subject in ".{0,40}", pattern in "[a-z%\\[\\]()*+?.^$b1-]{0,16}") {
            is_match(&subject, &pattern);
        }

        #[test]
        fn an_escaped_literal_matches_itself(text in "[ -~]{1,20}") {
            let pattern: String = text.chars().flat_map(|c| {
                let escape = if c.is_ascii_punctuation() { "%" } else { "" };
                escape.chars().chain(std::iter::once(c)).collect::<Vec<_>>()
            }).collect();
            let whole = format!("^{pattern}$");
            prop_assert!(is_match(&text, &whole));
        }
    }
}
