//! The configuration of a vault: of a vault entity, or of the node's settings for vaults that are named by their strategy.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A vault whose configuration lacks something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A field that the strategy cannot do without.
    #[error("the vault's '{0}' is not set")]
    Missing(&'static str),
    /// A value that the strategy does not know.
    #[error("the vault's '{field}' has a value that is not supported here (supported: {supported})")]
    Unsupported {
        /// Its name.
        field: &'static str,
        /// What would do.
        supported: &'static str,
    },
}

/// Strategy and values. Values may be secret; they are in no error and no log.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Config {
    /// `env`, `fs`, `hcv` ...
    pub strategy: Box<str>,
    values: BTreeMap<Box<str>, Box<str>>,
}

impl Config {
    /// Of a vault entity.
    #[must_use]
    pub fn of_entity(vault: &Value) -> Option<Config> {
        let strategy = vault.get("name")?.as_str()?.into();
        let none = Map::new();
        let given = vault.get("config").and_then(Value::as_object).unwrap_or(&none);
        let values = given.iter().filter_map(|(name, value)| Some((name.as_str().into(), text(value)?))).collect();
        Some(Config { strategy, values })
    }

    /// Of settings named `vault_<strategy>_<option>`.
    #[must_use]
    pub fn of_settings<'a>(strategy: &str, settings: impl Iterator<Item = (&'a str, String)>) -> Config {
        let prefix = format!("vault_{strategy}_");
        let values = settings
            .filter(|(_, value)| !value.is_empty())
            .filter_map(|(name, value)| Some((name.strip_prefix(&prefix)?.into(), value.into_boxed_str())))
            .collect();
        Config { strategy: strategy.into(), values }
    }

    /// A value as text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(AsRef::as_ref).filter(|value| !value.is_empty())
    }

    /// A value the strategy cannot do without.
    ///
    /// # Errors
    /// When it is not set.
    pub fn required(&self, name: &'static str) -> Result<&str, ConfigError> {
        self.text(name).ok_or(ConfigError::Missing(name))
    }

    /// A number of seconds.
    #[must_use]
    pub fn seconds(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse::<f64>().ok().filter(|seconds| *seconds >= 0.0).map(|seconds| seconds as u64)
    }

    /// A switch, in any of the words that settings take for one.
    #[must_use]
    pub fn flag(&self, name: &str) -> Option<bool> {
        match self.text(name)? {
            "true" | "on" | "yes" | "1" => Some(true),
            "false" | "off" | "no" | "0" => Some(false),
            _ => None,
        }
    }

    /// Whether secrets are stored in base64. Settings and entities call it differently.
    #[must_use]
    pub fn is_base64(&self) -> bool {
        self.flag("base64_decode").or_else(|| self.flag("decode_base64")).unwrap_or(false)
    }

    /// Replaces values that are references themselves (a vault's own token, kept in another vault).
    pub fn resolve(&mut self, look_up: impl Fn(&str) -> Option<String>) {
        for value in self.values.values_mut() {
            if gibbon_conf::vault::is_reference(value)
                && let Some(secret) = look_up(value)
            {
                *value = secret.into();
            }
        }
    }
}

fn text(value: &Value) -> Option<Box<str>> {
    match value {
        Value::String(text) => Some(text.as_str().into()),
        Value::Number(number) => Some(number.to_string().into()),
        Value::Bool(flag) => Some(flag.to_string().into()),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn entities_and_settings_give_the_same_configuration() {
        let entity = json!({"name": "hcv", "config": {"host": "h", "port": 8200, "ssl_verify": false, "token": null}});
        let entity = Config::of_entity(&entity).unwrap();
        let settings = [
            ("vault_hcv_host", "h".to_owned()),
            ("vault_hcv_port", "8200".into()),
            ("vault_hcv_ssl_verify", "off".into()),
            ("vault_hcv_token", String::new()),
            ("vault_env_prefix", "x".into()),
        ];
        let settings = Config::of_settings("hcv", settings.into_iter());
        for config in [&entity, &settings] {
            assert_eq!((config.text("host"), config.seconds("port")), (Some("h"), Some(8200)));
            assert_eq!((config.flag("ssl_verify"), config.required("token").ok()), (Some(false), None));
            assert_eq!(config.text("prefix"), None);
        }
    }
}
