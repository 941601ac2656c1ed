//! The error log: events of the program as lines in nginx's layout, or as JSON. A subscriber layer; where the lines go is
//! decided by the event's target.
//!
//! Severities between tracing's levels are named in the event: `tracing::info!(severity = "notice", "started")`. Fields
//! called `connection`, `client`, `server`, `request`, `upstream`, `host` and `request_id` stand where nginx puts them.

use std::cell::{Cell, RefCell};
use std::fmt::{self, Write as _};

use gibbon_conf::{Escape, LogLevel};
use gibbon_pdk::{LogInterest, LogLine, RequestId, keep_log_line};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::clock::{LineClock, wall_clock};
use crate::escape;
use crate::level::LevelControl;
use crate::writer::Handle;

/// Context in nginx's order, and whether its value is quoted.
const CONTEXT: [(&str, bool); 6] =
    [("client", false), ("server", false), ("request", true), ("upstream", true), ("host", true), ("request_id", true)];

thread_local! {
    static THREAD_NUMBER: Cell<u32> = const { Cell::new(0) };
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::default());
}

/// Sets the number that lines of this thread carry after the process id; 0 is the main thread.
pub fn set_thread_number(number: u32) {
    THREAD_NUMBER.with(|cell| cell.set(number));
}

/// The layer.
#[derive(Debug)]
pub struct ErrorLog {
    level: LevelControl,
    default: Option<Handle>,
    routes: Vec<(&'static str, Option<Handle>)>,
    json: bool,
    pid: u32,
}

impl ErrorLog {
    /// Lines go to `default`; `None` writes nothing.
    #[must_use]
    pub fn new(level: LevelControl, default: Option<Handle>, json: bool) -> Self {
        Self { level, default, routes: Vec::new(), json, pid: std::process::id() }
    }

    /// Sends events whose target begins with `target` elsewhere.
    #[must_use]
    pub fn route(mut self, target: &'static str, handle: Option<Handle>) -> Self {
        self.routes.push((target, handle));
        self
    }

    fn handle_for(&self, target: &str) -> Option<&Handle> {
        let route = self.routes.iter().find(|(prefix, _)| target.starts_with(prefix));
        route.map_or(self.default.as_ref(), |(_, handle)| handle.as_ref())
    }
}

impl<S: Subscriber> Layer<S> for ErrorLog {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        *metadata.level() <= most_verbose(self.level.get())
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::from_level(most_verbose(self.level.get())))
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let handle = self.handle_for(event.metadata().target());
        if handle.is_none() && !LogInterest::exists() {
            return;
        }
        SCRATCH.with(|scratch| {
            // An event raised while a line is written (by a Debug implementation) would borrow twice; it is left out.
            let Ok(mut scratch) = scratch.try_borrow_mut() else { return };
            let scratch = &mut *scratch;
            scratch.fields.clear();
            event.record(&mut scratch.fields);
            let level = scratch.fields.severity.unwrap_or_else(|| default_severity(*event.metadata().level()));
            if !self.level.writes(level) {
                return;
            }
            if LogInterest::exists() {
                scratch.keep(level, event.metadata());
            }
            let Some(handle) = handle else { return };
            scratch.line.clear();
            if self.json {
                scratch.json(level, self.pid);
            } else {
                scratch.text(level, self.pid);
            }
            handle.write(&scratch.line);
        });
    }
}

/// The most verbose of tracing's levels that can carry a severity: an event may name a higher severity than its level's.
fn most_verbose(level: LogLevel) -> Level {
    match level {
        LogLevel::Debug => Level::TRACE,
        LogLevel::Info | LogLevel::Notice => Level::INFO,
        LogLevel::Warn => Level::WARN,
        LogLevel::Error | LogLevel::Crit | LogLevel::Alert | LogLevel::Emerg => Level::ERROR,
    }
}

fn default_severity(level: Level) -> LogLevel {
    match level {
        Level::ERROR => LogLevel::Error,
        Level::WARN => LogLevel::Warn,
        Level::INFO => LogLevel::Info,
        _ => LogLevel::Debug,
    }
}

