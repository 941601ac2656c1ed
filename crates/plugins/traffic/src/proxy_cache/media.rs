//! Which media types are kept.

/// A media type with its parameters, in lower case where case does not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaType {
    main: String,
    sub: String,
    /// Names in lower case, values as they are; sorted.
    parameters: Vec<(String, String)>,
}

impl MediaType {
    /// `None` for what is no media type.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(';');
        let (main, sub) = parts.next()?.trim().split_once('/')?;
        if main.is_empty() || sub.is_empty() {
            return None;
        }
        let mut parameters: Vec<(String, String)> = parts.filter_map(parameter).collect();
        parameters.sort();
        Some(MediaType { main: main.to_ascii_lowercase(), sub: sub.to_ascii_lowercase(), parameters })
    }

    /// Whether this one, which may have `*` for type and subtype, stands for the other. Parameters must be the same.
    pub fn covers(&self, other: &MediaType) -> bool {
        let part = |mine: &str, theirs: &str| mine == "*" || mine == theirs;
        part(&self.main, &other.main) && part(&self.sub, &other.sub) && self.parameters == other.parameters
    }
}

fn parameter(part: &str) -> Option<(String, String)> {
    let (name, value) = part.split_once('=')?;
    Some((name.trim().to_ascii_lowercase(), value.trim().trim_matches('"').to_owned()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn covers(pattern: &str, text: &str) -> bool {
        MediaType::parse(pattern).unwrap().covers(&MediaType::parse(text).unwrap())
    }

    #[test]
    fn types_are_compared_part_by_part() {
        assert!(covers("application/json", "Application/JSON"));
        assert!(covers("text/*", "text/html") && covers("*/*", "image/png"));
        assert!(!covers("text/*", "image/png"));
    }

    #[test]
    fn parameters_must_be_the_same() {
        assert!(!covers("application/json", "application/json; charset=utf-8"));
        assert!(covers("application/json; charset=utf-8", "application/json;charset=\"utf-8\""));
        assert!(!covers("application/json; charset=utf-8", "application/json"));
    }

    #[test]
    fn what_is_no_media_type_is_nothing() {
        assert_eq!([MediaType::parse(""), MediaType::parse("json"), MediaType::parse("/x")], [None, None, None]);
    }
}
