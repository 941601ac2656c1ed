//! Requests from a template, each written into a reused buffer without formatting machinery.

use std::cell::Cell;
use std::rc::Rc;

use crate::command;

/// A part of a template.
#[derive(Clone, Debug)]
enum Piece {
    Text(Vec<u8>),
    Unique,
    Drawn,
    Group,
}

/// A text with placeholders.
#[derive(Clone, Debug)]
pub struct Template(Vec<Piece>);

impl Template {
    /// Splits a text at `{n}`, `{i}` and `{g}`.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            let (before, tail) = rest.split_at(at);
            let piece = match tail.get(..3) {
                Some("{n}") => Piece::Unique,
                Some("{i}") => Piece::Drawn,
                Some("{g}") => Piece::Group,
                _ => {
                    pieces.push(Piece::Text(format!("{before}{{").into_bytes()));
                    rest = tail.get(1..).unwrap_or_default();
                    continue;
                }
            };
            pieces.push(Piece::Text(before.as_bytes().to_vec()));
            pieces.push(piece);
            rest = tail.get(3..).unwrap_or_default();
        }
        pieces.push(Piece::Text(rest.as_bytes().to_vec()));
        Self(pieces)
    }

    fn write(&self, out: &mut Vec<u8>, draw: Draw) {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Unique => write_number(out, draw.unique),
                Piece::Drawn => write_number(out, draw.drawn),
                Piece::Group => write_number(out, draw.group),
            }
        }
    }

    /// The text with its placeholders filled.
    #[must_use]
    pub fn fill(&self, draw: Draw) -> String {
        let mut out = Vec::new();
        self.write(&mut out, draw);
        String::from_utf8_lossy(&out).into_owned()
    }
}

fn write_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0_u8; 20];
    let mut used = 0;
    for slot in digits.iter_mut().rev() {
        *slot = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
        used += 1;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(20 - used..).unwrap_or_default());
}

/// The numbers of one request.
#[derive(Clone, Copy, Debug)]
pub struct Draw {
    unique: u64,
    drawn: u64,
    group: u64,
}

/// Where all connections of a drive draw their numbers from.
#[derive(Clone, Debug)]
pub struct Dice {
    state: Rc<Cell<u64>>,
    count: Rc<Cell<u64>>,
    spread: u64,
    groups: u64,
}

impl Dice {
    /// Numbers for a template. The seed is fixed, so that every gateway of a round is asked the same.
    #[must_use]
    pub fn new(of: &command::Requests) -> Self {
        let state = Rc::new(Cell::new(0x9E37_79B9_7F4A_7C15));
        Self { state, count: Rc::default(), spread: of.spread.max(1), groups: of.groups.max(1) }
    }

    /// The next request's numbers.
    pub fn draw(&self) -> Draw {
        self.count.set(self.count.get() + 1);
        let drawn = self.bits() % self.spread;
        Draw { unique: self.count.get(), drawn, group: drawn % self.groups }
    }

    /// Seconds until the next arrival of a Poisson process of this rate.
    pub fn gap(&self, rate: f64) -> f64 {
        let uniform = (self.bits() >> 11) as f64 / (1_u64 << 53) as f64;
        -(1.0 - uniform).ln() / rate
    }

    fn bits(&self) -> u64 {
        let mut x = self.state.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.state.set(x);
        x.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

/// Writes HTTP/1.1 requests.
#[derive(Clone, Debug)]
pub struct Writer {
    whole: Template,
    body: Rc<[u8]>,
    /// Whether the answers have no body (HEAD).
    pub head_only: bool,
    /// The status that counts.
    pub expect: u16,
    dice: Dice,
}

impl Writer {
    /// A writer for a template; `more` are header lines of the protocol (Connection, Upgrade).
    #[must_use]
    pub fn new(of: &command::Requests, more: &str) -> Self {
        let body = body_of(of);
        let mut head = format!("{} {} HTTP/1.1\r\nHost: {}\r\n", of.method, of.path, of.host);
        for (name, value) in &of.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = &body {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str(more);
        head.push_str("\r\n");
        Self {
            whole: Template::new(&head),
            body: body.unwrap_or_default().into(),
            head_only: of.method == "HEAD",
            expect: of.expect,
            dice: Dice::new(of),
        }
    }

    /// Replaces the buffer's content with the next request.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.clear();
        self.whole.write(out, self.dice.draw());
        out.extend_from_slice(&self.body);
    }
}

/// The body that a template asks for.
#[must_use]
pub fn body_of(of: &command::Requests) -> Option<Vec<u8>> {
    match (&of.text, of.body) {
        (Some(text), _) => Some(text.clone().into_bytes()),
        (None, Some(size)) => Some(vec![b'x'; size]),
        (None, None) => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_and_other_braces_stay() {
        let template = Template::new("/p{i}/{n}?{x}={g}{");
        assert_eq!(template.fill(Draw { unique: 7, drawn: 1234, group: 0 }), "/p1234/7?{x}=0{");
    }

    #[test]
    fn a_request_is_complete_and_the_next_one_differs() {
        let of = command::Requests { path: "/{n}".into(), body: Some(2), ..Default::default() };
        let (writer, mut out) = (Writer::new(&of, ""), Vec::new());
        writer.write(&mut out);
        assert_eq!(out, b"GET /1 HTTP/1.1\r\nHost: bench.test\r\nContent-Length: 2\r\n\r\nxx");
        writer.write(&mut out);
        assert!(out.starts_with(b"GET /2 "));
    }

    #[test]
    fn draws_cover_the_spread() {
        let dice = Dice::new(&command::Requests { spread: 10, groups: 3, ..Default::default() });
        let drawn: std::collections::BTreeSet<u64> = (0..1000).map(|_| dice.draw().drawn).collect();
        assert_eq!(drawn.len(), 10);
        let mean = (0..10_000).map(|_| dice.gap(100.0)).sum::<f64>() / 10_000.0;
        assert!((0.009..0.011).contains(&mean), "{mean}");
    }
}
