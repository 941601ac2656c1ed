//! Whether a route makes sense to the router, with the error texts that Kong's API gives.

use gibbon_expr::Schema;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Protocol;

    fn route() -> RouteSpec {
        RouteSpec { protocols: [Protocol::Http, Protocol::Https].into_iter().collect(), ..RouteSpec::default() }
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
