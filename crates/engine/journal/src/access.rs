//! A log format compiled into segments, and its rendering into a line. Compiling may allocate; rendering may not, but for
//! the growth of the line's own buffer.

use std::io::Write as _;

use gibbon_conf::{Escape, LogFormat};

use crate::clock::LineClock;
use crate::escape;
use crate::variable::{Try, TryAddress, Value, Variable, Variables};

/// A format that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// A name no variable has.
    #[error("unknown \"{0}\" variable in log format")]
    UnknownVariable(String),
    /// A `$` that no name follows.
    #[error("invalid variable name in log format at byte {0}: a name or {{name}} must follow $")]
    NoName(usize),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(Box<[u8]>),
    Variable(Variable),
}

/// A compiled format.
#[derive(Debug, Clone)]
pub struct AccessLog {
    segments: Vec<Segment>,
    escape: Escape,
    hostname: Box<[u8]>,
    pid: u64,
}

impl AccessLog {
    /// Compiles a format. `hostname` is what `$hostname` says.
    ///
    /// # Errors
    /// When a variable is unknown or a `$` stands alone.
    pub fn compile(format: &LogFormat, hostname: &str) -> Result<Self, FormatError> {
        Ok(Self {
            segments: segments(&format.text)?,
            escape: format.escape,
            hostname: hostname.as_bytes().into(),
            pid: std::process::id().into(),
        })
    }

    /// Appends one line, with its end, to a buffer that is reused from line to line.
    pub fn render(&self, request: &dyn Variables, clock: &mut LineClock, line: &mut Vec<u8>) {
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => line.extend_from_slice(text),
                Segment::Variable(variable) => self.variable(variable, request, clock, line),
            }
        }
        line.push(b'\n');
    }

    fn variable(&self, variable: &Variable, request: &dyn Variables, clock: &mut LineClock, line: &mut Vec<u8>) {
        match variable {
            Variable::TimeLocal => line.extend_from_slice(clock.local(request.ended_at()).as_bytes()),
            Variable::TimeIso8601 => line.extend_from_slice(clock.iso8601(request.ended_at()).as_bytes()),
            Variable::Msec => seconds(request.ended_at(), line),
            Variable::Hostname => line.extend_from_slice(&self.hostname),
            Variable::Pid => number(self.pid, line),
            Variable::Status => self.status(request.value(variable), line),
            Variable::Http(name) => {
                let separator: &[u8] = if **name == *"cookie" { b"; " } else { b", " };
                self.joined(separator, line, |each| request.request_header(name, each));
            }
            Variable::SentHttp(name) => self.joined(b", ", line, |each| request.response_header(name, each)),
            Variable::SentTrailer(name) => self.joined(b", ", line, |each| request.response_trailer(name, each)),
            Variable::UpstreamHttp(name) => self.joined(b", ", line, |each| request.upstream_header(name, each)),
            Variable::Cookie(name) => self.cookie(name, request, line),
            Variable::Arg(name) => self.argument(name, request, line),
            Variable::UpstreamAddr => self.tries(request, line, address),
            Variable::UpstreamStatus => self.tries(request, line, |t, line| count(t.status.map(u64::from), line)),
            Variable::UpstreamConnectTime => self.tries(request, line, |t, line| time(t.connect_ms, line)),
            Variable::UpstreamHeaderTime | Variable::UpstreamFirstByteTime => {
                self.tries(request, line, |t, line| time(t.header_ms, line));
            }
            Variable::UpstreamResponseTime => self.tries(request, line, |t, line| time(t.response_ms, line)),
            Variable::UpstreamResponseLength => self.tries(request, line, |t, line| count(t.response_length, line)),
            Variable::UpstreamBytesSent => self.tries(request, line, |t, line| count(t.bytes_sent, line)),
            Variable::UpstreamBytesReceived => self.tries(request, line, |t, line| count(t.bytes_received, line)),
            _ => self.value(request.value(variable), line),
        }
    }

    fn value(&self, value: Value<'_>, line: &mut Vec<u8>) {
        match value {
            Value::Unset => self.unset(line),
            Value::Text(text) => escape::append(self.escape, text, line),
            Value::Number(n) => number(n, line),
            Value::Milliseconds(ms) => seconds(ms, line),
            Value::Address(ip) if ip.is_unspecified() => line.extend_from_slice(b"unix:"),
            Value::Address(ip) => {
                // Writing into a Vec cannot fail.
                let _ = write!(line, "{ip}");
            }
        }
    }

    /// Always three digits, as nginx writes a status that was never set as 000.
    fn status(&self, value: Value<'_>, line: &mut Vec<u8>) {
        match value {
            Value::Number(status @ 0..=99) => {
                line.extend_from_slice(if status < 10 { b"00" } else { b"0" });
                number(status, line);
            }
            other => self.value(other, line),
        }
    }

    fn unset(&self, line: &mut Vec<u8>) {
        if self.escape == Escape::Default {
            line.push(b'-');
        }
    }

    fn joined(&self, separator: &[u8], line: &mut Vec<u8>, visit: impl FnOnce(&mut dyn FnMut(&[u8]))) {
        let mut found = false;
        visit(&mut |value| {
            if found {
                line.extend_from_slice(separator);
            }
            found = true;
            escape::append(self.escape, value, line);
        });
        if !found {
            self.unset(line);
        }
    }

    fn cookie(&self, name: &str, request: &dyn Variables, line: &mut Vec<u8>) {
        let mut found = false;
        request.request_header("cookie", &mut |header| {
            for pair in header.split(|byte| *byte == b';') {
                let value = pair.trim_ascii_start().strip_prefix(name.as_bytes()).and_then(|v| v.strip_prefix(b"="));
                if let Some(value) = value.filter(|_| !found) {
                    found = true;
                    escape::append(self.escape, value, line);
                }
            }
        });
        if !found {
            self.unset(line);
        }
    }

    fn argument(&self, name: &str, request: &dyn Variables, line: &mut Vec<u8>) {
        let Value::Text(args) = request.value(&Variable::Args) else { return self.unset(line) };
        let value = args.split(|byte| *byte == b'&').find_map(|pair| {
            let (key, value) = pair.split_at_checked(name.len())?;
            key.eq_ignore_ascii_case(name.as_bytes()).then(|| value.strip_prefix(b"="))?
        });
        match value {
            Some(value) => escape::append(self.escape, value, line),
            None => self.unset(line),
        }
    }

    fn tries(&self, request: &dyn Variables, line: &mut Vec<u8>, each: impl Fn(&Try, &mut Vec<u8>)) {
        let mut tries = request.tries().iter();
        match tries.next() {
            None => self.unset(line),
            Some(first) => each(first, line),
        }
        for next in tries {
            line.extend_from_slice(b", ");
            each(next, line);
        }
    }
}

