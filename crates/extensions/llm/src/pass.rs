//! Requests whose client and provider speak the same dialect: bytes pass through, and only what the
//! gateway decides (model, stream flag, configured parameters) is changed in place.

use crate::canonical::{Request, Sampling};
use crate::dialect::Dialect;
use crate::json::patch::{self, Change};
use crate::json::scan;
use crate::{Error, Result};
use gibbon_frames::{DEFAULT_LIMIT, FrameError, sse};
use serde_json::{Number, Value};
use std::borrow::Cow;

/// Parameters a target is configured with. They win over the client's, as in Kong.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overrides {
    /// Upper bound of the answer in tokens.
    pub max_tokens: Option<u64>,
    /// Randomness.
    pub temperature: Option<Number>,
    /// Nucleus sampling.
    pub top_p: Option<Number>,
    /// Sample from the k likeliest tokens.
    pub top_k: Option<Number>,
}

impl Overrides {
    /// Sets them in a request that is going to be converted.
    pub fn apply(&self, request: &mut Request) {
        let Sampling { max_tokens, temperature, top_p, top_k, .. } = &mut request.sampling;
        *max_tokens = self.max_tokens.or(*max_tokens);
        for (to, from) in [(temperature, &self.temperature), (top_p, &self.top_p), (top_k, &self.top_k)] {
            if from.is_some() {
                to.clone_from(from);
            }
        }
    }

    fn changes(&self, names: [&'static str; 4]) -> Vec<Change> {
        let number = |n: &Option<Number>| n.as_ref().map(|n| n.to_string().into_bytes());
        let values = [
            self.max_tokens.map(|n| n.to_string().into_bytes()),
            number(&self.temperature),
            number(&self.top_p),
            number(&self.top_k),
        ];
        let set = |(name, value): (&'static str, Option<Vec<u8>>)| value.map(|v| Change::Set(name.into(), v));
        names.into_iter().zip(values).filter_map(set).collect()
    }
}

/// What is changed in a request that passes through.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes<'a> {
    /// The model; `None` leaves the client's.
    pub model: Option<&'a str>,
    /// The stream flag; `None` leaves the client's.
    pub stream: Option<bool>,
    /// The gateway wants the usage in the stream, whatever the client asked for.
    pub want_usage: bool,
    /// Configured parameters.
    pub overrides: Overrides,
}

/// Changes a request in place. Every other byte stays as the client wrote it.
///
/// # Errors
/// The body is no JSON object.
pub fn request(dialect: Dialect, body: &[u8], changes: &Changes<'_>) -> Result<Vec<u8>> {
    let bad = || Error::NotJson { what: "request body" };
    let mut list = Vec::new();
    if names_model(dialect) {
        list.extend(changes.model.map(|m| Change::set_str("model", m)));
        list.extend(changes.stream.map(|s| Change::Set("stream".into(), s.to_string().into_bytes())));
    }
    let (group, names) = parameters(dialect, body);
    let parameters = changes.overrides.changes(names);
    match group {
        None => list.extend(parameters),
        Some(group) if !parameters.is_empty() => {
            let inner = scan::get(body, group).filter(|v| *v != b"null").unwrap_or(b"{}");
            list.push(Change::Set(group.into(), patch::apply(inner, &parameters).ok_or_else(bad)?));
        }
        Some(_) => {}
    }
    let chat = matches!(dialect, Dialect::OpenAiChat | Dialect::OpenAiCompletions);
    if chat && changes.want_usage && changes.stream == Some(true) {
        let options = scan::get(body, "stream_options").filter(|v| *v != b"null").unwrap_or(b"{}");
        let with = patch::apply(options, &[Change::Set("include_usage".into(), b"true".to_vec())]);
        list.push(Change::Set("stream_options".into(), with.ok_or_else(bad)?));
    }
    patch::apply(body, &list).ok_or_else(bad)
}

/// Whether model and stream flag stand in the body.
fn names_model(dialect: Dialect) -> bool {
    !matches!(dialect, Dialect::Gemini | Dialect::Bedrock)
}

/// Where the four parameters stand, and their names.
fn parameters(dialect: Dialect, body: &[u8]) -> (Option<&'static str>, [&'static str; 4]) {
    match dialect {
        Dialect::Gemini => {
            let group =
                if scan::get(body, "generation_config").is_some() { "generation_config" } else { "generationConfig" };
            (Some(group), ["maxOutputTokens", "temperature", "topP", "topK"])
        }
        Dialect::Bedrock => (Some("inferenceConfig"), ["maxTokens", "temperature", "topP", "topK"]),
        Dialect::OpenAiResponses => (None, ["max_output_tokens", "temperature", "top_p", "top_k"]),
        // A client that uses the newer name must not end up with two bounds.
        Dialect::OpenAiChat if scan::get(body, "max_completion_tokens").is_some_and(|v| v != b"null") => {
            (None, ["max_completion_tokens", "temperature", "top_p", "top_k"])
        }
        _ => (None, ["max_tokens", "temperature", "top_p", "top_k"]),
    }
}

