//! What is recorded of an exchange for tracing: spans of the gateway's own work, times of its phases, and the
//! ids it goes by. The engine records, a tracing plugin decides whether to and sends what stands here.
//!
//! The record lies in the exchange and keeps its memory. It is off unless a tracing plugin can see the exchange,
//! and goes off when every such plugin has declined: what is not sampled costs header work only.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::{Clock, Phase, Timing};

/// Spans of one exchange at most, so that a plugin that calls out in a loop cannot make it grow.
const MAX_SPANS: usize = 256;

/// Kinds of work whose spans are recorded, as `tracing_instrumentations` names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Instrumentations(u16);

impl Instrumentations {
    pub const NONE: Self = Self(0);
    pub const REQUEST: Self = Self(1);
    pub const DB_QUERY: Self = Self(1 << 1);
    pub const DNS_QUERY: Self = Self(1 << 2);
    pub const ROUTER: Self = Self(1 << 3);
    pub const HTTP_CLIENT: Self = Self(1 << 4);
    pub const BALANCER: Self = Self(1 << 5);
    pub const PLUGIN_REWRITE: Self = Self(1 << 6);
    pub const PLUGIN_ACCESS: Self = Self(1 << 7);
    pub const PLUGIN_HEADER_FILTER: Self = Self(1 << 8);
    pub const ALL: Self = Self((1 << 9) - 1);

    /// The kind that a setting names; nothing for `off` and for what is unknown.
    #[must_use]
    pub fn named(name: &str) -> Self {
        match name {
            "all" => Self::ALL,
            "request" => Self::REQUEST,
            "db_query" => Self::DB_QUERY,
            "dns_query" => Self::DNS_QUERY,
            "router" => Self::ROUTER,
            "http_client" => Self::HTTP_CLIENT,
            "balancer" => Self::BALANCER,
            "plugin_rewrite" => Self::PLUGIN_REWRITE,
            "plugin_access" => Self::PLUGIN_ACCESS,
            "plugin_header_filter" => Self::PLUGIN_HEADER_FILTER,
            _ => Self::NONE,
        }
    }

    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether one of these kinds is among them.
    #[must_use]
    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Tracing as the node's settings have it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TraceSettings {
    pub instrumentations: Instrumentations,
    /// Share of traces that are kept, 0 to 1, where a plugin names none of its own.
    pub sampling_rate: f64,
}

impl Default for TraceSettings {
    fn default() -> Self {
        TraceSettings { instrumentations: Instrumentations::NONE, sampling_rate: 0.01 }
    }
}

/// Names a trace in every service that takes part in it.
pub type TraceId = [u8; 16];
/// Names a span within its trace.
pub type SpanId = [u8; 8];

/// Which trace the gateway's own spans belong to, and where in it they hang.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    pub trace: TraceId,
    /// Of the span that stands for the whole exchange.
    pub root: SpanId,
    /// What the exchange hangs under: the caller's span.
    pub parent: Option<SpanId>,
    /// Of the try that the upstream was told about as its parent; `None` where tries have no spans.
    pub balancer: Option<SpanId>,
    pub sampled: bool,
}

/// What a span stands for.
#[derive(Clone, Debug, PartialEq)]
pub enum SpanKind {
    Router,
    Plugin {
        phase: Phase,
        name: Arc<str>,
    },
    /// A name that was resolved, or why not.
    Dns {
        host: Box<str>,
        port: u16,
        outcome: Result<IpAddr, Box<str>>,
    },
    /// A call of a plugin's own.
    Outcall(Box<Outcall>),
    /// Work that a plugin describes itself.
    Described(Box<Described>),
}

/// Work that a plugin describes itself, by the conventions of its field.
#[derive(Clone, Debug, PartialEq)]
pub struct Described {
    pub name: Cow<'static, str>,
    pub attributes: Vec<(Cow<'static, str>, Attribute)>,
    /// What happened meanwhile.
    pub events: Vec<SpanEvent>,
    pub failed: bool,
}

/// Something that happened during a piece of work; `time_ns` is of the monotonic clock.
#[derive(Clone, Debug, PartialEq)]
pub struct SpanEvent {
    pub name: Box<str>,
    pub time_ns: u64,
    pub attributes: Vec<(Box<str>, Attribute)>,
}

/// A figure or a text about a piece of work.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    Text(Box<str>),
    Texts(Vec<Box<str>>),
    Int(i64),
    Number(f64),
    Flag(bool),
}

/// A call of a plugin's own to an HTTP service.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcall {
    pub method: Box<str>,
    /// Without query: secrets often stand there.
    pub url: Box<str>,
    /// The status, or why there is none.
    pub outcome: Result<u16, Box<str>>,
}

