//! Heads between the `h2` crate's types and ours, with the rules HTTP/2 has for fields (RFC 9113 8.2, 8.3).

use gibbon_message::{Headers, Method, RequestHead, ResponseHead, Scheme, Version, write_escaped_value};
use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::{BodyLength, HeadError, parse};

/// Fields that speak of one HTTP/1 connection and must not appear in HTTP/2 (RFC 9113 8.2.2).
fn is_connection_field(name: &[u8]) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
    match name.len() {
        7 => is("upgrade"),
        10 => is("connection") || is("keep-alive"),
        16 => is("proxy-connection"),
        17 => is("transfer-encoding"),
        _ => false,
    }
}

/// What the fields say about the body, and whether the client waits for `100 Continue`.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestFraming {
    pub length: BodyLength,
    pub expect_continue: bool,
}

/// Fills `head` from a request; `ended`: no body follows.
pub(super) fn request_from(
    parts: &http::request::Parts,
    ended: bool,
    ignore_invalid_headers: bool,
    head: &mut RequestHead,
) -> Result<RequestFraming, HeadError> {
    head.clear();
    head.version = Version::H2;
    head.method = Method::parse(parts.method.as_str().as_bytes()).ok_or(HeadError::BadRequest("invalid method"))?;
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    head.target.extend_from_slice(target.as_bytes());
    if target != "*" {
        parse::check_path(&head.target)?;
    }
    let length = body_length(&parts.headers, ended)?;
    write_host(parts, &mut head.headers)?;
    request_fields(&parts.headers, ignore_invalid_headers, &mut head.headers)?;
    if matches!(head.method, Method::Trace | Method::Connect) {
        return Err(HeadError::MethodNotAllowed);
    }
    let expects = parts.headers.get("expect").is_some_and(|e| e.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    Ok(RequestFraming { length, expect_continue: expects && !ended })
}

fn body_length(headers: &HeaderMap, ended: bool) -> Result<BodyLength, HeadError> {
    const BAD: HeadError = HeadError::BadRequest("invalid Content-Length");
    let mut values = headers.get_all("content-length").iter();
    let declared = match (values.next(), values.next()) {
        (None, _) => None,
        (Some(value), None) => Some(parse::content_length(value.as_bytes()).ok_or(BAD)?),
        (Some(_), Some(_)) => return Err(BAD),
    };
    Ok(match (declared, ended) {
        (Some(0), _) => BodyLength::Exact(0),
        (_, true) => BodyLength::None,
        (Some(length), false) => BodyLength::Exact(length),
        (None, false) => BodyLength::Unknown,
    })
}

/// `:authority` becomes the `Host` field; both may be given if they agree (RFC 9113 8.3.1).
fn write_host(parts: &http::request::Parts, headers: &mut Headers) -> Result<(), HeadError> {
    let authority = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    let mut hosts = parts.headers.get_all("host").iter().map(HeaderValue::as_bytes);
    let host = match (authority, hosts.next(), hosts.next()) {
        (_, _, Some(_)) => return Err(HeadError::BadRequest("more than one Host header")),
        (Some(authority), Some(host), None) if !authority.eq_ignore_ascii_case(host) => {
            return Err(HeadError::BadRequest("the Host header is not the :authority"));
        }
        (Some(authority), _, None) => authority,
        (None, Some(host), None) => host,
        (None, None, None) => return Err(HeadError::BadRequest("no :authority and no Host header")),
    };
    if !parse::is_host(host) {
        return Err(HeadError::BadRequest("invalid host"));
    }
    headers.append("host", host);
    Ok(())
}

fn request_fields(map: &HeaderMap, ignore_invalid: bool, headers: &mut Headers) -> Result<(), HeadError> {
    let mut cookies: Vec<u8> = Vec::new();
    for (name, value) in map {
        let name = name.as_str();
        if name == "cookie" {
            // RFC 9113 8.2.3: crumbs are joined before they leave HTTP/2.
            if !cookies.is_empty() {
                cookies.extend_from_slice(b"; ");
            }
            cookies.extend_from_slice(value.as_bytes());
        } else if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
            if !ignore_invalid {
                return Err(HeadError::BadRequest("invalid character in a field name"));
            }
        } else if name != "host" && !is_connection_field(name.as_bytes()) {
            headers.append(name, value.as_bytes());
        }
    }
    if !cookies.is_empty() {
        headers.append("cookie", cookies);
    }
    Ok(())
}

