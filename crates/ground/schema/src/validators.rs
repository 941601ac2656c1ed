//! Rules that need code: hosts, paths, URLs, names, addresses, PEM. Each takes a value and answers with the message
//! shown to clients. Values that are no text are sound here: the type of the field speaks for itself.

use std::net::IpAddr;

use base64::Engine as _;
use serde_json::Value;

use crate::{
    host::{HostError, HostKind, parse_host},
    lua_pattern, validate,
};

type Checked = Result<(), String>;

fn on_text(value: &Value, check: impl FnOnce(&str) -> Checked) -> Checked {
    value.as_str().map_or(Ok(()), check)
}

/// A host name or address without a port.
pub fn host(value: &Value) -> Checked {
    on_text(value, |text| match parse_host(text) {
        Ok(host) if host.port.is_none() => Ok(()),
        Ok(_) | Err(HostError::Port) => Err("must not have a port".to_owned()),
        Err(_) => Err(format!("invalid value: {text}")),
    })
}

/// A host name or address, perhaps with a port.
pub fn host_with_optional_port(value: &Value) -> Checked {
    on_text(value, |text| parse_host(text).map(drop).map_err(|error| error.to_string()))
}

/// A host of a route: a wildcard may stand for its first or last label.
pub fn wildcard_host(value: &Value) -> Checked {
    on_text(value, |text| {
        let concrete = text.replacen('*', "wildcard", 1);
        match parse_host(&concrete) {
            Ok(_) => Ok(()),
            Err(HostError::Name(_)) => Err(format!("invalid hostname: {text}")),
            Err(error) => Err(error.to_string()),
        }
    })
}

/// A server name: no address, no port.
pub fn sni(value: &Value) -> Checked {
    on_text(value, |text| check_sni(text, text))
}

/// A server name whose first or last label may be `*`.
pub fn wildcard_sni(value: &Value) -> Checked {
    on_text(value, |text| {
        let Some(at) = text.find('*') else { return check_sni(text, text) };
        if text.bytes().filter(|b| *b == b'*').count() > 1 {
            return Err("only one wildcard must be specified".to_owned());
        }
        if text == "*" {
            return Ok(());
        }
        let leftmost = at == 0 && text.starts_with("*.");
        let rightmost = at + 1 == text.len() && text.ends_with(".*");
        if !leftmost && !rightmost {
            return Err("wildcard must be leftmost or rightmost character".to_owned());
        }
        check_sni(&text.replacen('*', "wildcard", 1), text)
    })
}

fn check_sni(name: &str, shown: &str) -> Checked {
    match parse_host(name) {
        Ok(host) if host.kind != HostKind::Name => Err("must not be an IP".to_owned()),
        Ok(host) if host.port.is_none() => Ok(()),
        Ok(_) | Err(HostError::Port) => Err("must not have a port".to_owned()),
        Err(_) => Err(format!("invalid value: {shown}")),
    }
}

/// A path of an address: the characters of RFC 3986, percent signs followed by two hexadecimal digits.
pub fn path(value: &Value) -> Checked {
    on_text(value, |text| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:@".contains(&b);
        if !text.bytes().all(allowed) {
            return Err(format!("invalid path: '{text}' (characters outside of the reserved list of RFC 3986 found)"));
        }
        percent_encoding(text)
    })
}

/// Percent signs must be followed by two hexadecimal digits.
///
/// # Errors
/// The first percent sign for which that is not so, with the two characters after it.
pub fn percent_encoding(text: &str) -> Checked {
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        let tail = rest.get(at..).unwrap_or_default();
        let encoded = tail.get(1..3).is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        if !encoded {
            let shown: String = tail.chars().take(3).collect();
            return Err(format!("invalid url-encoded value: '{shown}'"));
        }
        rest = tail.get(3..).unwrap_or_default();
    }
    Ok(())
}

