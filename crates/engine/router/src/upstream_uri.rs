//! The path sent to the upstream: the service's path, what is left of the request's, the query as it came.

use gibbon_message::uri;

/// `path_handling` of a route. Only the `traditional` flavour heeds it; the others always join as `V0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PathHandling {
    /// Service path, one slash, rest of the request's path.
    #[default]
    V0,
    /// Simple concatenation.
    V1,
}

/// From what the upstream's path is put together.
#[derive(Debug, Clone, Copy)]
pub struct UriParts<'a> {
    /// `None` counts as `/`.
    pub service_path: Option<&'a [u8]>,
    pub strip_path: bool,
    /// Length of what the route matched of the path ([`Found::matched_path`](crate::Found::matched_path)).
    pub matched: Option<usize>,
    /// Normalised, starting with `/`.
    pub path: &'a [u8],
    /// Without the `?`.
    pub query: Option<&'a [u8]>,
    pub handling: PathHandling,
}

/// Appends the request target for the upstream to `out`.
pub fn upstream_uri(parts: &UriParts<'_>, out: &mut Vec<u8>) {
    let base = parts.service_path.unwrap_or(b"/");
    let rest = if parts.strip_path { postfix(parts) } else { parts.path };
    let (head, joint, tail) = match (parts.handling, parts.strip_path) {
        (PathHandling::V0, true) => strip_v0(base, rest, parts.path),
        (PathHandling::V0, false) => keep_v0(base, rest),
        (PathHandling::V1, true) if base.ends_with(b"/") && rest.starts_with(b"/") => (chop(base), "", rest),
        (PathHandling::V1, true) => (base, "", rest),
        (PathHandling::V1, false) => (base, "", without_first(rest)),
    };
    uri::escape_into(out, head);
    out.extend_from_slice(joint.as_bytes());
    uri::escape_into(out, tail);
    if let Some(query) = parts.query {
        out.push(b'?');
        out.extend_from_slice(query);
    }
}

/// The path behind what matched, without a dot segment that the cut may have laid bare: `/fv1` cut from
/// `/fv1../x` must not lead out of the service's path.
fn postfix<'a>(parts: &UriParts<'a>) -> &'a [u8] {
    let rest = parts.path.get(parts.matched.unwrap_or(1)..).unwrap_or_default();
    match rest {
        b"." | b".." => b"",
        _ => rest.strip_prefix(b"./").or_else(|| rest.strip_prefix(b"../")).unwrap_or(rest),
    }
}

type Joined<'a> = (&'a [u8], &'static str, &'a [u8]);

fn strip_v0<'a>(base: &'a [u8], rest: &'a [u8], path: &[u8]) -> Joined<'a> {
    let (base_slash, rest_slash) = (base.ends_with(b"/"), rest.starts_with(b"/"));
    let keeps_slash = path.ends_with(b"/");
    match (base_slash, rest) {
        (true, b"") if base == b"/" || keeps_slash => (base, "", b""),
        (true, b"") => (chop(base), "", b""),
        (true, _) if rest_slash => (chop(base), "", rest),
        (true, _) => (base, "", rest),
        (false, b"") => (base, if path.len() > 1 && keeps_slash { "/" } else { "" }, b""),
        (false, _) => (base, if rest_slash { "" } else { "/" }, rest),
    }
}

fn keep_v0<'a>(base: &'a [u8], path: &'a [u8]) -> Joined<'a> {
    match (base.ends_with(b"/"), path) {
        (true, _) => (base, "", without_first(path)),
        (false, b"/") => (base, "", b""),
        (false, _) => (base, "", path),
    }
}

fn chop(base: &[u8]) -> &[u8] {
    base.strip_suffix(b"/").unwrap_or(base)
}

