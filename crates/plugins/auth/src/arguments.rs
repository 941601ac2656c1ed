//! Named values of a request: in its query and in a form, multipart or JSON body. Read, and taken out again.
//!
//! What cannot be parsed counts as empty, as in Kong: authentication then fails for want of a credential. Taking a
//! value out leaves every other byte as the client sent it.

use std::borrow::Cow;

use bytes::Bytes;
use gibbon_message::uri;
use gibbon_pdk::{Exchange, RequestBody};
use serde_json::{Map, Value};

/// Arguments looked at in a query or form, as in Kong: a stranger must not make us parse thousands.
const MAX_ARGUMENTS: usize = 100;

/// What a name was found to stand for.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a> {
    Nothing,
    Text(Cow<'a, [u8]>),
    /// Several values, or a list or object in JSON.
    Many,
    /// A name without value, or a number or boolean in JSON: there, but no text.
    NoText,
}

impl<'a> Found<'a> {
    /// The value if it is the only one and valid UTF-8.
    #[must_use]
    pub fn into_text(self) -> Option<Cow<'a, str>> {
        match self {
            Found::Text(Cow::Borrowed(bytes)) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
            Found::Text(Cow::Owned(bytes)) => String::from_utf8(bytes).ok().map(Cow::Owned),
            _ => None,
        }
    }

    fn and(self, value: Option<Cow<'a, [u8]>>) -> Self {
        match (self, value) {
            (Found::Nothing, Some(text)) => Found::Text(text),
            (Found::Nothing, None) => Found::NoText,
            _ => Found::Many,
        }
    }
}

/// The values of a header field of that name.
#[must_use]
pub fn in_headers<'a>(x: &'a Exchange, name: &'a str) -> Found<'a> {
    x.request.headers.get_all(name).fold(Found::Nothing, |found, value| found.and(Some(Cow::Borrowed(value))))
}

/// The values of an argument of the query that goes upstream.
#[must_use]
pub fn in_query<'a>(x: &'a Exchange, name: &str) -> Found<'a> {
    x.query().map_or(Found::Nothing, |query| in_arguments(query, name))
}

/// Every value of an argument of the query, in order.
pub fn all_in_query<'a>(x: &'a Exchange, name: &'a str) -> impl Iterator<Item = Cow<'a, [u8]>> {
    let arguments = uri::arguments(x.query().unwrap_or_default()).take(MAX_ARGUMENTS);
    arguments.filter(move |(n, _)| n.as_ref() == name.as_bytes()).filter_map(|(_, value)| value)
}

/// All arguments of the query by name: a text, `true` without a value, a list of several.
#[must_use]
pub fn query(x: &Exchange) -> Map<String, Value> {
    map(x.query().unwrap_or_default())
}

fn map(text: &[u8]) -> Map<String, Value> {
    let mut all = Map::new();
    for (name, value) in uri::arguments(text).take(MAX_ARGUMENTS) {
        let value = value.map_or(Value::Bool(true), |v| Value::String(String::from_utf8_lossy(&v).into_owned()));
        let name = String::from_utf8_lossy(&name).into_owned();
        match all.get_mut(&name) {
            None => drop(all.insert(name, value)),
            Some(Value::Array(several)) => several.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    all
}

/// Takes an argument out of the query; the others stay as the client wrote them.
pub fn remove_from_query(x: &mut Exchange, name: &str) {
    let Some(query) = x.query() else { return };
    if matches!(in_arguments(query, name), Found::Nothing) {
        return;
    }
    x.destination.query = Some(without(query, name));
}

fn in_arguments<'a>(text: &'a [u8], name: &str) -> Found<'a> {
    uri::arguments(text)
        .take(MAX_ARGUMENTS)
        .filter(|(n, _)| n.as_ref() == name.as_bytes())
        .fold(Found::Nothing, |found, (_, value)| found.and(value))
}

fn without(text: &[u8], name: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for part in text.split(|b| *b == b'&') {
        let is_it = uri::arguments(part).any(|(n, _)| n.as_ref() == name.as_bytes());
        if is_it {
            continue;
        }
        if !out.is_empty() {
            out.push(b'&');
        }
        out.extend_from_slice(part);
    }
    out
}

/// The arguments in a body, by its Content-Type.
#[derive(Debug, Default)]
pub enum BodyArguments {
    #[default]
    None,
    Form(Bytes),
    Json(Map<String, Value>),
    Multipart {
        body: Bytes,
        parts: Vec<Part>,
    },
}

/// A part of a multipart body: the bytes from its delimiter to the next one, and of its content.
#[derive(Debug)]
pub struct Part {
    name: String,
    whole: std::ops::Range<usize>,
    content: std::ops::Range<usize>,
}

