//! The LDAP messages that a simple bind takes (RFC 4511), in BER as LDAP restricts it: definite lengths only.
//!
//! What comes from the directory is bounded and checked to the last byte; what does not fit is an error, never a guess.

/// Answers to a bind are short; a directory that sends more is none of ours.
pub const MAX_MESSAGE: usize = 64 * 1024;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const ENUMERATED: u8 = 0x0a;
const CONTROLS: u8 = 0xa0;
const BIND_REQUEST: u8 = 0x60;
const BIND_RESPONSE: u8 = 0x61;
const EXTENDED_REQUEST: u8 = 0x77;
const EXTENDED_RESPONSE: u8 = 0x78;
/// Of a bind request: a password in plain.
const SIMPLE: u8 = 0x80;
/// Of an extended request: its name.
const REQUEST_NAME: u8 = 0x80;
const START_TLS_OID: &[u8] = b"1.3.6.1.4.1.1466.20037";

/// The request to end a connection; it has no answer.
pub const UNBIND: [u8; 7] = [SEQUENCE, 5, INTEGER, 1, 3, 0x42, 0];

/// Result codes (RFC 4511 4.1.9) that matter here.
pub const SUCCESS: u32 = 0;
/// The directory cannot answer now: `operationsError`, `timeLimitExceeded`, `adminLimitExceeded`, `busy`,
/// `unavailable`, `other`. Nothing is known of the password then.
pub const PASSING: [u32; 6] = [1, 3, 11, 51, 52, 80];

fn push_length(out: &mut Vec<u8>, length: usize) {
    let bytes = length.to_be_bytes();
    let used = bytes.iter().position(|b| *b != 0).unwrap_or(bytes.len() - 1);
    let significant = bytes.get(used..).unwrap_or_default();
    if length >= 0x80 {
        out.push(0x80 | significant.len() as u8);
    }
    out.extend_from_slice(significant);
}

fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(contents.len() + 6);
    out.push(tag);
    push_length(&mut out, contents.len());
    out.extend_from_slice(contents);
    out
}

fn message(id: u8, operation: &[u8]) -> Vec<u8> {
    element(SEQUENCE, &[&element(INTEGER, &[id]), operation].concat())
}

/// A request to bind as `dn` with a password in plain. `id` is below 128.
#[must_use]
pub fn bind(id: u8, dn: &str, password: &[u8]) -> Vec<u8> {
    let version = element(INTEGER, &[3]);
    let contents = [version, element(OCTET_STRING, dn.as_bytes()), element(SIMPLE, password)].concat();
    message(id, &element(BIND_REQUEST, &contents))
}

/// A request to change to TLS. `id` is below 128.
#[must_use]
pub fn start_tls(id: u8) -> Vec<u8> {
    message(id, &element(EXTENDED_REQUEST, &element(REQUEST_NAME, START_TLS_OID)))
}

/// The name of a user's entry. Characters that have a meaning in names are escaped (RFC 4514 2.4), so that a user name
/// cannot lead to another part of the directory.
#[must_use]
pub fn name_of(attribute: &str, user: &str, base: &str) -> String {
    let mut out = format!("{attribute}=");
    let last = user.chars().count().saturating_sub(1);
    for (at, character) in user.chars().enumerate() {
        match character {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=' => out.extend(['\\', character]),
            ' ' if at == 0 || at == last => out.push_str("\\ "),
            '#' if at == 0 => out.push_str("\\#"),
            '\0' => out.push_str("\\00"),
            _ => out.push(character),
        }
    }
    out.push(',');
    out.push_str(base);
    out
}

/// Why an answer cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("a length that LDAP does not allow")]
    Length,
    #[error("an answer above {MAX_MESSAGE} bytes")]
    TooLarge,
    #[error("no LDAP message")]
    Message,
    #[error("an answer to another request")]
    Unexpected,
}

/// What a directory answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub id: u32,
    pub kind: Kind,
    /// 0 is success.
    pub result_code: u32,
}

/// To what it is an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bind,
    Extended,
}

/// How many bytes the message at the beginning of `bytes` takes; `None` if too few have come to tell.
///
/// # Errors
/// When no message begins there, or one that is too large.
pub fn message_length(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    match bytes.first() {
        None => return Ok(None),
        Some(&SEQUENCE) => {}
        Some(_) => return Err(Malformed::Message),
    }
    match length(bytes.get(1..).unwrap_or_default())? {
        None => Ok(None),
        Some((contents, taken)) => {
            let whole = contents.checked_add(1 + taken).filter(|whole| *whole <= MAX_MESSAGE);
            whole.map(Some).ok_or(Malformed::TooLarge)
        }
    }
}

/// A length and how many bytes it takes itself.
fn length(bytes: &[u8]) -> Result<Option<(usize, usize)>, Malformed> {
    let Some(&first) = bytes.first() else { return Ok(None) };
    if first < 0x80 {
        return Ok(Some((usize::from(first), 1)));
    }
    let count = usize::from(first & 0x7f);
    // Zero is the indefinite form, which LDAP does not have; above four it is beyond any message.
    if count == 0 || count > 4 {
        return Err(Malformed::Length);
    }
    let Some(digits) = bytes.get(1..=count) else { return Ok(None) };
    let value = digits.iter().fold(0usize, |value, digit| value << 8 | usize::from(*digit));
    Ok(Some((value, 1 + count)))
}

