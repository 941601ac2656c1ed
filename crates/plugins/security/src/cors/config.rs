//! Settings of cors.

use gibbon_schema::{Schema, regex_syntax};
use serde_json::Value;

/// Which origins may do what.
#[derive(Schema, Debug)]
pub struct Config {
    /// Origins that may read answers: `*`, an origin (`https://a.test`), a host, or a regular expression. All when
    /// unset.
    #[schema(elements(custom = check_origin))]
    pub origins: Option<Vec<String>>,
    /// Request headers that pages may send. When unset, those that a preflight asks for.
    pub headers: Option<Vec<String>>,
    /// Response headers that pages may read beside the usual ones.
    pub exposed_headers: Option<Vec<String>>,
    /// Methods that pages may use.
    #[schema(
        default = ["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "OPTIONS", "TRACE", "CONNECT"],
        elements(one_of("GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "OPTIONS", "TRACE", "CONNECT"))
    )]
    pub methods: Vec<String>,
    /// Seconds that a browser may remember the answer to a preflight.
    pub max_age: Option<f64>,
    /// Whether pages may send cookies and credentials, and read what comes then.
    #[schema(required, default = false)]
    pub credentials: bool,
    /// Whether pages of public addresses may use this private one.
    #[schema(required, default = false)]
    pub private_network: bool,
    /// Whether preflights are passed on to the upstream, which then answers them in full.
    #[schema(required, default = false)]
    pub preflight_continue: bool,
    /// Whether answers to requests without an Origin get the headers too.
    #[schema(required, default = true)]
    pub allow_origin_absent: bool,
}

fn check_origin(value: &Value) -> Result<(), String> {
    match value.as_str() {
        Some(text) if text != "*" && regex_syntax::check(text).is_err() => {
            Err(format!("'{text}' is not a valid regex"))
        }
        _ => Ok(()),
    }
}