impl BodyArguments {
    /// Parses the body of an exchange; it must have been read. A body that was too large for memory has no arguments.
    #[must_use]
    pub fn of(x: &Exchange) -> BodyArguments {
        let RequestBody::Whole(body) = &x.body else { return BodyArguments::None };
        let kind = x.request.headers.get_str("content-type").unwrap_or_default();
        let media = kind.split(';').next().unwrap_or_default().trim();
        if media.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return BodyArguments::Form(body.clone());
        }
        if media.eq_ignore_ascii_case("application/json") {
            return match serde_json::from_slice(body) {
                Ok(Value::Object(fields)) => BodyArguments::Json(fields),
                _ => BodyArguments::None,
            };
        }
        if media.eq_ignore_ascii_case("multipart/form-data")
            && let Some(boundary) = boundary(kind)
        {
            let parts = parts(body, boundary);
            return BodyArguments::Multipart { body: body.clone(), parts };
        }
        BodyArguments::None
    }

    /// Whether bodies of a media type (in lower case, without parameters) have arguments.
    #[must_use]
    pub fn are_in(media_type: &str) -> bool {
        matches!(media_type, "application/x-www-form-urlencoded" | "application/json" | "multipart/form-data")
    }

    /// All of them by name.
    #[must_use]
    pub fn into_map(self) -> Map<String, Value> {
        match self {
            BodyArguments::None => Map::new(),
            BodyArguments::Form(text) => map(&text),
            BodyArguments::Json(fields) => fields,
            BodyArguments::Multipart { body, parts } => {
                let text = |part: &Part| {
                    let content = body.get(part.content.clone()).unwrap_or_default();
                    Value::String(String::from_utf8_lossy(content).into_owned())
                };
                parts.iter().map(|part| (part.name.clone(), text(part))).collect()
            }
        }
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Found<'_> {
        match self {
            BodyArguments::None => Found::Nothing,
            BodyArguments::Form(text) => in_arguments(text, name),
            BodyArguments::Json(fields) => match fields.get(name) {
                None | Some(Value::Null) => Found::Nothing,
                Some(Value::String(text)) => Found::Text(Cow::Borrowed(text.as_bytes())),
                Some(Value::Array(_) | Value::Object(_)) => Found::Many,
                Some(Value::Bool(_) | Value::Number(_)) => Found::NoText,
            },
            // Of parts with the same name the last one counts.
            BodyArguments::Multipart { body, parts } => match parts.iter().rev().find(|p| p.name == name) {
                Some(part) => Found::Text(Cow::Borrowed(body.get(part.content.clone()).unwrap_or_default())),
                None => Found::Nothing,
            },
        }
    }

    /// Takes a name out of the body of the exchange these arguments were read from.
    pub fn remove_from(self, x: &mut Exchange, name: &str) {
        if matches!(self.get(name), Found::Nothing) {
            return;
        }
        let body = match self {
            BodyArguments::None => return,
            BodyArguments::Form(text) => Bytes::from(without(&text, name)),
            BodyArguments::Json(mut fields) => {
                fields.shift_remove(name);
                Bytes::from(Value::Object(fields).to_string())
            }
            BodyArguments::Multipart { body, parts } => {
                let mut out = Vec::with_capacity(body.len());
                let mut at = 0;
                for part in parts.iter().filter(|p| p.name == name) {
                    out.extend_from_slice(body.get(at..part.whole.start).unwrap_or_default());
                    at = part.whole.end;
                }
                out.extend_from_slice(body.get(at..).unwrap_or_default());
                Bytes::from(out)
            }
        };
        x.body = RequestBody::Whole(body);
    }
}

/// The `boundary` parameter of a Content-Type, RFC 2046 5.1.1: 1 to 70 characters.
fn boundary(content_type: &str) -> Option<&str> {
    let parameters = content_type.split(';').skip(1).filter_map(|p| p.trim().split_once('='));
    let value =
        parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("boundary")).map(|(_, v)| v.trim()).next()?;
    let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
    (1..=70).contains(&value.len()).then_some(value)
}

/// The named parts of a multipart body.
fn parts(body: &[u8], boundary: &str) -> Vec<Part> {
    let delimiter = format!("--{boundary}");
    let starts: Vec<usize> = memchr::memmem::find_iter(body, delimiter.as_bytes())
        .filter(|at| *at == 0 || body.get(..*at).is_some_and(|before| before.ends_with(b"\n")))
        .take(MAX_ARGUMENTS + 1)
        .collect();
    starts.windows(2).filter_map(|pair| part(body, *pair.first()?, *pair.last()?, delimiter.len())).collect()
}

fn part(body: &[u8], start: usize, end: usize, delimiter: usize) -> Option<Part> {
    let after = start + delimiter;
    let text = body.get(after..end)?;
    let head = memchr::memmem::find(text, b"\r\n\r\n")?;
    let name = std::str::from_utf8(text.get(..head)?).ok()?.lines().find_map(disposition_name)?;
    let content_end = if text.ends_with(b"\r\n") { end - 2 } else { end };
    Some(Part { name, whole: start..end, content: (after + head + 4).min(content_end)..content_end })
}