/// A piece of work; times are those of the monotonic clock.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    pub kind: SpanKind,
    pub start_ns: u64,
    /// 0 while it is open.
    pub end_ns: u64,
    /// Place in the list of the span that it is part of; `None` hangs under the exchange.
    pub parent: Option<u16>,
}

/// When phases began and ended, in nanoseconds of the monotonic clock; 0 is "not".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PhaseTimes {
    pub rewrite_end: u64,
    pub access_start: u64,
    pub header_filter_start: u64,
    pub header_filter_end: u64,
}

/// A trace's id in the notation of one format, for log entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownTraceId {
    /// `w3c`, `b3`, `jaeger` …
    pub format: &'static str,
    pub text: SmallVec<[u8; 40]>,
}

/// A span under way, to be handed back when it ends.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct OpenSpan(Option<u16>);

/// The record of one exchange.
#[derive(Debug, Default)]
pub struct Trace {
    on: bool,
    /// `on`, or a timing is recorded: what the engine asks before it looks at either.
    watched: bool,
    timing: Option<Box<Timing>>,
    records: Instrumentations,
    /// Plugins that may still want the record.
    interested: u8,
    spans: Vec<Span>,
    /// The plugin's span that is open.
    within: Option<u16>,
    pub times: PhaseTimes,
    /// Set by the plugin that sends the gateway's own spans.
    pub context: Option<TraceContext>,
    /// The ids that the upstream was sent.
    pub ids: SmallVec<[ShownTraceId; 1]>,
    /// Name of the peer of the last try.
    pub peer_name: Option<Box<str>>,
}

impl Trace {
    /// Back to off, keeping memory.
    pub fn clear(&mut self) {
        self.on = false;
        self.watched = false;
        self.timing = None;
        self.records = Instrumentations::NONE;
        self.interested = 0;
        self.spans.clear();
        self.within = None;
        self.times = PhaseTimes::default();
        self.context = None;
        self.ids.clear();
        self.peer_name = None;
    }

    /// Begins to record: some plugin of the plan traces, which of them see this exchange is not known yet.
    pub fn begin(&mut self, records: Instrumentations) {
        self.on = true;
        self.watched = true;
        self.records = records;
        self.interested = u8::MAX;
    }

    /// The chain is known: so many of its plugins trace.
    pub fn expect(&mut self, tracers: u8) {
        if self.on {
            self.interested = tracers;
            self.stop_if_unwanted();
        }
    }

    /// A tracing plugin does not want this exchange.
    pub fn decline(&mut self) {
        self.interested = self.interested.saturating_sub(1);
        self.stop_if_unwanted();
    }

    fn stop_if_unwanted(&mut self) {
        if self.interested == 0 {
            self.on = false;
            self.watched = self.timing.is_some();
            self.records = Instrumentations::NONE;
            self.spans.clear();
        }
    }

    /// Records a timing too, whether or not somebody traces.
    pub fn begin_timing(&mut self, timing: Timing) {
        self.timing = Some(Box::new(timing));
        self.watched = true;
    }

    /// The timing, if one is recorded.
    #[must_use]
    pub fn timing(&self) -> Option<&Timing> {
        self.timing.as_deref()
    }

    /// As [`timing`](Self::timing), to record more.
    pub fn timing_mut(&mut self) -> Option<&mut Timing> {
        self.timing.as_deref_mut()
    }

    /// Goes into a part of the timing; see [`Timing::enter`].
    pub fn enter(&mut self, name: &str, clock: &dyn Clock) {
        if let Some(timing) = &mut self.timing {
            timing.enter(name, clock.monotonic_ns());
        }
    }

    /// Leaves so many parts of the timing.
    pub fn leave(&mut self, parts: usize, clock: &dyn Clock) {
        if let Some(timing) = &mut self.timing {
            let now = clock.monotonic_ns();
            (0..parts).for_each(|_| timing.leave(now));
        }
    }