/// What a request says at its top level, without reading the rest of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peek<'a> {
    /// `model`, if it is a text and not empty.
    pub model: Option<Cow<'a, str>>,
    /// `stream` is true, or the text `"true"`, which is taken for it.
    pub stream: bool,
    /// The client asked for the usage in the stream.
    pub include_usage: bool,
    /// There is a `messages` array with something in it.
    pub messages: bool,
    /// There is a `prompt` that is a text, or an array of texts.
    pub prompt: bool,
}

/// Looks at the top level of a request.
///
/// # Errors
/// The body is no JSON object.
pub fn peek(body: &[u8]) -> Result<Peek<'_>> {
    let mut out = Peek::default();
    let mut walk = scan::members(body);
    for member in walk.by_ref() {
        match member.key.as_ref() {
            "model" => out.model = scan::string(member.value).filter(|m| !m.is_empty()),
            "stream" => out.stream = matches!(member.value, b"true" | b"\"true\""),
            "stream_options" => {
                out.include_usage = scan::get(member.value, "include_usage") == Some(b"true");
            }
            "messages" => out.messages = scan::elements(member.value).next().is_some(),
            "prompt" => {
                let text = |v: &[u8]| v.starts_with(b"\"");
                let mut items = scan::elements(member.value).peekable();
                out.prompt = text(member.value) || (items.peek().is_some() && items.all(text));
            }
            _ => {}
        }
    }
    if walk.is_complete() { Ok(out) } else { Err(Error::NotJson { what: "request body" }) }
}

/// Takes the usage out of an OpenAI stream again, for a client that did not ask for it: the chunk
/// without choices that the gateway's own wish brought. All else passes as it came, comments that
/// keep a connection alive included.
#[derive(Debug, Default)]
pub struct UsageFilter {
    /// Lines up to the next blank one.
    block: Vec<u8>,
    /// Where in it the present line begins.
    line: usize,
    /// The last line ended with CR: a LF right after belongs to it.
    skip_lf: bool,
    /// The last event was passed on.
    passed: bool,
}