/// Elements, one after the other.
struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    fn next(&mut self) -> Result<Option<(u8, &'a [u8])>, Malformed> {
        let Some((&tag, rest)) = self.0.split_first() else { return Ok(None) };
        let (contents, taken) = length(rest)?.ok_or(Malformed::Length)?;
        let rest = rest.get(taken..).ok_or(Malformed::Length)?;
        let (inside, after) = rest.split_at_checked(contents).ok_or(Malformed::Length)?;
        self.0 = after;
        Ok(Some((tag, inside)))
    }

    fn expect(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        match self.next()? {
            Some((found, inside)) if found == tag => Ok(inside),
            _ => Err(Malformed::Message),
        }
    }
}

/// A number that is not negative and fits 31 bits, as LDAP's ids and codes do.
fn number(contents: &[u8]) -> Result<u32, Malformed> {
    match contents {
        [first, ..] if *first < 0x80 && contents.len() <= 4 => {
            Ok(contents.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
        }
        _ => Err(Malformed::Message),
    }
}

/// Reads one whole message.
///
/// # Errors
/// When it is no answer to a bind or extended request, or does not fill `bytes` exactly.
pub fn answer(bytes: &[u8]) -> Result<Answer, Malformed> {
    let mut outer = Elements(bytes);
    let mut inner = Elements(outer.expect(SEQUENCE)?);
    if !outer.0.is_empty() {
        return Err(Malformed::Message);
    }
    let id = number(inner.expect(INTEGER)?)?;
    let (kind, operation) = match inner.next()? {
        Some((BIND_RESPONSE, operation)) => (Kind::Bind, operation),
        Some((EXTENDED_RESPONSE, operation)) => (Kind::Extended, operation),
        _ => return Err(Malformed::Message),
    };
    match inner.next()? {
        None => {}
        Some((CONTROLS, _)) if inner.0.is_empty() => {}
        Some(_) => return Err(Malformed::Message),
    }
    let mut fields = Elements(operation);
    let result_code = number(fields.expect(ENUMERATED)?)?;
    fields.expect(OCTET_STRING)?; // the name that matched
    fields.expect(OCTET_STRING)?; // a message for people
    while fields.next()?.is_some() {} // referral, server credentials, name and value of an extended answer
    Ok(Answer { id, kind, result_code })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    /// A bind answer as OpenLDAP sends it.
    const REFUSED: &[u8] = &[0x30, 0x0c, 0x02, 0x01, 0x02, 0x61, 0x07, 0x0a, 0x01, 0x31, 0x04, 0x00, 0x04, 0x00];

    #[test]
    fn a_bind_request_is_written_as_the_rfc_says() {
        let expected = b"\x30\x1a\x02\x01\x01\x60\x15\x02\x01\x03\x04\x0acn=a,dc=bc\x80\x04pass";
        assert_eq!(bind(1, "cn=a,dc=bc", b"pass"), expected);
        let long = bind(1, &"x".repeat(300), b"p");
        assert_eq!(message_length(&long), Ok(Some(long.len())));
    }

    #[test]
    fn an_answer_is_read() {
        assert_eq!(message_length(REFUSED), Ok(Some(14)));
        assert_eq!(answer(REFUSED), Ok(Answer { id: 2, kind: Kind::Bind, result_code: 49 }));
    }

    #[test]
    fn an_answer_cut_anywhere_is_incomplete_or_refused() {
        for cut in 0..REFUSED.len() {
            assert!(message_length(&REFUSED[..cut]).is_ok_and(|l| l.is_none_or(|l| l > cut)), "{cut}");
            assert!(answer(&REFUSED[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        assert_eq!(message_length(&[0x30, 0x80]), Err(Malformed::Length));
        assert_eq!(message_length(&[0x30, 0x85, 1, 1, 1, 1, 1]), Err(Malformed::Length));
        assert_eq!(message_length(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), Err(Malformed::TooLarge));
        assert_eq!(message_length(b"HTTP/1.1"), Err(Malformed::Message));
        let mut inside = REFUSED.to_vec();
        inside[6] = 0x70;
        assert_eq!(answer(&inside), Err(Malformed::Length));
        let mut negative = REFUSED.to_vec();
        negative[4] = 0xff;
        assert_eq!(answer(&negative), Err(Malformed::Message));
    }

    #[test]
    fn a_user_name_cannot_leave_its_place() {
        let name = |user: &str| name_of("uid", user, "dc=a");
        assert_eq!(name("jo.do@a-b"), "uid=jo.do@a-b,dc=a");
        assert_eq!(name("admin,ou=x"), "uid=admin\\,ou\\=x,dc=a");
        assert_eq!(name(" #+\"<>;\\ "), "uid=\\ #\\+\\\"\\<\\>\\;\\\\\\ ,dc=a");
        assert_eq!(name("#a\0"), "uid=\\#a\\00,dc=a");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_taken_or_refused(bytes: Vec<u8>, at in 0usize..14, value: u8) {
            let _ = (message_length(&bytes), answer(&bytes));
            let mut nearly = REFUSED.to_vec();
            nearly[at] = value;
            let _ = (message_length(&nearly), answer(&nearly));
        }
    }
}
