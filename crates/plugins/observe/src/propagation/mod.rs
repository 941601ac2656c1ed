//! Trace context in headers: read from the request in one of several formats, written to the upstream in others.
//!
//! One pass over the request's headers finds what every format needs ([`incoming`]); writing is [`outgoing`]. What
//! is written (which span is the upstream's parent, whether the trace is kept) is the plugin's business.

mod config;
mod incoming;
mod outgoing;
#[cfg(test)]
mod tests;

use gibbon_message::Headers;
use gibbon_pdk::{Exchange, ShownTraceId, SpanId, TraceId};
use smallvec::SmallVec;

pub use config::{B3Propagation, HEADER_TYPES, OldNames, W3cPropagation, plain_header_type};

/// A format of trace headers. B3 has two notations and is read in either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    W3c,
    B3,
    B3Single,
    Jaeger,
    Ot,
    Datadog,
    Aws,
    Gcp,
    Instana,
}

impl Format {
    fn named(name: &str) -> Option<Format> {
        Some(match name {
            "w3c" => Format::W3c,
            "b3" => Format::B3,
            "b3-single" => Format::B3Single,
            "jaeger" => Format::Jaeger,
            "ot" => Format::Ot,
            "datadog" => Format::Datadog,
            "aws" => Format::Aws,
            "gcp" => Format::Gcp,
            "instana" => Format::Instana,
            _ => return None,
        })
    }

    /// As log entries name it; both notations of B3 are `b3`.
    fn shown(self) -> &'static str {
        match self {
            Format::W3c => "w3c",
            Format::B3 | Format::B3Single => "b3",
            Format::Jaeger => "jaeger",
            Format::Ot => "ot",
            Format::Datadog => "datadog",
            Format::Aws => "aws",
            Format::Gcp => "gcp",
            Format::Instana => "instana",
        }
    }
}

/// What the request says of its trace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extracted {
    /// The format it was found in.
    pub format: Option<Format>,
    /// Filled with zeros from the left, or cut there.
    pub trace: Option<TraceId>,
    /// How many bytes the id had.
    pub trace_size: usize,
    /// The caller's span; with `shares_span`, the one that caller and gateway have in common.
    pub span: Option<SpanId>,
    pub parent: Option<SpanId>,
    /// Whether the format lets both sides of a call share a span.
    pub shares_span: bool,
    pub sampled: Option<bool>,
    /// B3's debug flag: the trace must be kept.
    pub debug: bool,
    /// B3 in one header.
    pub single_header: bool,
    /// Names in lower case, values decoded.
    pub baggage: Vec<(Box<str>, Box<str>)>,
}

/// What the upstream is told.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing {
    pub trace: TraceId,
    /// The span that the upstream's own hangs under.
    pub span: SpanId,
    pub parent: Option<SpanId>,
    /// `None` says nothing, where the format allows that.
    pub sampled: Option<bool>,
}

/// Which formats are read, removed and written.
#[derive(Debug)]
pub struct Propagation {
    /// The first that finds anything counts.
    extract: Vec<Format>,
    clear: Vec<String>,
    /// `None` is the format that was found, else the default.
    inject: Vec<Option<Format>>,
    default: Format,
}

impl Propagation {
    /// Looks for a trace in the request.
    pub fn extract(&self, headers: &Headers) -> Extracted {
        if self.extract.is_empty() {
            return Extracted::default();
        }
        let found = incoming::Found::among(headers);
        self.extract.iter().find_map(|format| incoming::extract(*format, &found, headers)).unwrap_or_default()
    }

    /// Clears and writes headers of the request that goes upstream, and notes the ids for log entries.
    pub fn inject(&self, x: &mut Exchange, from: &Extracted, out: &Outgoing) {
        for name in &self.clear {
            x.request.headers.remove(name);
        }
        for wanted in &self.inject {
            let format = wanted.unwrap_or_else(|| self.preserved(from));
            let text = outgoing::write(format, &mut x.request.headers, from, out);
            let ids = &mut x.trace.ids;
            ids.retain(|id| id.format != format.shown());
            ids.push(ShownTraceId { format: format.shown(), text });
        }
    }

    fn preserved(&self, from: &Extracted) -> Format {
        match from.format {
            Some(Format::B3) if from.single_header => Format::B3Single,
            Some(format) => format,
            None => self.default,
        }
    }
}

/// Text of an id.
type IdText = SmallVec<[u8; 40]>;
