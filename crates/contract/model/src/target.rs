//! Addresses of targets in the one form under which they are stored and compared.

use gibbon_schema::host::{HostError, parse_host};
use serde_json::{Map, Value};

/// The port of a target that names none.
pub const DEFAULT_PORT: u16 = 8000;

/// `host:port`, with the default port if none is given and IPv6 written out in brackets.
///
/// # Errors
/// If the text is no host.
pub fn normalise_target(target: &str) -> Result<String, HostError> {
    let parsed = parse_host(target)?;
    Ok(format!("{}:{}", parsed.host, parsed.port.unwrap_or(DEFAULT_PORT)))
}

/// Puts the target of a document into that form; one that is no host is left for the schema to refuse.
pub(crate) fn canonicalise(document: &mut Map<String, Value>) {
    if let Some(Value::String(target)) = document.get_mut("target")
        && let Ok(normalised) = normalise_target(target)
    {
        *target = normalised;
    }
}

/// A host with an optional port.
pub(crate) fn check(value: &Value) -> Result<(), String> {
    match value.as_str() {
        Some(target) if normalise_target(target).is_err() => {
            Err(format!("Invalid target ('{target}'); not a valid hostname or ip address"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_port_is_added_and_addresses_are_written_out() {
        assert_eq!(normalise_target("a.test"), Ok("a.test:8000".into()));
        assert_eq!(normalise_target("10.0.0.1:80"), Ok("10.0.0.1:80".into()));
        assert_eq!(normalise_target("::1"), Ok("[0000:0000:0000:0000:0000:0000:0000:0001]:8000".into()));
        assert!(normalise_target("a b").is_err());
    }
}