fn address(t: &Try, line: &mut Vec<u8>) {
    // Writing into a Vec cannot fail.
    let _ = match &t.address {
        TryAddress::Ip(addr) => write!(line, "{addr}"),
        TryAddress::Unix(path) => write!(line, "unix:{path}"),
        TryAddress::None(name) => line.write_all(name.as_bytes()),
    };
}

fn time(milliseconds: Option<u64>, line: &mut Vec<u8>) {
    match milliseconds {
        Some(ms) => seconds(ms, line),
        None => line.push(b'-'),
    }
}

fn count(value: Option<u64>, line: &mut Vec<u8>) {
    match value {
        Some(n) => number(n, line),
        None => line.push(b'-'),
    }
}

fn number(n: u64, line: &mut Vec<u8>) {
    line.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
}

/// Seconds with three decimals.
fn seconds(milliseconds: u64, line: &mut Vec<u8>) {
    number(milliseconds / 1000, line);
    let rest = milliseconds % 1000;
    line.push(b'.');
    if rest < 100 {
        line.push(b'0');
    }
    if rest < 10 {
        line.push(b'0');
    }
    number(rest, line);
}

fn segments(format: &str) -> Result<Vec<Segment>, FormatError> {
    let mut segments = Vec::new();
    let mut rest = format;
    while let Some((literal, after)) = rest.split_once('$') {
        if !literal.is_empty() {
            segments.push(Segment::Literal(literal.as_bytes().into()));
        }
        let at = format.len() - after.len();
        let (name, left) = variable_name(after).ok_or(FormatError::NoName(at - 1))?;
        let variable = Variable::parse(name).ok_or_else(|| FormatError::UnknownVariable(name.to_owned()))?;
        segments.push(Segment::Variable(variable));
        rest = left;
    }
    if !rest.is_empty() {
        segments.push(Segment::Literal(rest.as_bytes().into()));
    }
    Ok(segments)
}

/// A name after `$`, plain or in braces, and what follows it.
fn variable_name(after: &str) -> Option<(&str, &str)> {
    let in_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let (name, left) = match after.strip_prefix('{') {
        Some(inner) => inner.split_once('}')?,
        None => after.split_at_checked(after.find(|c| !in_name(c)).unwrap_or(after.len()))?,
    };
    (!name.is_empty() && name.chars().all(in_name)).then_some((name, left))
}