/// An absolute URL with a host.
pub fn url(value: &Value) -> Checked {
    on_text(value, |text| {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err("missing host in url".to_owned());
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        if host.is_empty() || host.starts_with(':') {
            return Err("missing host in url".to_owned());
        }
        let scheme_is_sound = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        if scheme_is_sound { Ok(()) } else { Err("missing scheme in url".to_owned()) }
    })
}

fn token(text: &str, what: &str) -> Checked {
    if text.is_empty() {
        return Err(format!("no {what} name provided"));
    }
    if text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
        return Ok(());
    }
    Err(format!("bad {what} name '{text}', allowed characters are A-Z, a-z, 0-9, '_', and '-'"))
}

/// The name of a header.
pub fn header_name(value: &Value) -> Checked {
    on_text(value, |text| token(text, "header"))
}

/// The name of a cookie.
pub fn cookie_name(value: &Value) -> Checked {
    on_text(value, |text| token(text, "cookie"))
}

/// An address.
pub fn ip(value: &Value) -> Checked {
    on_text(value, |text| match text.parse::<IpAddr>() {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("not an ip address: {text}")),
    })
}

/// An address or a range of them (`10.0.0.0/8`).
pub fn ip_or_cidr(value: &Value) -> Checked {
    on_text(value, |text| {
        let sound = match text.split_once('/') {
            None => text.parse::<IpAddr>().is_ok(),
            Some((address, bits)) => {
                let most = match address.parse::<IpAddr>() {
                    Ok(IpAddr::V4(_)) => 32,
                    Ok(IpAddr::V6(_)) => 128,
                    Err(_) => 0,
                };
                most > 0 && bits.parse::<u8>().is_ok_and(|bits| bits <= most)
            }
        };
        if sound { Ok(()) } else { Err(format!("invalid ip or cidr range: '{text}'")) }
    })
}

/// A tag: printable, without the separators of tag filters.
pub fn tag(value: &Value) -> Checked {
    on_text(value, |text| {
        let allowed = |c: char| !c.is_ascii() || (matches!(c, ' '..='~') && c != ',' && c != '/');
        if text.chars().all(allowed) {
            return Ok(());
        }
        Err(format!("invalid tag '{text}': expected printable ascii (except `,` and `/`) or valid utf-8 sequences"))
    })
}

/// A name that can stand in a path of the Admin API.
pub fn utf8_name(value: &Value) -> Checked {
    on_text(value, |text| {
        let allowed = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '~');
        if text.chars().all(allowed) {
            return Ok(());
        }
        Err(format!("invalid value '{text}': the only accepted ascii characters are alphanumerics or ., -, _, and ~"))
    })
}

/// A UUID.
pub fn uuid(value: &Value) -> Checked {
    on_text(value, |text| if validate::is_uuid(text) { Ok(()) } else { Err("expected a valid UUID".to_owned()) })
}

/// Certificates in PEM. That they are well-formed X.509 is for whoever parses them.
pub fn pem_certificate(value: &Value) -> Checked {
    on_text(value, |text| {
        pem_block(text, |label| label == "CERTIFICATE" || label == "TRUSTED CERTIFICATE")
            .map_err(|why| format!("invalid certificate: {why}"))
    })
}

/// A private key in PEM.
pub fn pem_key(value: &Value) -> Checked {
    on_text(value, |text| {
        pem_block(text, |label| label.ends_with("PRIVATE KEY")).map_err(|why| format!("invalid key: {why}"))
    })
}

/// A public key (or a certificate holding one) in PEM.
pub fn pem_public_key(value: &Value) -> Checked {
    on_text(value, |text| {
        pem_block(text, |label| label.ends_with("PUBLIC KEY") || label == "CERTIFICATE")
            .map_err(|_| "invalid key".to_owned())
    })
}

