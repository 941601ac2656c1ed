//! Cache-Control, as the plugin reads it: a name, perhaps with a number; what is no number counts as none.

use gibbon_message::Headers;

/// The directives of one message.
#[derive(Debug, Default)]
pub struct Directives(Vec<(String, Option<i64>)>);

impl Directives {
    pub fn of(headers: &Headers) -> Self {
        let parts = headers.get_all("cache-control").flat_map(|value| value.split(|byte| *byte == b','));
        Directives(parts.filter_map(|part| std::str::from_utf8(part).ok()).filter_map(directive).collect())
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// The number of a directive; the last one counts.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.0.iter().rev().find(|(known, _)| known == name).and_then(|(_, number)| *number)
    }
}

fn directive(part: &str) -> Option<(String, Option<i64>)> {
    let (name, number) = match part.split_once('=') {
        Some((name, value)) => (name, value.trim().parse().ok()),
        None => (part, None),
    };
    let name = name.trim();
    (!name.is_empty()).then(|| (name.to_ascii_lowercase(), number))
}

/// Seconds that an answer says it stays fresh: `s-maxage`, else `max-age`, else until `Expires`; 0 without any.
pub fn freshness(directives: &Directives, headers: &Headers, now: i64) -> i64 {
    let age = directives.number("s-maxage").or_else(|| directives.number("max-age"));
    let expires = || {
        let value = headers.get_all("expires").last()?;
        let moment = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
        Some(moment.as_second() - now)
    };
    age.or_else(expires).unwrap_or(0).max(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &str) -> Directives {
        let mut headers = Headers::new();
        headers.append("Cache-Control", value);
        Directives::of(&headers)
    }

    #[test]
    fn directives_have_names_and_perhaps_numbers() {
        let directives = of(" Max-Age=60 , no-cache,private=\"x\", min-fresh=abc,,=");
        assert_eq!(directives.number("max-age"), Some(60));
        assert!(directives.has("no-cache") && directives.has("private") && directives.has("min-fresh"));
        assert_eq!((directives.number("min-fresh"), directives.number("no-cache")), (None, None));
    }

    #[test]
    fn freshness_prefers_what_is_meant_for_caches() {
        let mut headers = Headers::new();
        headers.append("Expires", "Thu, 01 Jan 1970 00:01:40 GMT");
        assert_eq!(freshness(&of("max-age=5, s-maxage=9"), &headers, 40), 9);
        assert_eq!(freshness(&of("max-age=5"), &headers, 40), 5);
        assert_eq!(freshness(&of("public"), &headers, 40), 60);
        assert_eq!(freshness(&of("public"), &headers, 400), 0, "past");
        assert_eq!(freshness(&of("max-age=-5"), &Headers::new(), 0), 0);
        headers.set("Expires", "0");
        assert_eq!(freshness(&of("public"), &headers, 0), 0);
    }
}