/// Fills `head` from an upstream's head, final or informational.
pub(crate) fn response_from<T>(response: &http::Response<T>, head: &mut ResponseHead) {
    head.clear();
    head.status = response.status().as_u16();
    head.version = Version::H2;
    fields_from(response.headers(), &mut head.headers);
}

/// Adds the fields of an answer or of trailers.
pub(crate) fn fields_from(map: &HeaderMap, headers: &mut Headers) {
    for (name, value) in map {
        if !is_connection_field(name.as_str().as_bytes()) {
            headers.append(name.as_str(), value.as_bytes());
        }
    }
}

/// The fields as HTTP/2 may carry them: no connection fields, of `TE` only `trailers`, no control
/// characters, and none that `drop` names.
pub(crate) fn fields_to(headers: &Headers, map: &mut HeaderMap, drop: impl Fn(&[u8]) -> bool) {
    map.reserve(headers.len());
    for (name, value) in headers.iter() {
        let te = name.eq_ignore_ascii_case(b"te");
        if is_connection_field(name) || drop(name) || (te && !value.eq_ignore_ascii_case(b"trailers")) {
            continue;
        }
        let once = differs_each_time(name);
        let Ok(name) = HeaderName::from_bytes(name) else { continue };
        if let Some(mut value) = field_value(value) {
            value.set_sensitive(once);
            // A full map refuses what is beyond; 24,576 fields are enough for anybody.
            let _ = map.try_append(name, value);
        }
    }
}

/// Fields whose value no other message has, as far as their name tells. They are sent as literals that are never
/// indexed (RFC 7541 6.2.3): in the table they would push out what does come again, and be searched in vain.
fn differs_each_time(name: &[u8]) -> bool {
    let tail = |n: usize| name.get(name.len().saturating_sub(n)..).unwrap_or_default();
    tail(3).eq_ignore_ascii_case(b"-id")
        || tail(8).eq_ignore_ascii_case(b"-latency")
        || name.eq_ignore_ascii_case(b"traceparent")
}

fn field_value(value: &[u8]) -> Option<HeaderValue> {
    HeaderValue::from_bytes(value).ok().or_else(|| {
        let mut escaped = Vec::new();
        write_escaped_value(&mut escaped, value);
        HeaderValue::from_bytes(&escaped).ok()
    })
}

