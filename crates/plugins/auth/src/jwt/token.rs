//! The compact form of a token (RFC 7515 7.1), taken apart but not yet believed.

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};

use super::algorithm::Algorithm;

const LENIENT_URL_SAFE: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Bytes of a text in Base64, in its own alphabet or the one for URLs.
#[must_use]
pub fn decode_base64url(text: &str) -> Option<Vec<u8>> {
    if text.contains(['+', '/']) {
        let text = text.replace('+', "-").replace('/', "_");
        return LENIENT_URL_SAFE.decode(text).ok();
    }
    LENIENT_URL_SAFE.decode(text).ok()
}

/// A token before its signature is verified.
#[derive(Debug)]
pub struct Token<'a> {
    pub header: Map<String, Value>,
    pub claims: Map<String, Value>,
    pub algorithm: Algorithm,
    /// What the signature covers: header and claims as they were sent.
    pub signed: &'a str,
    pub signature: Vec<u8>,
}

impl<'a> Token<'a> {
    /// # Errors
    /// What is wrong, in Kong's words.
    pub fn decode(text: &'a str) -> Result<Token<'a>, &'static str> {
        const NOT_JSON: &str = "invalid JSON";
        let (header_text, rest) = text.split_once('.').ok_or(NOT_JSON)?;
        let (claims_text, signature_text) = rest.split_once('.').ok_or(NOT_JSON)?;
        let header = json(header_text).ok_or(NOT_JSON)?;
        let claims = json(claims_text).ok_or(NOT_JSON)?;
        let Value::Object(header) = header else { return Err("invalid alg") };
        let algorithm = header.get("alg").and_then(Value::as_str).and_then(Algorithm::parse).ok_or("invalid alg")?;
        let Value::Object(claims) = claims else { return Err("invalid claims") };
        let signature = decode_base64url(signature_text).filter(|s| !s.is_empty()).ok_or("invalid signature")?;
        let signed = text.get(..header_text.len() + 1 + claims_text.len()).unwrap_or_default();
        Ok(Token { header, claims, algorithm, signed, signature })
    }
}

fn json(text: &str) -> Option<Value> {
    serde_json::from_slice(&decode_base64url(text)?).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn no_text_breaks_the_parser_and_faults_have_names() {
        for (text, fault) in [
            ("", "invalid JSON"),
            ("a.b", "invalid JSON"),
            ("..", "invalid JSON"),
            ("e30.e30.x", "invalid alg"),
            ("MQ.e30.eA", "invalid alg"),
            // {"alg":"none"}, {"alg":"NONE"}, {"alg":"hs256"}
            ("eyJhbGciOiJub25lIn0.e30.", "invalid alg"),
            ("eyJhbGciOiJOT05FIn0.e30.eA", "invalid alg"),
            ("eyJhbGciOiJoczI1NiJ9.e30.eA", "invalid alg"),
            // {"alg":"HS256"}
            ("eyJhbGciOiJIUzI1NiJ9.MQ.eA", "invalid claims"),
            ("eyJhbGciOiJIUzI1NiJ9.e30.", "invalid signature"),
            ("eyJhbGciOiJIUzI1NiJ9.e30.!", "invalid signature"),
            ("eyJhbGciOiJIUzI1NiJ9.e30.eA.eA", "invalid signature"),
        ] {
            assert_eq!(Token::decode(text).map(drop), Err(fault), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_taken_or_refused(text in ".{0,200}") {
            let _ = Token::decode(&text);
        }
    }
}
