//! The parameters of a signed request, and the text that a signature covers.

use aws_lc_rs::hmac;
use gibbon_pdk::Exchange;

use crate::authorization::{after_scheme, decode_base64};

/// What stands in the header: who signed, how, over what, and the result.
#[derive(Debug)]
pub struct Signature<'a> {
    pub username: &'a str,
    pub algorithm: &'a str,
    /// Names separated by single spaces.
    pub headers: &'a str,
    pub signature: &'a str,
}

impl<'a> Signature<'a> {
    /// Reads `hmac username="…", algorithm="…", headers="…", signature="…"`, in this order. As in Kong each value ends
    /// at the last place where what follows still fits.
    #[must_use]
    pub fn parse(value: &'a str) -> Option<Signature<'a>> {
        let parameters = after_scheme(value, "hmac", true)?.strip_prefix("username=\"")?;
        let (signature_start, signature) = last_parameter(parameters, "signature")?;
        let signature = signature.rfind('"').and_then(|end| signature.get(..end))?;
        let (headers_start, headers) = last_parameter(parameters.get(..signature_start)?, "headers")?;
        let (algorithm_start, algorithm) = last_parameter(parameters.get(..headers_start)?, "algorithm")?;
        let username = parameters.get(..algorithm_start)?;
        let all = [username, algorithm, headers, signature];
        (!all.iter().any(|v| v.is_empty())).then_some(Signature { username, algorithm, headers, signature })
    }

    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.headers.split(' ')
    }

    /// Whether the signature was made with `secret` over this request.
    #[must_use]
    pub fn is_valid(&self, x: &Exchange, secret: &str) -> bool {
        let (Some(algorithm), Some(given)) = (algorithm(self.algorithm), decode_base64(self.signature)) else {
            return false;
        };
        let key = hmac::Key::new(algorithm, secret.as_bytes());
        hmac::verify(&key, &self.signing_string(x), &given).is_ok()
    }

    /// One line per name: a header of the request, or one of two names for its first line.
    fn signing_string(&self, x: &Exchange) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        for (at, name) in self.names().enumerate() {
            if at > 0 {
                out.push(b'\n');
            }
            let method = x.request.method.as_str();
            match (x.request.headers.get(name), name) {
                (Some(value), _) => push(&mut out, &[name.as_bytes(), b": ", value]),
                (None, "@request-target") => {
                    let method = method.to_ascii_lowercase();
                    push(&mut out, &[name.as_bytes(), b": ", method.as_bytes(), b" ", &x.request.target]);
                }
                (None, "request-line") => {
                    let version = x.request.version.protocol().as_bytes();
                    push(&mut out, &[method.as_bytes(), b" ", &x.request.target, b" ", version]);
                }
                (None, _) => push(&mut out, &[name.as_bytes(), b":"]),
            }
        }
        out
    }
}

fn push(out: &mut Vec<u8>, pieces: &[&[u8]]) {
    pieces.iter().for_each(|piece| out.extend_from_slice(piece));
}

/// Splits at the last `",  name="`: where what stands before ends, and what follows.
fn last_parameter<'a>(text: &'a str, name: &str) -> Option<(usize, &'a str)> {
    text.rmatch_indices(name).find_map(|(at, _)| {
        let after = text.get(at + name.len()..)?.strip_prefix("=\"")?;
        let before = text.get(..at)?.trim_end().strip_suffix("\",")?;
        Some((before.len(), after))
    })
}

fn algorithm(name: &str) -> Option<hmac::Algorithm> {
    Some(match name {
        "hmac-sha1" => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        "hmac-sha224" => hmac::HMAC_SHA224,
        "hmac-sha256" => hmac::HMAC_SHA256,
        "hmac-sha384" => hmac::HMAC_SHA384,
        "hmac-sha512" => hmac::HMAC_SHA512,
        _ => return None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_in_their_order() {
        let text = r#"hmac username="hal", algorithm="hmac-sha256",headers="date  host",   signature="c2ln""#;
        let s = Signature::parse(text).unwrap();
        assert_eq!((s.username, s.algorithm, s.headers, s.signature), ("hal", "hmac-sha256", "date  host", "c2ln"));
        assert!(Signature::parse(&text.replace("hmac ", "Hmac")).is_some());
    }

    #[test]
    fn what_is_incomplete_or_in_another_order_is_no_signature() {
        for text in [
            r#"hmac username="hal""#,
            r#"hmac nonsense"#,
            r#"hmac username="", algorithm="a", headers="date", signature="s""#,
            r#"hmac username="hal", headers="date", algorithm="a", signature="s""#,
            r#"hmac username="hal" algorithm="a" headers="date" signature="s""#,
            r#"Basic username="hal", algorithm="a", headers="date", signature="s""#,
            "",
        ] {
            assert!(Signature::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_quote_in_a_user_name_moves_no_border() {
        let text = r#"hmac username="a", algorithm="x", headers="y", signature="z", algorithm="b", headers="c", signature="d""#;
        let s = Signature::parse(text).unwrap();
        assert_eq!(s.username, r#"a", algorithm="x", headers="y", signature="z"#);
        assert_eq!((s.algorithm, s.headers, s.signature), ("b", "c", "d"));
    }

    proptest::proptest! {
        #[test]
        fn any_header_is_taken_or_refused(text in "hmac username=\"[ -~é\",=]{0,80}") {
            let _ = Signature::parse(&text);
        }
    }
}
