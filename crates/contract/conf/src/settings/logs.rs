//! Where logs go and what their lines look like. Formats are kept as text; the log writer compiles them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::origin::Fault;
use crate::settings::Builder;

/// Levels of the error log, least severe first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// Ordinary events.
    Info,
    /// Events worth noticing.
    Notice,
    /// Something is odd.
    Warn,
    /// Something failed.
    Error,
    /// Something important failed.
    Crit,
    /// Someone must act.
    Alert,
    /// The node cannot be used.
    Emerg,
}

impl LogLevel {
    /// All levels, least severe first.
    pub const ALL: [Self; 8] =
        [Self::Debug, Self::Info, Self::Notice, Self::Warn, Self::Error, Self::Crit, Self::Alert, Self::Emerg];

    /// The name in settings and log lines.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Notice => "notice",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Crit => "crit",
            Self::Alert => "alert",
            Self::Emerg => "emerg",
        }
    }

    /// The level of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == name)
    }
}

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sink {
    /// Nowhere.
    Off,
    /// A file; `/dev/stdout` and `/dev/stderr` are files too.
    File(PathBuf),
    /// A syslog server, in nginx's form `server=…,tag=…`.
    Syslog(String),
}

impl Sink {
    fn parse(text: &str, prefix: &Path) -> Self {
        match text {
            "off" => Self::Off,
            text => match text.strip_prefix("syslog:") {
                Some(options) => Self::Syslog(options.to_owned()),
                None => Self::File(prefix.join(text)),
            },
        }
    }
}

/// An access log: where, and in which format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLogTarget {
    /// Where lines go.
    pub sink: Sink,
    /// Name of a format in [`Logs::formats`].
    pub format: String,
}

/// How values are escaped within a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Escape {
    /// `"`, `\` and unprintable bytes as `\xHH`; an unset value is `-`.
    #[default]
    Default,
    /// As inside a JSON string; an unset value is empty.
    Json,
    /// Not at all; an unset value is empty.
    None,
}

/// A named format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFormat {
    /// Text with `$variables`.
    pub text: String,
    /// How values are escaped.
    pub escape: Escape,
}

/// All logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logs {
    /// Least severe level written.
    pub level: LogLevel,
    /// Lines of the error logs as JSON objects.
    pub json_errors: bool,
    /// Proxy.
    pub proxy_access: AccessLogTarget,
    /// Stream traffic.
    pub stream_access: AccessLogTarget,
    /// Admin API.
    pub admin_access: AccessLogTarget,
    /// Status API.
    pub status_access: AccessLogTarget,
    /// Console.
    pub admin_gui_access: AccessLogTarget,
    /// Errors of the proxy.
    pub proxy_error: Sink,
    /// Errors of stream traffic.
    pub stream_error: Sink,
    /// Errors of the Admin API.
    pub admin_error: Sink,
    /// Errors of the Status API.
    pub status_error: Sink,
    /// Errors of the console.
    pub admin_gui_error: Sink,
    /// Formats for HTTP by name: the built-in ones and those given as `nginx_http_log_format`.
    pub formats: BTreeMap<String, LogFormat>,
    /// Formats for stream traffic by name.
    pub stream_formats: BTreeMap<String, LogFormat>,
}

/// Name of the format used where none is named.
pub(crate) const KONG_FORMAT: &str = "kong_log_format";
const KONG_FORMAT_TEXT: &str = "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \
    \"$http_referer\" \"$http_user_agent\" kong_request_id: \"$kong_request_id\"";
const COMBINED: &str = "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \
    \"$http_referer\" \"$http_user_agent\"";
const BASIC: &str = "$remote_addr [$time_local] $protocol $status $bytes_sent $bytes_received $session_time";
const JSON: &str = "{\"time\":\"$time_iso8601\",\"remote_addr\":\"$remote_addr\",\"method\":\"$request_method\",\
    \"uri\":\"$request_uri\",\"protocol\":\"$server_protocol\",\"status\":$status,\"bytes\":$body_bytes_sent,\
    \"seconds\":$request_time,\"upstream\":\"$upstream_addr\",\"referer\":\"$http_referer\",\
    \"user_agent\":\"$http_user_agent\",\"request_id\":\"$kong_request_id\"}";