fn without_first(path: &[u8]) -> &[u8] {
    path.get(1..).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn joined(service: Option<&str>, strip: bool, matched: usize, path: &str, handling: PathHandling) -> String {
        let parts = UriParts {
            service_path: service.map(str::as_bytes),
            strip_path: strip,
            matched: Some(matched),
            path: path.as_bytes(),
            query: None,
            handling,
        };
        let mut out = Vec::new();
        upstream_uri(&parts, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_table_of_joins() {
        // service path, strip, route path, request path, v0, v1
        let table = [
            (Some("/s"), false, "/fv", "/fv1/req", "/s/fv1/req", "/sfv1/req"),
            (Some("/s"), true, "/fv1", "/fv1/req", "/s/req", "/s/req"),
            (Some("/s/"), false, "/fv1", "/fv1/req", "/s/fv1/req", "/s/fv1/req"),
            (Some("/s/"), true, "/fv1", "/fv1/req", "/s/req", "/s/req"),
            (Some("/s"), true, "/fv1", "/fv1req", "/s/req", "/sreq"),
            (Some("/s/"), true, "/fv1", "/fv1req", "/s/req", "/s/req"),
            (Some("/"), true, "/fv1", "/fv1", "/", "/"),
            (None, true, "/fv1", "/fv1", "/", "/"),
            (Some("/s"), true, "/fv1", "/fv1", "/s", "/s"),
            (Some("/s"), true, "/fv1/", "/fv1/", "/s/", "/s"),
            (Some("/s/"), true, "/fv1", "/fv1", "/s", "/s/"),
            (Some("/s/"), true, "/fv1/", "/fv1/", "/s/", "/s/"),
            (Some("/s"), false, "/", "/", "/s", "/s"),
        ];
        for (service, strip, route, path, v0, v1) in table {
            let case = format!("{service:?} strip {strip} route {route} path {path}");
            assert_eq!(joined(service, strip, route.len(), path, PathHandling::V0), v0, "v0: {case}");
            assert_eq!(joined(service, strip, route.len(), path, PathHandling::V1), v1, "v1: {case}");
        }
    }

    #[test]
    fn what_a_real_gateway_answered() {
        // Recorded joins of a default gateway: service path, route path, strip, request path, upstream path.
        let recorded = [
            (None, "/n1", true, "/n1", "/"),
            (None, "/n1", true, "/n1/", "/"),
            (None, "/n1", true, "/n1x", "/x"),
            (None, "/n2/", true, "/n2/x", "/x"),
            (Some("/"), "/s3", false, "/s3/", "/s3/"),
            (Some("/p"), "/p1", true, "/p1/", "/p/"),
            (Some("/p"), "/p1", true, "/p1x", "/p/x"),
            (Some("/p"), "/p2/", true, "/p2/", "/p/"),
            (Some("/q/"), "/q1", true, "/q1", "/q"),
            (Some("/q/"), "/q1", true, "/q1/", "/q/"),
            (Some("/q/"), "/q2/", true, "/q2/x", "/q/x"),
            (Some("/q/"), "/q3", false, "/q3/x", "/q/q3/x"),
        ];
        for (service, route, strip, path, upstream) in recorded {
            assert_eq!(joined(service, strip, route.len(), path, PathHandling::V0), upstream, "{service:?} {path}");
        }
    }

    #[test]
    fn a_dot_segment_laid_bare_by_the_cut_is_dropped() {
        for path in ["/fv1..", "/fv1.", "/fv1../", "/fv1./"] {
            assert!(!joined(Some("/s"), true, 4, path, PathHandling::V0).contains(".."), "{path}");
        }
        assert_eq!(joined(Some("/s"), true, 4, "/fv1../x", PathHandling::V0), "/s/x");
    }

    #[test]
    fn path_is_escaped_and_query_kept_even_if_empty() {
        let parts = UriParts {
            service_path: Some(b"/s"),
            strip_path: true,
            matched: None,
            path: b"/a b\"%2F",
            query: Some(b""),
            handling: PathHandling::V0,
        };
        let mut out = Vec::new();
        upstream_uri(&parts, &mut out);
        assert_eq!(out, b"/s/a%20b%22%2F?");
    }
}
