//! Whether a route makes sense to the router, with the error texts that Kong's API gives.

use gibbon_expr::Schema;
use gibbon_message::uri;

use crate::spec::{Flavor, RouteSpec, Subsystem};
use crate::wording::expression_of;

const PREFIX: &str = "Router Expression failed validation: ";

/// Checks a route as a whole; the `traditional` flavour has nothing to check here.
///
/// # Errors
/// The text for the `@entity` error of the route.
pub fn validate(flavor: Flavor, spec: &RouteSpec) -> Result<(), String> {
    if flavor == Flavor::Traditional {
        return Ok(());
    }
    let text = expression_of(spec);
    if text.is_empty() && spec.expression.is_none() {
        return Ok(());
    }
    check_combination(spec)
        .map_err(str::to_owned)
        .and_then(|()| {
            let schema = match spec.subsystem() {
                Subsystem::Http => Schema::Http,
                Subsystem::Stream => Schema::Stream,
            };
            gibbon_expr::compile(&text, schema).map(|_| ()).map_err(|e| e.to_string())
        })
        .map_err(|message| format!("{PREFIX}{message}"))
}

fn check_combination(spec: &RouteSpec) -> Result<(), &'static str> {
    let attributes = !(spec.snis.is_empty()
        && spec.sources.is_empty()
        && spec.destinations.is_empty()
        && spec.methods.is_empty()
        && spec.hosts.is_empty()
        && spec.paths.is_empty()
        && spec.headers.is_empty());
    if spec.expression.is_some() && attributes {
        return Err(
            "cannot set 'expression' with 'methods', 'hosts', 'paths', 'headers', 'snis', 'sources' or 'destinations' simultaneously",
        );
    }
    if spec.expression.is_some() && spec.regex_priority != 0 {
        return Err("cannot set 'regex_priority' with 'expression' simultaneously");
    }
    if attributes && spec.priority != 0 {
        return Err(
            "cannot set 'priority' with 'methods', 'hosts', 'paths', 'headers', 'snis', 'sources' or 'destinations' simultaneously",
        );
    }
    Ok(())
}

/// Checks one element of `paths` that has the right form (`/...` or `~/...`): a prefix must be normalised, a regular
/// expression must compile in PCRE (that it compiles in the router's own engine is [`validate`]'s business).
///
/// # Errors
/// The text for the element.
pub fn check_path(path: &str) -> Result<(), String> {
    if let Some(regex) = path.strip_prefix('~') {
        return pcre2::bytes::Regex::new(regex)
            .map(|_| ())
            .map_err(|e| format!("invalid regex: '{regex}' (PCRE returned: {e})"));
    }
    let normal = uri::normalize(path.as_bytes());
    if *normal == *path.as_bytes() {
        return Ok(());
    }
    Err(format!("non-normalized path, consider use '{}' instead", String::from_utf8_lossy(&normal)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Protocol;

    fn route() -> RouteSpec {
        RouteSpec { protocols: [Protocol::Http, Protocol::Https].into_iter().collect(), ..RouteSpec::default() }
    }

    #[test]
    fn a_path_that_is_not_normal_is_refused_with_the_normal_one() {
        let error = |path: &str| check_path(path).unwrap_err();
        assert_eq!(error("/sp%20ace"), "non-normalized path, consider use '/sp ace' instead");
        assert_eq!(error("/a%2fb"), "non-normalized path, consider use '/a%2Fb' instead");
        assert_eq!(error("/a/../b"), "non-normalized path, consider use '/b' instead");
        assert_eq!(error("/%7Ex"), "non-normalized path, consider use '/~x' instead");
        assert_eq!(check_path("/a%2Fb"), Ok(()));
        assert!(error("~/(unclosed").starts_with("invalid regex: '/(unclosed' (PCRE returned: "));
    }

    #[test]
    fn a_header_without_values_is_an_empty_term() {
        let spec = RouteSpec { headers: vec![("x".into(), vec![])], ..route() };
        assert_eq!(
            validate(Flavor::TraditionalCompatible, &spec),
            Err("Router Expression failed validation:  --> 1:2\n  |\n1 | ()\n  |  ^---\n  |\n  = expected term".into())
        );
    }

    #[test]
    fn an_expression_stands_alone() {
        let spec = RouteSpec { expression: Some("http.path ^= \"/a\"".into()), paths: vec!["/a".into()], ..route() };
        assert_eq!(
            validate(Flavor::Expressions, &spec),
            Err("Router Expression failed validation: cannot set 'expression' with 'methods', 'hosts', 'paths', 'headers', 'snis', 'sources' or 'destinations' simultaneously".into())
        );
        let spec = RouteSpec { expression: Some("http.path == 1".into()), ..route() };
        assert_eq!(
            validate(Flavor::Expressions, &spec),
            Err("Router Expression failed validation: Type mismatch between the LHS and RHS values of predicate".into())
        );
    }
}