impl Logs {
    pub(crate) fn build(b: &mut Builder<'_>, prefix: &Path) -> Self {
        let plain = |text: &str| LogFormat { text: text.to_owned(), escape: Escape::Default };
        let mut formats = BTreeMap::from([
            (KONG_FORMAT.to_owned(), plain(KONG_FORMAT_TEXT)),
            ("combined".to_owned(), plain(COMBINED)),
            ("json".to_owned(), LogFormat { text: JSON.to_owned(), escape: Escape::Json }),
        ]);
        let mut stream_formats = BTreeMap::from([("basic".to_owned(), plain(BASIC))]);
        read_formats(b, "http", &mut formats);
        read_formats(b, "stream", &mut stream_formats);
        let mut access = |name: &str, default: &str, formats: &BTreeMap<String, LogFormat>| {
            let target = access_target(b.values.text(name).unwrap_or("off"), default, prefix);
            if !formats.contains_key(&target.format) {
                let known: Vec<&str> = formats.keys().map(String::as_str).collect();
                b.faults.push(
                    Fault::new(format!("{name}: unknown log format \"{}\"", target.format))
                        .at(&b.values.origin(name))
                        .valid(known.join(", ")),
                );
            }
            target
        };
        let proxy_access = access("proxy_access_log", KONG_FORMAT, &formats);
        let stream_access = access("proxy_stream_access_log", "basic", &stream_formats);
        let admin_access = access("admin_access_log", KONG_FORMAT, &formats);
        let status_access = access("status_access_log", KONG_FORMAT, &formats);
        let admin_gui_access = access("admin_gui_access_log", KONG_FORMAT, &formats);
        let error = |name| {
            let text = b.values.text(name).unwrap_or("logs/error.log");
            Sink::parse(text.split_ascii_whitespace().next().unwrap_or("off"), prefix)
        };
        Self {
            level: b.values.text("log_level").and_then(LogLevel::parse).unwrap_or(LogLevel::Notice),
            json_errors: b.values.text("error_log_format") == Some("json"),
            proxy_access,
            stream_access,
            admin_access,
            status_access,
            admin_gui_access,
            proxy_error: error("proxy_error_log"),
            stream_error: error("proxy_stream_error_log"),
            admin_error: error("admin_error_log"),
            status_error: error("status_error_log"),
            admin_gui_error: error("admin_gui_error_log"),
            formats,
            stream_formats,
        }
    }
}

fn access_target(text: &str, default_format: &str, prefix: &Path) -> AccessLogTarget {
    let mut words = text.split_ascii_whitespace();
    let sink = Sink::parse(words.next().unwrap_or("off"), prefix);
    // Options such as buffer= and flush= tune nginx's writing; lines here are always written together.
    let format = words.find(|word| !word.contains('=')).unwrap_or(default_format);
    AccessLogTarget { sink, format: format.to_owned() }
}

fn read_formats(b: &mut Builder<'_>, context: &str, formats: &mut BTreeMap<String, LogFormat>) {
    for directive in b.injected.every(context, "log_format") {
        match parse_format(&directive.value) {
            Some((name, format)) => {
                formats.insert(name, format);
            }
            None => b.faults.push(
                Fault::new(format!("nginx_{context}_log_format has an invalid value: '{}'", directive.value))
                    .at(&directive.origin)
                    .valid("a name, escape=default|json|none or nothing, and quoted text with $variables"),
            ),
        }
    }
}

/// `name [escape=…] 'text' 'more text'`; quotes may be single, double or missing, as nginx reads words.
fn parse_format(value: &str) -> Option<(String, LogFormat)> {
    let mut words = nginx_words(value)?.into_iter();
    let name = words.next()?;
    let mut escape = Escape::Default;
    let mut text = String::new();
    for word in words {
        match word.strip_prefix("escape=").filter(|_| text.is_empty()) {
            Some("default") => escape = Escape::Default,
            Some("json") => escape = Escape::Json,
            Some("none") => escape = Escape::None,
            Some(_) => return None,
            None => text.push_str(&word),
        }
    }
    (!text.is_empty()).then_some((name, LogFormat { text, escape }))
}

/// Words of a directive: blanks separate, quotes group, a backslash keeps the next quote or backslash.
fn nginx_words(value: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut chars = value.trim().chars().peekable();
    while let Some(first) = chars.next() {
        if first.is_whitespace() {
            continue;
        }
        let mut word = String::new();
        let quote = (first == '\'' || first == '"').then_some(first);
        if quote.is_none() {
            word.push(first);
        }
        loop {
            match (chars.next(), quote) {
                (None, Some(_)) => return None,
                (None, None) => break,
                (Some(c), Some(open)) if c == open => break,
                (Some(c), None) if c.is_whitespace() => break,
                (Some('\\'), _) => match chars.next()? {
                    c @ ('\'' | '"' | '\\') => word.push(c),
                    't' => word.push('\t'),
                    'n' => word.push('\n'),
                    'r' => word.push('\r'),
                    c => word.extend(['\\', c]),
                },
                (Some(c), _) => word.push(c),
            }
        }
        words.push(word);
    }
    Some(words)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_a_name_an_escape_and_pieces_put_together() {
        let (name, format) = parse_format("mine escape=json '{\"a\":' \"\\\"$status\\\"\" '}'").unwrap();
        assert_eq!(name, "mine");
        assert_eq!(format, LogFormat { text: "{\"a\":\"$status\"}".into(), escape: Escape::Json });
    }

    #[test]
    fn a_format_without_text_or_with_an_open_quote_or_unknown_escape_is_refused() {
        for bad in ["", "name", "name 'open", "name escape=xml 'x'"] {
            assert_eq!(parse_format(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_access_log_is_off_a_path_or_a_path_and_a_format() {
        let prefix = Path::new("/p");
        let read = |text| access_target(text, "basic", prefix);
        assert_eq!(read("off").sink, Sink::Off);
        assert_eq!(read("logs/a.log mine").sink, Sink::File("/p/logs/a.log".into()));
        assert_eq!(read("logs/a.log mine").format, "mine");
        assert_eq!(read("/dev/stdout buffer=32k").sink, Sink::File("/dev/stdout".into()));
        assert_eq!(read("/dev/stdout buffer=32k").format, "basic");
        assert_eq!(read("syslog:server=127.0.0.1:514").sink, Sink::Syslog("server=127.0.0.1:514".into()));
    }
}
