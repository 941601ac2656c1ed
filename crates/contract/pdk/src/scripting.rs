//! Lua for native plugins: code and expressions in their settings, and values that they and Lua plugins share. The Lua
//! host stands behind the port.

use std::sync::Arc;

use serde_json::Value;
use smallvec::SmallVec;

use crate::{Exchange, Host};

/// An expression that was compiled.
pub trait Expression: Send + Sync {
    /// Its value as text; `None` for nil. It is run at once, with the request as plugins see it in `access`, and cannot
    /// wait.
    ///
    /// # Errors
    /// What the expression raised, and where.
    fn value(&self, x: &mut Exchange, host: &Host) -> Result<Option<String>, String>;
}

/// What native plugins ask of the Lua host.
pub trait Scripting: Send + Sync {
    /// Whether Lua in configurations is run at all (`untrusted_lua`). Where it is not, expressions compile and fail.
    fn is_allowed(&self) -> bool;

    /// Compiles an expression over `headers`, `query_params`, `uri_captures` and `shared`.
    ///
    /// # Errors
    /// What does not parse.
    fn expression(&self, source: &str) -> Result<Arc<dyn Expression>, String>;

    /// What a piece of code returns, run with the exchange in hand as in the log phase; it cannot wait.
    ///
    /// # Errors
    /// What it raised, or that it does not parse or may not run.
    fn evaluate(&self, plugin: &str, code: &str, x: &mut Exchange, host: &Host) -> Result<Value, String>;

    /// What Lua plugins left in `kong.ctx.shared` under a name; `None` without cost where no Lua ran for this exchange.
    fn shared(&self, x: &Exchange, name: &str) -> Option<Value>;
}

/// A slot of the exchange: what native plugins put into `kong.ctx.shared`, until Lua asks for it.
#[derive(Debug, Default)]
pub struct SharedValues(pub SmallVec<[(&'static str, Box<str>); 1]>);

/// Where there is no Lua.
#[derive(Debug)]
pub struct NoScripting;

impl Scripting for NoScripting {
    fn is_allowed(&self) -> bool {
        true
    }

    fn expression(&self, _: &str) -> Result<Arc<dyn Expression>, String> {
        Err("there is no Lua here".to_owned())
    }

    fn evaluate(&self, _: &str, _: &str, _: &mut Exchange, _: &Host) -> Result<Value, String> {
        Err("there is no Lua here".to_owned())
    }

    fn shared(&self, _: &Exchange, _: &str) -> Option<Value> {
        None
    }
}
