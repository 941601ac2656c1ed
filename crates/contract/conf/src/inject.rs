//! Directives given as `nginx_<context>_<directive>`. There is no nginx underneath: the ones that have a meaning here are
//! read, the others are told to have none.

use crate::origin::{Fault, Notice, NoticeKind, Origin};
use crate::units::{parse_size, parse_time};
use crate::values::{Values, parse_flag};

/// Blocks of nginx's configuration that directives can be put into.
pub const CONTEXTS: &[&str] = &[
    "main",
    "events",
    "http",
    "upstream",
    "proxy",
    "location",
    "status",
    "debug",
    "admin",
    "stream",
    "supstream",
    "sproxy",
    "wasm",
];

/// One directive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// Block it was put into.
    pub context: &'static str,
    /// Its name.
    pub name: String,
    /// Its arguments as written.
    pub value: String,
    /// Where it was given.
    pub origin: Origin,
}

/// The directives in force, defaults included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Injected {
    directives: Vec<Directive>,
}

/// What the value of a directive must look like.
#[derive(Clone, Copy)]
enum Shape {
    Anything,
    Size,
    Time,
    Number,
    Flag,
    /// A duration, and perhaps another for the header.
    Times,
    /// `auto` or a number.
    AutoNumber,
    /// `number size`.
    Buffers,
}

/// Directives with a meaning here.
const HONOURED: &[(&str, Shape)] = &[
    ("client_max_body_size", Shape::Size),
    ("client_body_buffer_size", Shape::Size),
    ("client_header_buffer_size", Shape::Size),
    ("large_client_header_buffers", Shape::Buffers),
    ("keepalive_timeout", Shape::Times),
    ("keepalive_requests", Shape::Number),
    ("keepalive_time", Shape::Time),
    ("client_header_timeout", Shape::Time),
    ("client_body_timeout", Shape::Time),
    ("send_timeout", Shape::Time),
    ("proxy_buffer_size", Shape::Size),
    ("set_real_ip_from", Shape::Anything),
    ("real_ip_header", Shape::Anything),
    ("real_ip_recursive", Shape::Flag),
    ("ssl_protocols", Shape::Anything),
    ("ssl_ciphers", Shape::Anything),
    ("ssl_prefer_server_ciphers", Shape::Flag),
    ("ssl_session_tickets", Shape::Flag),
    ("ssl_session_timeout", Shape::Time),
    ("ssl_client_certificate", Shape::Anything),
    ("ssl_verify_client", Shape::Anything),
    ("ssl_verify_depth", Shape::Number),
    ("lua_ssl_protocols", Shape::Anything),
    ("lua_shared_dict", Shape::Anything),
    ("lua_regex_match_limit", Shape::Number),
    ("log_format", Shape::Anything),
    ("charset", Shape::Anything),
    ("worker_processes", Shape::Anything),
    ("worker_rlimit_nofile", Shape::AutoNumber),
    ("worker_connections", Shape::AutoNumber),
    ("worker_shutdown_timeout", Shape::Time),
    ("user", Shape::Anything),
    ("daemon", Shape::Flag),
];

/// Directives that change nothing because the table of settings already says so of their own setting.
const TOLD_BY_THE_TABLE: &[&str] = &["lua_regex_cache_max_entries"];

/// Whether a name is an injected directive.
pub(crate) fn is_injected(name: &str) -> bool {
    split(name).is_some()
}

fn split(name: &str) -> Option<(&'static str, &str)> {
    let rest = name.strip_prefix("nginx_")?;
    CONTEXTS.iter().find_map(|context| {
        let directive = rest.strip_prefix(context)?.strip_prefix('_')?;
        (!directive.is_empty()).then_some((*context, directive))
    })
}

impl Injected {
    /// Collects the directives of all layers. `NONE` as a value unsets a default. Several directives may hide in one value
    /// behind semicolons, as people do to give one directive twice.
    pub(crate) fn gather(values: &Values, notices: &mut Vec<Notice>, faults: &mut Vec<Fault>) -> Self {
        let defaults = crate::table::all()
            .filter(|setting| values.given(setting.name).is_none() && is_injected(setting.name))
            .filter_map(|setting| Some((setting.name, values.text(setting.name)?, Origin::Default)));
        let given = values.all_given().map(|(name, given)| (name, given.text.as_str(), given.origin.clone()));
        let mut directives = Vec::new();
        for (name, text, origin) in defaults.chain(given) {
            if let Some((context, directive)) = split(name)
                && text != "NONE"
                && !text.is_empty()
            {
                directives.extend(split_semicolons(context, directive, text, &origin));
            }
        }
        for directive in &directives {
            match HONOURED.iter().find(|(name, _)| *name == directive.name) {
                Some((_, shape)) => faults.extend(directive.misfit(*shape)),
                None => notices.extend(directive.without_effect()),
            }
        }
        Self { directives }
    }

