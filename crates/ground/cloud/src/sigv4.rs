//! AWS Signature Version 4, as AWS documents it ("Create a signed AWS API request"): a canonical
//! request is hashed, put into a string to sign, and that is signed with a key derived from the
//! secret, day, region and service. For every service but S3 the path is encoded once more.

use std::fmt;

use aws_lc_rs::{digest, hmac};

use crate::{Address, encode, time};

/// Keys of an AWS identity.
#[derive(Clone, PartialEq, Eq)]
pub struct AwsKeys {
    /// Access key id.
    pub access: String,
    /// Secret access key.
    pub secret: String,
    /// Session token of temporary keys.
    pub session: Option<String>,
}

impl fmt::Debug for AwsKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AwsKeys({})", self.access)
    }
}

/// What is signed.
#[derive(Debug, Clone, Copy)]
pub struct Signable<'a> {
    /// Method.
    pub method: &'a str,
    /// Host, path and query.
    pub address: &'a Address,
    /// Headers to sign beside `host` and the signature's own, names in small letters.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
}

/// The headers that sign a request: `authorization`, `x-amz-date`, and `x-amz-security-token` for
/// temporary keys. `now` is in seconds since 1970.
#[must_use]
pub fn sign(
    request: &Signable<'_>,
    keys: &AwsKeys,
    region: &str,
    service: &str,
    now: u64,
) -> Vec<(&'static str, String)> {
    let date = time::basic(now);
    let day = date.get(..8).unwrap_or_default();
    let host = request.address.authority();
    let mut headers: Vec<(&str, &str)> = vec![("host", &host), ("x-amz-date", &date)];
    headers.extend(keys.session.as_deref().map(|token| ("x-amz-security-token", token)));
    headers.extend(request.headers);
    headers.sort_unstable();
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");

    let canonical = canonical_request(request, &headers, &names);
    let scope = format!("{day}/{region}/{service}/aws4_request");
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", sha256(canonical.as_bytes()));
    let signature = hex(mac(&signing_key(keys, day, region, service), to_sign.as_bytes()).as_ref());
    let authorization =
        format!("AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}", keys.access);
    let mut out = vec![("x-amz-date", date), ("authorization", authorization)];
    out.extend(keys.session.clone().map(|token| ("x-amz-security-token", token)));
    out
}

fn canonical_request(request: &Signable<'_>, headers: &[(&str, &str)], names: &str) -> String {
    let mut out = String::with_capacity(512);
    out.push_str(request.method);
    out.push('\n');
    // The path as sent is encoded already; the signature covers it encoded again.
    for (i, segment) in request.address.path.split('/').enumerate() {
        if i > 0 {
            out.push('/');
        }
        encode(segment, &mut out);
    }
    out.push('\n');
    let mut query: Vec<(String, String)> = request
        .address
        .query
        .iter()
        .map(|(key, value)| {
            let (mut k, mut v) = (String::new(), String::new());
            encode(key, &mut k);
            encode(value, &mut v);
            (k, v)
        })
        .collect();
    query.sort_unstable();
    let query: Vec<String> = query.into_iter().map(|(k, v)| format!("{k}={v}")).collect();
    out.push_str(&query.join("&"));
    out.push('\n');
    for (name, value) in headers {
        out.push_str(name);
        out.push(':');
        // Blanks at the ends are cut off, in between they count as one.
        let words: Vec<&str> = value.split_ascii_whitespace().collect();
        out.push_str(&words.join(" "));
        out.push('\n');
    }
    out.push('\n');
    out.push_str(names);
    out.push('\n');
    out.push_str(&sha256(request.body));
    out
}

fn signing_key(keys: &AwsKeys, day: &str, region: &str, service: &str) -> Vec<u8> {
    let secret = format!("AWS4{}", keys.secret);
    [day, region, service, "aws4_request"]
        .iter()
        .fold(secret.into_bytes(), |key, part| mac(&key, part.as_bytes()).as_ref().to_vec())
}

fn mac(key: &[u8], text: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text)
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            out.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    /// 2015-08-30T12:36:00Z, the moment of AWS's published examples.
    const THEN: u64 = 1_440_938_160;

    fn keys() -> AwsKeys {
        AwsKeys {
            access: "AKIDEXAMPLE".into(),
            secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
            session: None,
        }
    }

    fn signature(url: &str, method: &str, headers: &[(&str, &str)], service: &str) -> String {
        let address = Address::parse(url).unwrap();
        let signed =
            sign(&Signable { method, address: &address, headers, body: b"" }, &keys(), "us-east-1", service, THEN);
        let (_, value) = signed.iter().find(|(n, _)| *n == "authorization").unwrap();
        value.rsplit_once("Signature=").unwrap().1.to_owned()
    }

    #[test]
    fn the_published_signing_key_is_derived() {
        assert_eq!(
            hex(&signing_key(&keys(), "20150830", "us-east-1", "iam")),
            "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"
        );
    }

    #[test]
    fn the_published_examples_are_signed_as_published() {
        assert_eq!(
            signature("https://example.amazonaws.com/", "GET", &[], "service"),
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
        );
        assert_eq!(
            signature("https://example.amazonaws.com/", "POST", &[], "service"),
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
        );
        assert_eq!(
            signature("https://example.amazonaws.com/?Param2=value2&Param1=value1", "GET", &[], "service"),
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"
        );
        assert_eq!(
            signature(
                "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08",
                "GET",
                &[("content-type", "application/x-www-form-urlencoded; charset=utf-8")],
                "iam"
            ),
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
        );
    }

    #[test]
    fn a_path_is_encoded_twice_and_a_session_token_is_signed() {
        let address = Address::parse("https://h/model/a%3A0/converse").unwrap();
        let request = Signable { method: "POST", address: &address, headers: &[], body: b"{}" };
        let canonical = canonical_request(&request, &[("host", "h")], "host");
        assert_eq!(canonical.lines().nth(1), Some("/model/a%253A0/converse"));
        let keys = AwsKeys { session: Some("tok".into()), ..keys() };
        let signed = sign(&request, &keys, "eu-west-1", "bedrock", THEN);
        assert!(signed.iter().any(|(n, v)| *n == "x-amz-security-token" && v == "tok"));
        let (_, authorization) = signed.iter().find(|(n, _)| *n == "authorization").unwrap();
        assert!(authorization.contains("20150830/eu-west-1/bedrock/aws4_request"));
        assert!(authorization.contains("SignedHeaders=host;x-amz-date;x-amz-security-token"));
    }
}