#[derive(Default)]
struct Scratch {
    clock: LineClock,
    fields: Fields,
    line: Vec<u8>,
}

/// What is said of deliveries is not offered for delivery: an exporter whose collector is gone would feed itself.
const OF_DELIVERIES: &str = "gibbon_ports::queue";

impl Scratch {
    /// Offers the line to plugins that export the log.
    fn keep(&self, level: LogLevel, metadata: &Metadata<'static>) {
        if metadata.target().starts_with(OF_DELIVERIES) {
            return;
        }
        keep_log_line(LogLine {
            time_ns: wall_clock().saturating_mul(1_000_000),
            level: level.as_str(),
            message: self.fields.message.as_str().into(),
            source: metadata.target(),
            line: metadata.line(),
            request: self.fields.get("request_id").and_then(RequestId::parse),
        });
    }

    fn text(&mut self, level: LogLevel, pid: u32) {
        let line = &mut self.line;
        line.extend_from_slice(self.clock.error(wall_clock()).as_bytes());
        let thread = THREAD_NUMBER.with(Cell::get);
        append(line, format_args!(" [{}] {pid}#{thread}: ", level.as_str()));
        if let Some(connection) = self.fields.get("connection") {
            append(line, format_args!("*{connection} "));
        }
        one_line(&self.fields.message, line);
        for (name, quoted) in CONTEXT {
            if let Some(value) = self.fields.get(name) {
                append(line, format_args!(", {name}: "));
                if quoted {
                    line.push(b'"');
                    escape::append(Escape::Default, value.as_bytes(), line);
                    line.push(b'"');
                } else {
                    one_line(value, line);
                }
            }
        }
        for (name, value) in self.fields.others() {
            append(line, format_args!(", {name}: "));
            one_line(value, line);
        }
        line.push(b'\n');
    }

    fn json(&mut self, level: LogLevel, pid: u32) {
        let line = &mut self.line;
        append(line, format_args!("{{\"time\":\"{}\"", self.clock.iso8601(wall_clock())));
        let thread = THREAD_NUMBER.with(Cell::get);
        append(
            line,
            format_args!(",\"level\":\"{}\",\"pid\":{pid},\"thread\":{thread},\"message\":\"", level.as_str()),
        );
        escape::append(Escape::Json, self.fields.message.as_bytes(), line);
        line.push(b'"');
        for (name, value) in &self.fields.named {
            append(line, format_args!(",\"{name}\":\""));
            escape::append(Escape::Json, value.as_bytes(), line);
            line.push(b'"');
        }
        line.extend_from_slice(b"}\n");
    }
}

fn append(line: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    // Writing into a Vec cannot fail.
    let _ = io_write(line, text);
}

fn io_write(line: &mut Vec<u8>, text: fmt::Arguments<'_>) -> std::io::Result<()> {
    std::io::Write::write_fmt(line, text)
}

/// Text on one line: a message with line ends (a Lua traceback) keeps its tabs and shows its ends as spaces, so that nobody
/// can forge a line.
fn one_line(text: &str, line: &mut Vec<u8>) {
    line.extend(text.bytes().map(|byte| if byte < b' ' && byte != b'\t' { b' ' } else { byte }));
}

#[derive(Default)]
struct Fields {
    message: String,
    severity: Option<LogLevel>,
    named: Vec<(&'static str, String)>,
}

impl Fields {
    fn clear(&mut self) {
        self.message.clear();
        self.severity = None;
        self.named.clear();
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.named.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    fn others(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let placed = |name: &str| name == "connection" || CONTEXT.iter().any(|(known, _)| *known == name);
        self.named.iter().filter(move |(name, _)| !placed(name)).map(|(name, value)| (*name, value.as_str()))
    }

    fn set(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        if field.name() == "message" {
            // Writing into a String cannot fail.
            let _ = self.message.write_fmt(value);
        } else {
            self.named.push((field.name(), value.to_string()));
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "severity" {
            self.severity = LogLevel::parse(value);
        } else {
            self.set(field, format_args!("{value}"));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, format_args!("{value:?}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.set(field, format_args!("{value}"));
    }
}
