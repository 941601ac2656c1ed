//! What the `config` commands do with declarative files.

use std::path::Path;

use anyhow::Context as _;

/// Reads a declarative file and says what is wrong with it.
pub fn parse(path: &Path) -> anyhow::Result<serde_json::Value> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let document: serde_json::Value =
        serde_saphyr::from_str(&text).context("failed parsing declarative configuration")?;
    let version = document
        .get("_format_version")
        .context("in '_format_version': required field missing (valid: \"1.1\", \"2.1\" or \"3.0\")")?;
    let version = version.as_str().map_or_else(|| version.to_string(), str::to_owned);
    if !["1.1", "2.1", "3.0"].contains(&version.as_str()) {
        anyhow::bail!("in '_format_version': expected one of: 1.1, 2.1, 3.0");
    }
    Ok(document)
}

/// An example to begin with.
pub const EXAMPLE: &str = r#"# A declarative configuration: everything the node shall do, in one file.
# Start a node with it:  GIBBON_DECLARATIVE_CONFIG=kong.yml gibbon start
# or load it into a running one:  curl -F config=@kong.yml http://127.0.0.1:8001/config

_format_version: "3.0"
_transform: true

# A service is a place requests are sent to; a route says which requests.
# services:
# - name: example
#   url: http://127.0.0.1:9000
#   routes:
#   - name: example
#     paths:
#     - /example
#   plugins:
#   - name: rate-limiting
#     config:
#       minute: 60
#       policy: local

# A consumer is somebody who makes requests, with credentials for plugins that ask for them.
# consumers:
# - username: somebody
#   keyauth_credentials:
#   - key: change-me

# Plugins that stand here act on all requests.
# plugins:
# - name: correlation-id
"#;