/// The name in a line `Content-Disposition: form-data; name="…"`.
fn disposition_name(line: &str) -> Option<String> {
    let (field, value) = line.split_once(':')?;
    if !field.trim().eq_ignore_ascii_case("content-disposition") {
        return None;
    }
    let named = value.split(';').skip(1).filter_map(|p| p.trim().split_once('='));
    let raw = named.filter(|(n, _)| n.trim().eq_ignore_ascii_case("name")).map(|(_, v)| v.trim()).next()?;
    Some(raw.trim_matches('"').to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn with_query(query: &str) -> Exchange {
        let mut x = Exchange::default();
        x.request.target = format!("/p?{query}").into_bytes();
        x
    }

    fn with_body(kind: &str, body: &str) -> Exchange {
        let mut x = Exchange::default();
        x.request.headers.append("Content-Type", kind);
        x.body = RequestBody::Whole(Bytes::from(body.to_owned()));
        x
    }

    fn text(value: &str) -> Found<'_> {
        Found::Text(Cow::Borrowed(value.as_bytes()))
    }

    fn body_text(x: &Exchange) -> String {
        String::from_utf8(x.body.bytes().unwrap().to_vec()).unwrap()
    }

    #[test]
    fn a_query_argument_is_decoded_and_counted() {
        let x = with_query("a=1&b=x%20y+z&c&a=2&A=3");
        assert_eq!(in_query(&x, "b"), text("x y z"));
        assert_eq!(in_query(&x, "a"), Found::Many);
        assert_eq!(in_query(&x, "c"), Found::NoText);
        assert_eq!(in_query(&x, "d"), Found::Nothing);
    }

    #[test]
    fn an_argument_taken_out_leaves_the_others_untouched() {
        let mut x = with_query("z=%7e&%61pikey=k&y=1+2&apikey=k2");
        remove_from_query(&mut x, "apikey");
        assert_eq!(x.query(), Some(&b"z=%7e&y=1+2"[..]));
        remove_from_query(&mut x, "z");
        remove_from_query(&mut x, "y");
        assert_eq!(x.query(), None, "no question mark is left");
    }

    #[test]
    fn arguments_beyond_the_hundredth_are_not_seen() {
        let x = with_query(&format!("{}k=v", "a=1&".repeat(100)));
        assert_eq!(in_query(&x, "k"), Found::Nothing);
    }

    #[test]
    fn a_form_body_is_read_and_rewritten() {
        let mut x = with_body("application/x-www-form-urlencoded; charset=utf-8", "a=1&key=s&b=2");
        let arguments = BodyArguments::of(&x);
        assert_eq!(arguments.get("key"), text("s"));
        arguments.remove_from(&mut x, "key");
        assert_eq!(body_text(&x), "a=1&b=2");
    }

    #[test]
    fn a_json_body_gives_texts_only() {
        let mut x = with_body("application/json", r#"{"key":"s","n":1,"l":[1],"o":{}}"#);
        let arguments = BodyArguments::of(&x);
        assert_eq!(arguments.get("key"), text("s"));
        assert_eq!(arguments.get("n"), Found::NoText);
        assert_eq!(arguments.get("l"), Found::Many);
        arguments.remove_from(&mut x, "key");
        assert_eq!(body_text(&x), r#"{"n":1,"l":[1],"o":{}}"#);
    }

    #[test]
    fn a_multipart_body_loses_only_the_part_that_is_taken_out() {
        let part = |name: &str, value: &str| {
            format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let body = format!("{}{}{}--XX--\r\n", part("a", "1"), part("key", "s--XX"), part("b", "2"));
        let mut x = with_body("multipart/form-data; boundary=XX", &body);
        let arguments = BodyArguments::of(&x);
        assert_eq!(arguments.get("key"), text("s--XX"));
        arguments.remove_from(&mut x, "key");
        assert_eq!(body_text(&x), format!("{}{}--XX--\r\n", part("a", "1"), part("b", "2")));
    }

    #[test]
    fn what_cannot_be_parsed_has_no_arguments() {
        for (kind, body) in [
            ("application/json", "{"),
            ("application/json", "[1]"),
            ("text/plain", "key=1"),
            ("multipart/form-data", "--"),
        ] {
            assert_eq!(BodyArguments::of(&with_body(kind, body)).get("key"), Found::Nothing, "{kind} {body}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_multipart_body_breaks_the_parser(body: Vec<u8>, cut in 0usize..80) {
            let mut bytes = b"--B\r\nContent-Disposition: form-data; name=\"k\"\r\n\r\nv\r\n--B--".to_vec();
            bytes.truncate(cut);
            bytes.extend(body);
            let mut x = Exchange::default();
            x.request.headers.append("Content-Type", "multipart/form-data; boundary=B");
            x.body = RequestBody::Whole(Bytes::from(bytes));
            let arguments = BodyArguments::of(&x);
            let _ = arguments.get("k");
            arguments.remove_from(&mut x, "k");
        }
    }
}
