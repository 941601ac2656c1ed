//! A session as cookies: their attributes, and how one that is too long for a cookie is split over several.
//!
//! The first is named as configured; the second has the number 2 behind its name, and so on.

use gibbon_message::date;
use gibbon_pdk::Exchange;

use super::config::{Config, SameSite};
use super::seal::ENCODED_SIZE;
use crate::cookies;

/// Name, `=` and value of one cookie together.
const MAX_COOKIE: usize = 4096;
const MAX_COOKIES: usize = 9;
/// Browsers keep no cookie for longer: 400 days (draft-ietf-httpbis-rfc6265bis, 4.1.2.1).
pub const MAX_AGE: u64 = 34_560_000;

/// Domain, path and rules, as they stand behind the value of every cookie.
pub fn attributes(config: &Config) -> String {
    let mut out = String::new();
    if let Some(domain) = config.cookie_domain.as_deref().filter(|d| !d.is_empty() && *d != "localhost") {
        out += &format!("; Domain={domain}");
    }
    out += &format!("; Path={}", config.cookie_path.as_deref().unwrap_or("/"));
    let same_site = config.cookie_same_site.unwrap_or(SameSite::Strict);
    match same_site {
        SameSite::Strict => out += "; SameSite=Strict",
        SameSite::Lax => out += "; SameSite=Lax",
        SameSite::None => out += "; SameSite=None",
        SameSite::Default => {}
    }
    // Browsers take `SameSite=None` from secure cookies only.
    if config.cookie_secure.unwrap_or(true) || same_site == SameSite::None {
        out += "; Secure";
    }
    if config.cookie_http_only.unwrap_or(true) {
        out += "; HttpOnly";
    }
    out
}

/// How many cookies a session takes; `None` if it is too large for all of them.
#[must_use]
pub fn count(name: &str, size: usize) -> Option<usize> {
    let first = name.len() + 1 + ENCODED_SIZE + size;
    (1..=MAX_COOKIES).find(|n| first + (n - 1) * (name.len() + 2) <= n * MAX_COOKIE)
}

fn numbered(name: &str, number: usize) -> String {
    if number == 1 { name.to_owned() } else { format!("{name}{number}") }
}

/// The contents of a session that begins with `first`, gathered from the other cookies.
#[must_use]
pub fn gather(x: &Exchange, name: &str, first: &str, size: usize) -> Option<String> {
    let mut contents = first.get(ENCODED_SIZE..)?.to_owned();
    for number in 2..=count(name, size)? {
        contents += cookies::get(x, &numbered(name, number))?;
    }
    Some(contents)
}

/// Names of cookies to be set, with their values and attributes.
pub type Cookies = Vec<(String, String)>;

/// The cookies of a session.
#[must_use]
pub fn split(name: &str, header: &str, contents: &str, attributes: &str) -> Option<Cookies> {
    let mut out = Cookies::new();
    let mut rest = contents;
    for number in 1..=count(name, contents.len())? {
        let (room, start) = match number {
            1 => (MAX_COOKIE - ENCODED_SIZE - name.len() - 1, header),
            _ => (MAX_COOKIE - name.len() - 2, ""),
        };
        let (piece, after) = rest.split_at_checked(room.min(rest.len()))?;
        out.push((numbered(name, number), format!("{start}{piece}{attributes}")));
        rest = after;
    }
    Some(out)
}

/// The first cookie alone, with a changed header.
#[must_use]
pub fn first(name: &str, header: &str, old: &str, attributes: &str) -> Cookies {
    vec![(name.to_owned(), format!("{header}{}{attributes}", old.get(ENCODED_SIZE..).unwrap_or_default()))]
}

/// Cookies that make the browser forget those numbered from `from` to `to`.
pub fn expire(name: &str, from: usize, to: usize, attributes: &str) -> impl Iterator<Item = (String, String)> {
    let gone = format!("{attributes}; Expires=Thu, 01 Jan 1970 00:00:01 GMT; Max-Age=0");
    (from..=to).map(move |number| (numbered(name, number), gone.clone()))
}

/// Attributes of a cookie that outlives the browser.
#[must_use]
pub fn lasting(attributes: &str, created: u64, rolling_timeout: u64) -> String {
    let age = if rolling_timeout == 0 { MAX_AGE } else { rolling_timeout.min(MAX_AGE) };
    let end = i64::try_from(created + age).unwrap_or(i64::MAX);
    format!("{attributes}; Expires={}; Max-Age={age}", date::format(end))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::rig::request;

    proptest::proptest! {
        #[test]
        fn what_is_split_is_gathered(size in 0usize..40_000) {
            let (header, contents) = ("h".repeat(ENCODED_SIZE), "c".repeat(size));
            let Some(cookies) = split("sess", &header, &contents, "; Path=/") else {
                assert!(size > 30_000);
                return Ok(());
            };
            let sent: Vec<String> = cookies.iter().map(|(n, v)| format!("{n}={}", v.split(';').next().unwrap())).collect();
            assert!(sent.iter().all(|cookie| cookie.len() <= MAX_COOKIE));
            let x = request(&format!("GET /\nCookie: {}", sent.join("; ")));
            let first = crate::cookies::get(&x, "sess").unwrap();
            proptest::prop_assert_eq!(gather(&x, "sess", first, size).unwrap(), contents);
        }
    }
}
