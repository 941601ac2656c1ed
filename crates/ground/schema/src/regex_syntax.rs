//! Whether a text is a regular expression Kong would take, which means one PCRE compiles.

/// Checks the syntax of a Perl-compatible regular expression.
///
/// # Errors
/// The compiler's complaint, as nginx words it: `pcre2_compile() failed: missing closing parenthesis in "/(a"`.
pub fn check(pattern: &str) -> Result<(), String> {
    let Err(error) = pcre2::bytes::RegexBuilder::new().build(pattern) else { return Ok(()) };
    let text = error.to_string();
    let complaint = text.rsplit_once(": ").map_or(text.as_str(), |(_, complaint)| complaint);
    let rest = error.offset().and_then(|at| pattern.get(at..)).unwrap_or_default();
    if rest.is_empty() {
        return Err(format!("pcre2_compile() failed: {complaint} in \"{pattern}\""));
    }
    Err(format!("pcre2_compile() failed: {complaint} in \"{pattern}\" at \"{rest}\""))
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn perl_syntax_is_taken() {
        assert_eq!(check("^/a(?=b)\\d+(?<name>x)$"), Ok(()));
    }

    #[test]
    fn the_complaint_names_the_place() {
        assert_eq!(
            check("/(unclosed"),
            Err("pcre2_compile() failed: missing closing parenthesis in \"/(unclosed\"".to_owned())
        );
        assert_eq!(
            check("*a"),
            Err("pcre2_compile() failed: quantifier does not follow a repeatable item in \"*a\" at \"*a\"".to_owned())
        );
    }
}