    /// Whether times and spans are wanted, or a timing.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.watched
    }

    /// Whether times and spans are wanted.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.on
    }

    /// Whether spans of this kind are wanted.
    #[must_use]
    pub fn records(&self, kind: Instrumentations) -> bool {
        self.records.intersects(kind)
    }

    /// Begins a span if its kind is recorded.
    pub fn start(&mut self, kind: Instrumentations, clock: &dyn Clock, of: impl FnOnce() -> SpanKind) -> OpenSpan {
        if !self.records(kind) {
            return OpenSpan(None);
        }
        self.put(of(), clock.monotonic_ns(), 0)
    }

    /// As [`start`](Self::start), for a plugin's step: what it does meanwhile becomes part of it.
    pub fn start_step(&mut self, kind: Instrumentations, phase: Phase, name: &Arc<str>, clock: &dyn Clock) -> OpenSpan {
        let open = self.start(kind, clock, || SpanKind::Plugin { phase, name: Arc::clone(name) });
        self.within = open.0;
        open
    }

    /// Ends a span. One that was dropped meanwhile is none.
    pub fn end(&mut self, open: OpenSpan, clock: &dyn Clock) {
        let Some(number) = open.0 else { return };
        if self.within == open.0 {
            self.within = None;
        }
        if let Some(span) = self.spans.get_mut(usize::from(number)) {
            span.end_ns = clock.monotonic_ns();
        }
    }

    /// Begins a span that its plugin describes as it goes; `parent` is another such span. Its number, if it is recorded.
    pub fn begin_described(&mut self, name: String, parent: Option<u16>, start_ns: u64) -> Option<u16> {
        if !self.on {
            return None;
        }
        let described = Described { name: name.into(), attributes: Vec::new(), events: Vec::new(), failed: false };
        let OpenSpan(number) = self.put(SpanKind::Described(Box::new(described)), start_ns, 0);
        if let Some(span) = number.and_then(|number| self.spans.get_mut(usize::from(number)))
            && parent.is_some_and(|parent| Some(parent) < number)
        {
            span.parent = parent;
        }
        number
    }

    /// What stands in such a span, and when it ends.
    pub fn described(&mut self, number: u16) -> Option<(&mut Described, &mut u64)> {
        let Span { kind: SpanKind::Described(described), end_ns, .. } = self.spans.get_mut(usize::from(number))? else {
            return None;
        };
        Some((described, end_ns))
    }

    /// Adds a span that is over.
    pub fn add(&mut self, kind: SpanKind, start_ns: u64, end_ns: u64) {
        let _ = self.put(kind, start_ns, end_ns);
    }

    fn put(&mut self, kind: SpanKind, start_ns: u64, end_ns: u64) -> OpenSpan {
        if self.spans.len() >= MAX_SPANS {
            return OpenSpan(None);
        }
        self.spans.push(Span { kind, start_ns, end_ns, parent: self.within });
        OpenSpan(Some((self.spans.len() - 1) as u16))
    }

    /// In the order in which they began.
    #[must_use]
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    struct Ticking(std::sync::atomic::AtomicU64);

    impl Clock for Ticking {
        fn wall_ns(&self) -> u64 {
            0
        }

        fn monotonic_ns(&self) -> u64 {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1
        }
    }

    #[test]
    fn only_the_kinds_that_are_asked_for_are_recorded() {
        let clock = Ticking(0.into());
        let mut trace = Trace::default();
        let open = trace.start(Instrumentations::ROUTER, &clock, || SpanKind::Router);
        trace.end(open, &clock);
        assert!(trace.spans().is_empty(), "off by itself");

        trace.begin(Instrumentations::named("router").union(Instrumentations::named("off")));
        let open = trace.start_step(Instrumentations::PLUGIN_ACCESS, Phase::Access, &"a".into(), &clock);
        trace.end(open, &clock);
        let open = trace.start(Instrumentations::ROUTER, &clock, || SpanKind::Router);
        trace.end(open, &clock);
        let span = Span { kind: SpanKind::Router, start_ns: 1, end_ns: 2, parent: None };
        assert_eq!(trace.spans(), [span]);
    }

    #[test]
    fn what_a_plugin_does_is_part_of_its_step() {
        let clock = Ticking(0.into());
        let mut trace = Trace::default();
        trace.begin(Instrumentations::ALL);
        let step = trace.start_step(Instrumentations::PLUGIN_ACCESS, Phase::Access, &"a".into(), &clock);
        trace.add(SpanKind::Dns { host: "h".into(), port: 1, outcome: Err("none".into()) }, 1, 2);
        trace.end(step, &clock);
        trace.add(SpanKind::Router, 3, 4);
        assert_eq!(trace.spans().iter().map(|span| span.parent).collect::<Vec<_>>(), [None, Some(0), None]);
    }

    #[test]
    fn the_record_goes_off_when_every_tracing_plugin_has_declined() {
        let mut trace = Trace::default();
        trace.begin(Instrumentations::ALL);
        trace.add(SpanKind::Router, 1, 2);
        trace.expect(2);
        trace.decline();
        assert!(trace.is_on() && trace.spans().len() == 1);
        trace.decline();
        assert!(!trace.is_on() && !trace.records(Instrumentations::ALL) && trace.spans().is_empty());
        trace.begin(Instrumentations::ALL);
        trace.expect(0);
        assert!(!trace.is_on());
    }

    #[test]
    fn the_number_of_spans_is_bounded() {
        let mut trace = Trace::default();
        trace.begin(Instrumentations::ALL);
        for _ in 0..2 * MAX_SPANS {
            trace.add(SpanKind::Router, 1, 2);
        }
        assert_eq!(trace.spans().len(), MAX_SPANS);
    }
}
