//! Why a file is not accepted.

use gibbon_schema::{ErrorTree, Faults, lua_compact};
use serde_json::{Value, json};
use thiserror::Error;

use crate::text::SyntaxError;

/// Why a file is not accepted.
#[derive(Debug, Error)]
pub enum DeclareError {
    #[error("failed parsing declarative configuration: {0}")]
    Syntax(#[from] SyntaxError),
    #[error("expected a declarative configuration")]
    NotAnObject,
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

/// A configuration with faults.
#[derive(Clone, Debug, Error)]
#[error("declarative config is invalid: {}", lua_compact(&ErrorTree::Fields(faults.clone())))]
pub struct Invalid {
    /// In the shape of the file.
    pub faults: Faults,
}

impl Invalid {
    /// The answer of the Admin API (error code 14).
    pub fn to_json(&self) -> Value {
        json!({
            "code": 14,
            "name": "invalid declarative configuration",
            "message": self.to_string(),
            "fields": self.faults.to_json(),
        })
    }
}
