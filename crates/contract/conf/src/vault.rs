//! References to secrets, `{vault://backend/resource/key?option=value#version}`, and the backend that reads the environment.
//! Other backends are asked through [`crate::Surroundings::secret`].

use std::collections::BTreeMap;

/// A parsed reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Backend or vault prefix, such as `env`.
    pub vault: String,
    /// What to read.
    pub resource: String,
    /// Field of the resource, which is then a JSON object.
    pub key: Option<String>,
    /// Options after `?`.
    pub options: BTreeMap<String, String>,
    /// Version after `#`; 2 is the one before the current.
    pub version: Option<u32>,
}

/// Why a reference is malformed or its secret cannot be had. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// Not of the form `{vault://…}`.
    #[error("not a vault reference: '{0}' (valid: {{vault://<backend>/<resource>[/<key>]}})")]
    NotAReference(String),
    /// Nothing stands after the vault's name.
    #[error("reference is missing the resource: '{0}'")]
    NoResource(String),
    /// The version is not a number.
    #[error("reference has an invalid version: '{0}'")]
    BadVersion(String),
    /// The vault has no such value.
    #[error("unable to load value ({resource}) from vault ({vault}): not found")]
    NotFound {
        /// Vault asked.
        vault: String,
        /// Resource asked for.
        resource: String,
    },
    /// The value is no JSON object, or lacks the key.
    #[error("subfield {key} not found in JSON secret")]
    NoKey {
        /// Key asked for.
        key: String,
    },
    /// The vault cannot give it.
    #[error("unable to load value ({resource}) from vault ({vault}): {cause}")]
    Unreadable {
        /// Vault asked.
        vault: String,
        /// Resource asked for.
        resource: String,
        /// Why.
        cause: String,
    },
    /// No backend of that name is known.
    #[error("vault not found ({0})")]
    NoVault(String),
}

/// Whether a value is a reference and not the text itself.
#[must_use]
pub fn is_reference(value: &str) -> bool {
    value.starts_with("{vault://") && value.ends_with('}')
}

/// The settings named `vault_<backend>_<option>` as given: what vaults are configured with that have no entity. Values may
/// be secret; only names are shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Options(BTreeMap<String, String>);

impl Options {
    /// Of names and values.
    #[must_use]
    pub fn new(settings: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(settings.into_iter().filter(|(name, _)| name.starts_with("vault_")).collect())
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Reference {
    /// Parses a reference.
    ///
    /// # Errors
    /// When the braces, the resource or the version are not as they must be.
    pub fn parse(text: &str) -> Result<Self, VaultError> {
        let inner = text
            .strip_prefix("{vault://")
            .and_then(|rest| rest.strip_suffix('}'))
            .ok_or_else(|| VaultError::NotAReference(text.to_owned()))?;
        let (inner, version) = match inner.rsplit_once('#') {
            Some((inner, version)) => {
                let version = version.parse().map_err(|_| VaultError::BadVersion(text.to_owned()))?;
                (inner, Some(version))
            }
            None => (inner, None),
        };
        let (path, query) = inner.split_once('?').unwrap_or((inner, ""));
        let (vault, resource) = path.split_once('/').unwrap_or((path, ""));
        if vault.is_empty() || resource.is_empty() {
            return Err(VaultError::NoResource(text.to_owned()));
        }
        let (resource, key) = match resource.rsplit_once('/') {
            Some((resource, key)) if !resource.is_empty() && !key.is_empty() => (resource, Some(key.to_owned())),
            _ => (resource.trim_end_matches('/'), None),
        };
        let options = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Ok(Self { vault: vault.to_owned(), resource: resource.to_owned(), key, options, version })
    }

    /// Name of the environment variable the `env` vault reads for this reference: prefix and resource, upper case, `-` as
    /// `_`, and `_PREVIOUS` for version 2. A `prefix` option of the reference wins over the vault's prefix.
    #[must_use]
    pub fn variable(&self, prefix: Option<&str>) -> String {
        let prefix = self.options.get("prefix").map(String::as_str).or(prefix).unwrap_or_default();
        let mut name = format!("{prefix}{}", self.resource).to_ascii_uppercase().replace(['-', '/'], "_");
        if self.version == Some(2) {
            name.push_str("_PREVIOUS");
        }
        name
    }

    /// Resolves the reference against environment variables.
    ///
    /// # Errors
    /// When the variable is missing or empty, or the key is not in it.
    pub fn from_environment<'a>(
        &self,
        prefix: Option<&str>,
        variable: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<String, VaultError> {
        let value = variable(&self.variable(prefix))
            .filter(|value| !value.is_empty())
            .ok_or_else(|| VaultError::NotFound { vault: self.vault.clone(), resource: self.resource.clone() })?;
        self.pick(value)
    }

    /// Takes the referenced key out of a JSON object, or the whole value when no key is asked for.
    ///
    /// # Errors
    /// When the value is no JSON object or lacks the key.
    pub fn pick(&self, value: &str) -> Result<String, VaultError> {
        let Some(key) = &self.key else { return Ok(value.to_owned()) };
        let missing = || VaultError::NoKey { key: key.clone() };
        let object: serde_json::Value = serde_json::from_str(value).map_err(|_| missing())?;
        match object.get(key).ok_or_else(missing)? {
            serde_json::Value::String(text) => Ok(text.clone()),
            serde_json::Value::Null => Err(missing()),
            other => Ok(other.to_string()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn env<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<&'a str> {
        move |name| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| *v)
    }

    #[test]
    fn a_resource_names_a_variable_in_upper_case() {
        let reference = Reference::parse("{vault://env/my-secret}").unwrap();
        assert_eq!(reference.variable(None), "MY_SECRET");
        assert_eq!(reference.variable(Some("app_")), "APP_MY_SECRET");
        assert_eq!(reference.from_environment(None, env(&[("MY_SECRET", "s")])).unwrap(), "s");
    }

    #[test]
    fn a_key_is_taken_from_a_json_object() {
        let reference = Reference::parse("{vault://env/pg/password}").unwrap();
        assert_eq!(reference.from_environment(None, env(&[("PG", r#"{"password":"p"}"#)])).unwrap(), "p");
        let error = reference.from_environment(None, env(&[("PG", "hidden")])).unwrap_err();
        assert_eq!(error.to_string(), "subfield password not found in JSON secret");
    }

    #[test]
    fn version_two_is_the_previous_value_and_options_may_change_the_prefix() {
        let reference = Reference::parse("{vault://env/key?prefix=other-&ttl=5#2}").unwrap();
        assert_eq!(reference.variable(Some("unused")), "OTHER_KEY_PREVIOUS");
        assert_eq!(reference.options["ttl"], "5");
    }

    #[test]
    fn malformed_references_are_refused() {
        assert!(matches!(Reference::parse("vault://env/x"), Err(VaultError::NotAReference(_))));
        assert!(matches!(Reference::parse("{vault://env}"), Err(VaultError::NoResource(_))));
        assert!(matches!(Reference::parse("{vault://env/}"), Err(VaultError::NoResource(_))));
        assert!(matches!(Reference::parse("{vault://env/x#y}"), Err(VaultError::BadVersion(_))));
    }

    #[test]
    fn a_missing_or_empty_variable_is_not_found() {
        let reference = Reference::parse("{vault://env/absent}").unwrap();
        for variables in [&[][..], &[("ABSENT", "")][..]] {
            assert!(matches!(reference.from_environment(None, env(variables)), Err(VaultError::NotFound { .. })));
        }
    }
}
