//! JSON web keys as far as configuration has to understand them.

use gibbon_schema::is_vault_reference;
use serde_json::{Map, Value};

/// The members a key of each type cannot be without (RFC 7518 section 6, RFC 8037).
const MEMBERS: [(&str, &[&str]); 4] =
    [("RSA", &["n", "e"]), ("EC", &["crv", "x", "y"]), ("OKP", &["crv", "x"]), ("oct", &["k"])];

/// The JWK of a `keys` entity: readable, and named as the entity says.
pub(crate) fn check_named(document: &Map<String, Value>) -> Result<(), String> {
    let text = |field: &str| document.get(field).and_then(Value::as_str);
    if let Some(jwk) = text("jwk").filter(|text| !is_vault_reference(text)) {
        return check_jwk(jwk, text("kid"));
    }
    Ok(())
}

fn check_jwk(jwk: &str, kid: Option<&str>) -> Result<(), String> {
    let Ok(jwk) = serde_json::from_str::<Value>(jwk) else {
        return Err("could not json decode jwk string".to_owned());
    };
    if jwk.get("kid").and_then(Value::as_str) != kid {
        return Err("kid in jwk.kid must be equal to keys.kid".to_owned());
    }
    let kind = jwk.get("kty").and_then(Value::as_str).unwrap_or_default();
    let members = MEMBERS.iter().find(|(name, _)| *name == kind).map(|(_, members)| *members);
    let complete = members.is_some_and(|members| {
        members.iter().all(|member| jwk.get(member).and_then(Value::as_str).is_some_and(|v| !v.is_empty()))
    });
    if complete { Ok(()) } else { Err("could not load JWK".to_owned()) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(jwk: &str) -> Result<(), String> {
        check_named(json!({"jwk": jwk, "kid": "one"}).as_object().unwrap())
    }

    #[test]
    fn the_name_inside_is_the_name_outside() {
        assert_eq!(check(r#"{"kid":"one","kty":"oct","k":"AA"}"#), Ok(()));
        assert_eq!(
            check(r#"{"kid":"two","kty":"oct","k":"AA"}"#),
            Err("kid in jwk.kid must be equal to keys.kid".to_owned())
        );
        assert_eq!(check("{vault://env/jwk}"), Ok(()));
    }

    #[test]
    fn a_key_without_its_members_does_not_load() {
        assert_eq!(check("{"), Err("could not json decode jwk string".to_owned()));
        assert_eq!(check(r#"{"kid":"one","kty":"RSA","n":"AA"}"#), Err("could not load JWK".to_owned()));
    }
}