impl UsageFilter {
    /// Takes the next bytes and appends what the client gets to see.
    ///
    /// # Errors
    /// An event is longer than any may be.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), FrameError> {
        let mut rest = chunk;
        if std::mem::take(&mut self.skip_lf) {
            rest = match rest.strip_prefix(b"\n") {
                // It ends an event that has left already, or has not.
                Some(after) if self.block.is_empty() => {
                    out.extend(self.passed.then_some(b'\n'));
                    after
                }
                _ => self.line_feed(rest),
            };
        }
        loop {
            if self.block.is_empty() {
                rest = self.pass_whole(rest, out);
            }
            let Some(at) = memchr::memchr2(b'\n', b'\r', rest) else { break };
            let (line, after) = rest.split_at_checked(at + 1).unwrap_or((rest, &[]));
            let blank = self.block.len() == self.line && line.len() == 1;
            self.block.extend_from_slice(line);
            rest = after;
            if line.ends_with(b"\r") {
                self.skip_lf = rest.is_empty();
                rest = self.line_feed(rest);
            }
            self.line = self.block.len();
            if blank {
                self.leave(out);
            }
        }
        self.block.extend_from_slice(rest);
        match self.block.len() > DEFAULT_LIMIT {
            true => Err(FrameError::TooLong { what: "event", limit: DEFAULT_LIMIT }),
            false => Ok(()),
        }
    }

    /// The body has ended.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.leave(out);
    }

    /// Passes whole events on at once as long as none of them mentions tokens; the bytes behind them. Most of a stream goes
    /// this way, and an upstream that writes in blocks puts hundreds of events into one.
    fn pass_whole<'a>(&mut self, rest: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        // A CR might still belong to the end of a line: such streams go line by line.
        if memchr::memchr2(b'\n', b'\r', rest).is_none_or(|at| rest.get(at) == Some(&b'\r')) {
            return rest;
        }
        let before = rest.get(..next_usage(rest).unwrap_or(rest.len())).unwrap_or_default();
        let Some(end) = memchr::memmem::rfind(before, b"\n\n") else { return rest };
        let (whole, after) = rest.split_at_checked(end + 2).unwrap_or((rest, &[]));
        out.extend_from_slice(whole);
        self.passed = true;
        after
    }

    /// Takes a LF that belongs to the CR before it.
    fn line_feed<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        let Some(after) = rest.strip_prefix(b"\n") else { return rest };
        self.block.push(b'\n');
        self.line = self.block.len();
        after
    }

    fn leave(&mut self, out: &mut Vec<u8>) {
        self.passed = !only_usage(&self.block);
        if self.passed {
            out.extend_from_slice(&self.block);
        }
        self.block.clear();
        self.line = 0;
    }
}

/// Where tokens are mentioned, be it within a text. OpenAI writes `null` for them into every event but the last.
fn next_usage(text: &[u8]) -> Option<usize> {
    const KEY: &[u8] = b"\"usage\"";
    memchr::memmem::find_iter(text, KEY).find(|at| {
        let behind = text.get(at + KEY.len()..).unwrap_or_default().trim_ascii_start();
        !behind.strip_prefix(b":").is_some_and(|value| value.trim_ascii_start().starts_with(b"null"))
    })
}

/// Whether an event has tokens and no choices.
fn only_usage(block: &[u8]) -> bool {
    // Most do not even mention tokens.
    if next_usage(block).is_none() {
        return false;
    }
    let mut found = false;
    let mut look = |event: sse::Event<'_>| {
        let usage = scan::get(event.data, "usage").is_some_and(|u| u != b"null");
        found = usage && scan::get(event.data, "choices").is_some_and(|c| scan::elements(c).next().is_none());
    };
    let mut splitter = sse::Splitter::default();
    splitter.push(block, &mut look).is_ok() && splitter.finish(&mut look).is_ok() && found
}

