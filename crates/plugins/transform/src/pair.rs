//! `name:value` as the transformers' settings write it: split at the first colon, further colons right behind it
//! belong to neither side.

/// Splits a pair; the value is empty where there is none.
#[must_use]
pub fn split(text: &str) -> (&str, &str) {
    match text.split_once(':') {
        Some((name, rest)) => (name, rest.trim_start_matches(':')),
        None => (text, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn only_the_first_colons_separate() {
        assert_eq!(split("a:b:c"), ("a", "b:c"));
        assert_eq!(split("a::b"), ("a", "b"));
        assert_eq!(split("a"), ("a", ""));
    }
}
