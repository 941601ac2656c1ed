//! What a predicate looks at: the borrowed facts of one request or connection.

use std::borrow::Cow;
use std::net::IpAddr;

use gibbon_message::{Headers, uri};

use crate::Field;

/// One request or connection. What is `None` is absent, and a predicate on an absent field is false,
/// whatever its operator.
#[derive(Debug, Clone, Copy, Default)]
pub struct Subject<'a> {
    /// `http`, `https`, `tcp`, `tls` or `udp`.
    pub protocol: &'a str,
    pub sni: Option<&'a str>,
    pub method: Option<&'a str>,
    /// Without a port.
    pub host: Option<&'a [u8]>,
    /// Normalised, starting with `/`.
    pub path: Option<&'a [u8]>,
    /// Raw, without the `?`.
    pub query: Option<&'a [u8]>,
    pub headers: Option<&'a Headers>,
    pub source_ip: Option<IpAddr>,
    pub source_port: Option<i64>,
    pub destination_ip: Option<IpAddr>,
    /// The port of the `Host` header if it has one, else the port connected to.
    pub destination_port: Option<i64>,
}

impl<'a> Subject<'a> {
    /// Calls `visit` with each value of a text field until it returns `false`.
    pub(crate) fn each_text(&self, field: &Field, visit: &mut dyn FnMut(&[u8]) -> bool) {
        match field {
            Field::Header(name) => self.each_header(name, visit),
            Field::Query(name) => self.each_argument(name, visit),
            Field::Segments(first, last) => {
                if let Some(joined) = self.segments(*first, *last) {
                    visit(&joined);
                }
            }
            single => {
                if let Some(value) = self.single_text(single) {
                    visit(value);
                }
            }
        }
    }

    fn single_text(&self, field: &Field) -> Option<&'a [u8]> {
        match field {
            Field::Protocol => Some(self.protocol.as_bytes()),
            Field::Sni => self.sni.map(str::as_bytes),
            Field::Method => self.method.map(str::as_bytes),
            Field::Host => self.host,
            Field::Path => self.path,
            Field::Segment(index) => self.path.and_then(|path| split(path).nth(*index as usize)),
            _ => None,
        }
    }

    /// All values of the header whose name is `name` once lower-cased and with `-` as `_`. `Host` is not
    /// among them: it has a field of its own.
    fn each_header(&self, name: &str, visit: &mut dyn FnMut(&[u8]) -> bool) {
        if name == "host" {
            return;
        }
        for (header, value) in self.headers.into_iter().flat_map(Headers::iter) {
            if is_same_name(header, name.as_bytes()) && !visit(value) {
                return;
            }
        }
    }

    /// All values of a query argument; one without `=` counts as empty.
    fn each_argument(&self, name: &str, visit: &mut dyn FnMut(&[u8]) -> bool) {
        for (argument, value) in self.query.into_iter().flat_map(uri::arguments) {
            if *argument == *name.as_bytes() && !visit(value.as_deref().unwrap_or_default()) {
                return;
            }
        }
    }

    /// The segments `first..=last` joined with `/`, if the path has that many.
    fn segments(&self, first: u32, last: u32) -> Option<Cow<'a, [u8]>> {
        let path = self.path?;
        let mut parts = split(path).skip(first as usize);
        let start = parts.next()?;
        let mut end = start;
        for _ in first..last {
            end = parts.next()?;
        }
        // Segments lie next to each other in the path, so that joining them is a slice of it.
        let offset = |part: &[u8]| part.as_ptr() as usize - path.as_ptr() as usize;
        path.get(offset(start)..offset(end) + end.len()).map(Cow::Borrowed)
    }

    pub(crate) fn int(&self, field: &Field) -> Option<i64> {
        match field {
            Field::SegmentCount => self.path.map(|path| split(path).count() as i64),
            Field::SourcePort => self.source_port,
            Field::DestinationPort => self.destination_port,
            _ => None,
        }
    }

    pub(crate) fn ip(&self, field: &Field) -> Option<IpAddr> {
        match field {
            Field::SourceIp => self.source_ip,
            Field::DestinationIp => self.destination_ip,
            _ => None,
        }
    }
}

/// Whether a header's name is `field` under the rule "lower case, `-` as `_`".
fn is_same_name(header: &[u8], field: &[u8]) -> bool {
    header.len() == field.len()
        && header.iter().zip(field).all(|(&h, &f)| if h == b'-' { f == b'_' } else { h.to_ascii_lowercase() == f })
}

/// The segments of a path: what stands between the slashes, without the empty ones at the end.
fn split(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let inner = path.strip_prefix(b"/").unwrap_or(path);
    let end = inner.iter().rposition(|&b| b != b'/').map_or(0, |i| i + 1);
    let inner = inner.get(..end).unwrap_or_default();
    inner.split(|&b| b == b'/').filter(move |_| end > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(path: &str) -> Vec<&[u8]> {
        split(path.as_bytes()).collect()
    }

    #[test]
    fn segments_are_counted_without_empty_ones_at_the_end() {
        assert_eq!(segments("/a/b/"), [b"a", b"b"]);
        assert_eq!(segments("/"), Vec::<&[u8]>::new());
        assert_eq!(segments("/a"), [b"a"]);
    }

    #[test]
    fn a_range_is_joined_with_slashes_or_absent() {
        let subject = Subject { path: Some(b"/a/b/c"), ..Subject::default() };
        assert_eq!(subject.segments(0, 1).as_deref(), Some(&b"a/b"[..]));
        assert_eq!(subject.segments(1, 2).as_deref(), Some(&b"b/c"[..]));
        assert_eq!(subject.segments(1, 3), None);
    }

    #[test]
    fn header_names_agree_whatever_their_case_and_dashes() {
        assert!(is_same_name(b"X-Foo_Bar", b"x_foo_bar"));
        assert!(!is_same_name(b"X-Foo", b"x-foo"));
    }
}