/// A request for the upstream side. The `Host` field becomes `:authority`.
pub(crate) fn request_parts(
    scheme: Scheme,
    method: &Method,
    target: &[u8],
    headers: &Headers,
    length: BodyLength,
) -> Result<http::Request<()>, &'static str> {
    let authority = headers.get_str("host").ok_or("no Host header to make an :authority of")?;
    let target = if target.is_empty() { b"/" } else { target };
    let uri = http::Uri::builder().scheme(scheme.as_str()).authority(authority).path_and_query(target).build();
    let method = http::Method::from_bytes(method.as_str().as_bytes()).map_err(|_| "invalid method")?;
    let mut request = http::Request::new(());
    *request.version_mut() = http::Version::HTTP_2;
    *request.method_mut() = method;
    *request.uri_mut() = uri.map_err(|_| "invalid host or target")?;
    let map = request.headers_mut();
    fields_to(headers, map, |name| name.eq_ignore_ascii_case(b"host") || name.eq_ignore_ascii_case(b"content-length"));
    if let BodyLength::Exact(length) = length {
        map.insert(http::header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(request)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parts(uri: &str, fields: &[(&'static str, &'static str)]) -> http::request::Parts {
        let mut request = http::Request::builder().uri(uri).body(()).unwrap();
        for (name, value) in fields {
            request.headers_mut().append(*name, HeaderValue::from_static(value));
        }
        request.into_parts().0
    }

    fn head(uri: &str, fields: &[(&'static str, &'static str)]) -> Result<(RequestHead, RequestFraming), HeadError> {
        let mut head = RequestHead::default();
        let framing = request_from(&parts(uri, fields), false, true, &mut head)?;
        Ok((head, framing))
    }

    fn fields(headers: &Headers) -> Vec<(String, String)> {
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        headers.iter().map(|(n, v)| (text(n), text(v))).collect()
    }

    fn strings(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        fields.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect()
    }

    #[test]
    fn the_authority_is_the_host_and_cookies_are_joined() {
        let (head, framing) =
            head("https://a.test:1/x?y", &[("x-a", "1"), ("cookie", "a=1"), ("cookie", "b=2"), ("x.dot", "2")])
                .unwrap();
        assert_eq!(head.target, b"/x?y");
        let expected = [("host", "a.test:1"), ("x-a", "1"), ("cookie", "a=1; b=2")];
        assert_eq!(fields(&head.headers), strings(&expected));
        assert_eq!(framing.length, BodyLength::Unknown);
    }

    #[test]
    fn a_host_that_is_missing_doubled_or_different_is_refused() {
        assert!(head("/x", &[("host", "a")]).is_ok());
        assert!(head("http://a/x", &[("host", "A")]).is_ok());
        for (uri, fields) in [
            ("/x", &[][..]),
            ("http://a/x", &[("host", "b")]),
            ("/x", &[("host", "a"), ("host", "a")]),
            ("/x", &[("host", "a/b")]),
            ("http://a/../x", &[]),
            ("http://a/x", &[("content-length", "+3")]),
            ("http://a/x", &[("content-length", "3"), ("content-length", "3")]),
        ] {
            assert_eq!(head(uri, fields).unwrap_err().status(), 400, "{uri} {fields:?}");
        }
    }

    #[test]
    fn connection_fields_do_not_cross_over() {
        let mut headers = Headers::new();
        for (name, value) in [
            ("Connection", "close"),
            ("Keep-Alive", "1"),
            ("Upgrade", "x"),
            ("Transfer-Encoding", "chunked"),
            ("Proxy-Connection", "x"),
            ("TE", "gzip"),
            ("TE", "trailers"),
            ("X-A", "1"),
        ] {
            headers.append(name, value);
        }
        let mut map = HeaderMap::new();
        fields_to(&headers, &mut map, |_| false);
        let mut back = Headers::new();
        fields_from(&map, &mut back);
        assert_eq!(fields(&back), strings(&[("te", "trailers"), ("x-a", "1")]));
    }

    #[test]
    fn what_differs_each_time_is_not_indexed() {
        let mut headers = Headers::new();
        for name in ["X-Request-ID", "x-kong-upstream-latency", "traceparent", "id", "Server", "x-void"] {
            headers.append(name, "v");
        }
        let mut map = HeaderMap::new();
        fields_to(&headers, &mut map, |_| false);
        let once: Vec<_> = map.iter().filter(|(_, v)| v.is_sensitive()).map(|(n, _)| n.as_str()).collect();
        assert_eq!(once, ["x-request-id", "x-kong-upstream-latency", "traceparent"]);
    }

    #[test]
    fn a_request_to_an_upstream_has_its_pseudo_fields() {
        let mut headers = Headers::new();
        headers.append("Host", "a.test:1");
        headers.append("Content-Length", "9");
        let request = request_parts(Scheme::Https, &Method::Post, b"/x?y", &headers, BodyLength::Exact(5)).unwrap();
        assert_eq!(request.uri(), "https://a.test:1/x?y");
        assert_eq!(request.headers().get("content-length").unwrap(), "5");
        assert!(request.headers().get("host").is_none());
        assert!(request_parts(Scheme::Http, &Method::Get, b"/", &Headers::new(), BodyLength::None).is_err());
    }
}