/// Kong's reading of a configured number.
#[must_use]
pub fn number(value: f64) -> Option<Number> {
    // A whole number is written without a fraction, as it stands in the configuration.
    if value.fract() == 0.0 && value.abs() < 1e15 {
        return Some(Number::from(value as i64));
    }
    match Value::from(value) {
        Value::Number(n) => Some(n),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn changed(dialect: Dialect, body: &str, changes: &Changes<'_>) -> String {
        String::from_utf8(request(dialect, body.as_bytes(), changes).unwrap()).unwrap()
    }

    #[test]
    fn only_what_the_gateway_decides_is_changed() {
        let overrides =
            Overrides { max_tokens: Some(5), temperature: number(0.5), top_k: number(40.0), ..Overrides::default() };
        let changes = Changes { model: Some("m"), stream: Some(true), want_usage: true, overrides };
        assert_eq!(
            changed(Dialect::OpenAiChat, r#"{"stream":"true","x":{"model":1},"max_tokens":9}"#, &changes),
            r#"{"stream":true,"x":{"model":1},"max_tokens":5,"model":"m","temperature":0.5,"top_k":40,"stream_options":{"include_usage":true}}"#
        );
        assert_eq!(
            changed(
                Dialect::OpenAiChat,
                r#"{"max_completion_tokens":9}"#,
                &Changes { overrides: Overrides { max_tokens: Some(5), ..Overrides::default() }, ..Changes::default() }
            ),
            r#"{"max_completion_tokens":5}"#
        );
        assert_eq!(
            changed(Dialect::Gemini, r#"{"contents":[],"generationConfig":{"topP":1, "topK":2}}"#, &changes),
            r#"{"contents":[],"generationConfig":{"topP":1,"topK":40,"maxOutputTokens":5,"temperature":0.5}}"#
        );
        assert_eq!(changed(Dialect::Bedrock, "{}", &Changes::default()), "{}");
        assert!(request(Dialect::OpenAiChat, b"[]", &changes).is_err());
    }

    #[test]
    fn a_look_at_the_top_level_says_what_kind_of_request_it_is() {
        let p =
            peek(br#"{"model":"m","stream":"true","messages":[{}],"stream_options":{"include_usage":true}}"#).unwrap();
        assert_eq!(
            p,
            Peek { model: Some("m".into()), stream: true, include_usage: true, messages: true, prompt: false }
        );
        for (body, messages, prompt) in [
            (r#"{"messages":[]}"#, false, false),
            (r#"{"messages":"x"}"#, false, false),
            (r#"{"prompt":"x"}"#, false, true),
            (r#"{"prompt":["a","b"]}"#, false, true),
            (r#"{"prompt":5}"#, false, false),
            (r#"{"prompt":[1]}"#, false, false),
            (r#"{"model":5}"#, false, false),
        ] {
            let p = peek(body.as_bytes()).unwrap();
            assert_eq!((p.messages, p.prompt, p.model), (messages, prompt, None), "{body}");
        }
        assert!(peek(b"{").is_err());
    }

    #[test]
    fn the_usage_the_client_did_not_ask_for_is_taken_out() {
        let piece = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}],\"usage\":null}";
        let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}";
        for end in ["\n", "\r\n", "\r"] {
            let block = |line: &str| format!("{line}{end}{end}");
            let kept = [block(": alive"), format!("{end}{}", block(piece))].concat();
            let stream = [&kept, block(usage).as_str(), &block("data: [DONE]")].concat();
            for size in [1, 2, 7, stream.len()] {
                let mut out = Vec::new();
                let mut filter = UsageFilter::default();
                for chunk in stream.as_bytes().chunks(size) {
                    filter.push(chunk, &mut out).unwrap();
                }
                filter.finish(&mut out);
                let out = String::from_utf8(out).unwrap();
                assert_eq!(out.replace(end, ""), [": alive", piece, "data: [DONE]"].concat(), "{end:?} {size}");
                assert!(out.starts_with(&kept), "{end:?} {size}: {out:?}");
            }
        }
    }

    #[test]
    fn an_event_leaves_as_soon_as_it_is_whole() {
        let (mut out, mut filter) = (Vec::new(), UsageFilter::default());
        filter.push(b"data: {\"choices\":[1]}\n\ndata: {", &mut out).unwrap();
        assert_eq!(out, b"data: {\"choices\":[1]}\n\n");
        // One without its blank line still counts at the end.
        filter.push(b"\"usage\":1}", &mut out).unwrap();
        filter.finish(&mut out);
        assert!(out.ends_with(b"data: {\"usage\":1}"));
    }
}