    /// Value of a directive in the nearest of several contexts.
    #[must_use]
    pub fn nearest(&self, contexts: &[&str], name: &str) -> Option<&Directive> {
        contexts.iter().find_map(|context| self.directives.iter().rfind(|d| d.context == *context && d.name == name))
    }

    /// Every occurrence of a directive in one context.
    pub fn every<'a>(&'a self, context: &'a str, name: &'a str) -> impl Iterator<Item = &'a Directive> {
        self.directives.iter().filter(move |d| d.context == context && d.name == name)
    }

    /// All directives.
    pub fn iter(&self) -> impl Iterator<Item = &Directive> {
        self.directives.iter()
    }
}

impl Directive {
    fn misfit(&self, shape: Shape) -> Option<Fault> {
        let name = format!("nginx_{}_{}", self.context, self.name);
        let value = self.value.trim();
        let (fits, expected) = match shape {
            Shape::Anything => (true, ""),
            Shape::Size => (parse_size(value).is_some(), "a size such as 8k or 10m"),
            Shape::Time => (parse_time(value).is_some(), "a duration such as 60s or 1d"),
            Shape::Number => (crate::units::digits_only(value).is_some(), "a whole number"),
            Shape::Flag => (parse_flag(value).is_some(), "on or off"),
            Shape::Times => (are_times(value), "one or two durations, such as 75s or 75s 60s"),
            Shape::AutoNumber => {
                (value == "auto" || crate::units::digits_only(value).is_some(), "auto or a whole number")
            }
            Shape::Buffers => (parse_buffers(value).is_some(), "a number and a size, such as 4 8k"),
        };
        (!fits).then(|| Fault::new(format!("{name} has an invalid value: '{value}'")).at(&self.origin).valid(expected))
    }

    fn without_effect(&self) -> Option<Notice> {
        if TOLD_BY_THE_TABLE.contains(&self.name.as_str()) {
            return None;
        }
        Some(Notice {
            kind: NoticeKind::NoEffect,
            text: format!(
                "nginx_{}_{} has no effect: it is a directive of nginx, which is not underneath",
                self.context, self.name
            ),
            origin: self.origin.clone(),
        })
    }
}

fn are_times(text: &str) -> bool {
    let mut words = text.split_ascii_whitespace();
    let first = words.next().is_some_and(|word| parse_time(word).is_some());
    first && words.next().is_none_or(|word| parse_time(word).is_some()) && words.next().is_none()
}

/// `number size`, as in `4 8k`.
pub(crate) fn parse_buffers(text: &str) -> Option<(u32, u64)> {
    let (number, size) = text.split_once(' ')?;
    let number = u32::try_from(crate::units::digits_only(number)?).ok()?;
    Some((number, parse_size(size.trim())?)).filter(|(number, size)| *number > 0 && *size > 0)
}

fn split_semicolons(context: &'static str, first: &str, text: &str, origin: &Origin) -> Vec<Directive> {
    let mut name = first.to_owned();
    let mut directives = Vec::new();
    for (index, piece) in outside_quotes(text, ';').into_iter().enumerate() {
        let piece = piece.trim();
        let value = if index == 0 {
            piece
        } else {
            let (next, value) = piece.split_once(char::is_whitespace).unwrap_or((piece, ""));
            name = next.to_owned();
            value.trim()
        };
        if !name.is_empty() {
            directives.push(Directive { context, name: name.clone(), value: value.to_owned(), origin: origin.clone() });
        }
    }
    directives
}

/// Splits at a character that stands outside of single and double quotes.
fn outside_quotes(text: &str, separator: char) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut quote = None;
    let mut start = 0;
    for (at, c) in text.char_indices() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '\'' || c == '"' => quote = Some(c),
            None if c == separator => {
                pieces.extend(text.get(start..at));
                start = at + c.len_utf8();
            }
            None => {}
        }
    }
    pieces.extend(text.get(start..));
    pieces
}