fn pem_block(text: &str, accepts: impl Fn(&str) -> bool) -> Result<(), &'static str> {
    const BEGIN: &str = "-----BEGIN ";
    let start = text.find(BEGIN).ok_or("no PEM block found")?;
    let rest = text.get(start + BEGIN.len()..).unwrap_or_default();
    let (label, body) = rest.split_once("-----").ok_or("the PEM block has no proper first line")?;
    if !accepts(label) {
        return Err("the PEM block is of another kind");
    }
    let end = format!("-----END {label}-----");
    let (body, _) = body.split_once(&end).ok_or("the PEM block has no last line")?;
    // Header lines (`Proc-Type: …`) come before an empty line; the rest is base64.
    let data: String = body.lines().filter(|line| !line.contains(':')).flat_map(|l| l.split_whitespace()).collect();
    let der = base64::engine::general_purpose::STANDARD.decode(data).map_err(|_| "the PEM block is not base64")?;
    if der.first() == Some(&0x30) { Ok(()) } else { Err("the PEM block holds no DER structure") }
}

/// A method: capital letters.
pub fn http_method(value: &Value) -> Checked {
    on_text(
        value,
        |text| {
            if lua_pattern::is_match(text, "^%u+$") { Ok(()) } else { Err(format!("invalid value: {text}")) }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn message(check: fn(&Value) -> Checked, text: &str) -> String {
        check(&json!(text)).err().unwrap_or_default()
    }

    #[test]
    fn hosts() {
        assert_eq!(message(host, "a.test"), "");
        assert_eq!(message(host, "a.test:80"), "must not have a port");
        assert_eq!(message(host, "a b"), "invalid value: a b");
        assert_eq!(message(host_with_optional_port, "a.test:99999"), "invalid port number");
        assert_eq!(message(wildcard_host, "*.a.test"), "");
        assert_eq!(message(wildcard_host, "a b.test"), "invalid hostname: a b.test");
        assert_eq!(message(wildcard_host, "under_score.test"), "");
    }

    #[test]
    fn server_names() {
        assert_eq!(message(sni, "a.test"), "");
        assert_eq!(message(sni, "10.0.0.1"), "must not be an IP");
        assert_eq!(message(wildcard_sni, "*.a.test"), "");
        assert_eq!(message(wildcard_sni, "a.*"), "");
        assert_eq!(message(wildcard_sni, "a.*.b"), "wildcard must be leftmost or rightmost character");
        assert_eq!(message(wildcard_sni, "a b"), "invalid value: a b");
    }

    #[test]
    fn paths_and_urls() {
        assert_eq!(message(path, "/a%20b"), "");
        assert_eq!(message(path, "/%zz"), "invalid url-encoded value: '%zz'");
        assert_eq!(message(path, "/%4"), "invalid url-encoded value: '%4'");
        assert!(message(path, "/a b").starts_with("invalid path: '/a b'"));
        assert_eq!(message(url, "http://a.test/x"), "");
        assert_eq!(message(url, "not a url"), "missing host in url");
        assert_eq!(message(url, "http://"), "missing host in url");
    }

    #[test]
    fn names() {
        assert_eq!(message(header_name, "X-A_1"), "");
        assert!(message(header_name, "bad name").starts_with("bad header name 'bad name'"));
        assert_eq!(message(utf8_name, "näme-1"), "");
        assert!(message(utf8_name, "a/b").starts_with("invalid value 'a/b'"));
        assert!(message(tag, "a,b").starts_with("invalid tag 'a,b'"));
        assert_eq!(message(tag, "a b"), "");
    }

    #[test]
    fn addresses() {
        assert_eq!(message(ip_or_cidr, "10.0.0.0/8"), "");
        assert_eq!(message(ip_or_cidr, "::1/129"), "invalid ip or cidr range: '::1/129'");
        assert_eq!(message(ip_or_cidr, "nonsense"), "invalid ip or cidr range: 'nonsense'");
        assert_eq!(message(ip, "x"), "not an ip address: x");
    }

    #[test]
    fn pem() {
        assert!(message(pem_certificate, "a").starts_with("invalid certificate: "));
        assert_eq!(message(pem_public_key, "a"), "invalid key");
        assert_eq!(message(pem_key, "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----"), "");
    }
}
