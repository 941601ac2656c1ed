//! `Authorization` and `Proxy-Authorization`: schemes, and user names with passwords.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use gibbon_pdk::Exchange;

/// The two headers, in the order in which they are looked at.
pub const AUTHORIZATION_HEADERS: [&str; 2] = ["proxy-authorization", "authorization"];

/// As nginx decodes: padding is optional, and bits behind the last byte do not matter.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Bytes of a Base64 text.
#[must_use]
pub fn decode_base64(text: &str) -> Option<Vec<u8>> {
    LENIENT.decode(text).ok()
}

/// What follows a scheme in a header value, without the white space between them. The scheme may be written in any
/// case; `glued` says whether the white space may be missing.
#[must_use]
pub fn after_scheme<'a>(value: &'a str, scheme: &str, glued: bool) -> Option<&'a str> {
    let value = value.trim_start();
    let rest = value.get(scheme.len()..)?;
    let is_it = value.get(..scheme.len())?.eq_ignore_ascii_case(scheme);
    let credentials = rest.trim();
    let separated = glued || credentials.len() < rest.len() && rest.starts_with(char::is_whitespace);
    (is_it && separated && !credentials.is_empty()).then_some(credentials)
}

/// A user name and a password, as they were sent.
#[derive(PartialEq, Eq)]
pub struct UserPassword {
    pub user: String,
    pub password: Vec<u8>,
}

impl UserPassword {
    /// Decodes `base64(user:password)`. The user name ends at the first colon and is not empty.
    #[must_use]
    pub fn decode(text: &str) -> Option<UserPassword> {
        let bytes = decode_base64(text)?;
        let colon = memchr::memchr(b':', &bytes).filter(|at| *at > 0)?;
        let user = std::str::from_utf8(bytes.get(..colon)?).ok()?.to_owned();
        Some(UserPassword { user, password: bytes.get(colon + 1..)?.to_vec() })
    }

    /// The credentials of the scheme `Basic` in a header of the request.
    #[must_use]
    pub fn basic(x: &Exchange, header: &str) -> Option<UserPassword> {
        UserPassword::decode(after_scheme(x.request.headers.get_str(header)?, "basic", true)?)
    }
}

impl std::fmt::Debug for UserPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserPassword").field("user", &self.user).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_is_found_in_any_case() {
        assert_eq!(after_scheme("  bEARER \t abc ", "Bearer", false), Some("abc"));
        assert_eq!(after_scheme("Bearerabc", "Bearer", false), None);
        assert_eq!(after_scheme("Basicabc", "Basic", true), Some("abc"));
        for value in ["", "B", "Basic", "Basic ", "Bäsic x", "Bearer x"] {
            assert_eq!(after_scheme(value, "Basic", true), None, "{value}");
        }
    }

    #[test]
    fn the_user_name_ends_at_the_first_colon() {
        let pair = UserPassword::decode("Ym9iOnBhOnNz").unwrap();
        assert_eq!((pair.user.as_str(), &*pair.password), ("bob", &b"pa:ss"[..]));
        assert_eq!(UserPassword::decode("Ym9iOg==").unwrap().password, b"");
        for text in ["Ym9i", "Onh5", "!!!", "", "/zo="] {
            assert!(UserPassword::decode(text).is_none(), "{text}");
        }
    }

    #[test]
    fn padding_does_not_matter() {
        assert_eq!(decode_base64("Ym8"), decode_base64("Ym8="));
    }

    #[test]
    fn a_password_is_not_shown() {
        assert!(!format!("{:?}", UserPassword::decode("Ym9iOnBhOnNz").unwrap()).contains("112"));
    }
}
