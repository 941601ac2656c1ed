//! Settings of azure-functions.

use gibbon_schema::Schema;

/// Which function is called, and how. Not `Debug`: it holds secrets.
#[derive(Schema)]
pub struct Config {
    /// Milliseconds that the call may take.
    #[schema(default = 600000)]
    pub timeout: f64,
    /// Milliseconds that an idle connection is kept.
    #[schema(default = 60000)]
    pub keepalive: f64,
    /// Whether the call is made in TLS.
    #[schema(default = true)]
    pub https: bool,
    /// Whether the server's certificate is verified.
    #[schema(default = false)]
    pub https_verify: bool,
    /// The function's key, shown as x-functions-key.
    #[schema(encrypted, referenceable)]
    pub apikey: Option<String>,
    /// The name of the key, shown as x-functions-clientid.
    #[schema(encrypted, referenceable)]
    pub clientid: Option<String>,
    /// The function app: the first label of its host.
    #[schema(required)]
    pub appname: String,
    /// The rest of its host.
    #[schema(required, default = "azurewebsites.net")]
    pub hostdomain: String,
    /// What stands before the function's name in the path.
    #[schema(default = "api", optional)]
    pub routeprefix: Option<String>,
    /// The function.
    #[schema(required)]
    pub functionname: String,
}
