//! Settings of aws-lambda.

use gibbon_schema::{Schema, checks, typedefs};

/// Which function is called, as whom, with what, and what becomes of its answer. Not `Debug`: it holds secrets.
#[derive(Schema)]
#[schema(plugin_check = checks::mutually_required(&["config.aws_key", "config.aws_secret"]))]
#[schema(plugin_check = plain_proxy())]
pub struct Config {
    /// Milliseconds that the call may take.
    #[schema(required, default = 60000)]
    pub timeout: f64,
    /// Milliseconds that an idle connection is kept.
    #[schema(required, default = 60000)]
    pub keepalive: f64,
    /// The access key; without it the environment is asked.
    #[schema(encrypted, referenceable)]
    pub aws_key: Option<String>,
    /// The secret that belongs to the key.
    #[schema(encrypted, referenceable)]
    pub aws_secret: Option<String>,
    /// A role to assume before the call.
    #[schema(encrypted, referenceable)]
    pub aws_assume_role_arn: Option<String>,
    /// What the session of an assumed role is called.
    #[schema(default = "kong", optional)]
    pub aws_role_session_name: Option<String>,
    /// The token service, if not the region's own.
    #[schema(typedef = typedefs::url(), optional)]
    pub aws_sts_endpoint_url: Option<String>,
    /// The region; without it AWS_REGION or AWS_DEFAULT_REGION counts.
    #[schema(typedef = typedefs::host(), optional)]
    pub aws_region: Option<String>,
    /// The function: a name or an ARN.
    pub function_name: Option<String>,
    /// A version or an alias of the function.
    pub qualifier: Option<String>,
    /// Whether the call waits for the function.
    #[schema(required, default = "RequestResponse", one_of("RequestResponse", "Event", "DryRun"))]
    pub invocation_type: String,
    /// Whether the end of the function's log comes with the answer.
    #[schema(required, default = "Tail", one_of("Tail", "None"))]
    pub log_type: String,
    /// The server that is called, if not Lambda of the region.
    #[schema(typedef = typedefs::host(), optional)]
    pub host: Option<String>,
    /// Its port.
    #[schema(default = 443, between(0, 65535))]
    pub port: u16,
    /// Whether it is called in plain.
    #[schema(default = false)]
    pub disable_https: bool,
    /// Status of the answer when the function failed with an error that it did not handle.
    #[schema(between(100, 999))]
    pub unhandled_status: Option<u16>,
    /// Whether the function is told the method.
    #[schema(default = false)]
    pub forward_request_method: bool,
    /// Whether the function is told path and query.
    #[schema(default = false)]
    pub forward_request_uri: bool,
    /// Whether the function is told the headers.
    #[schema(default = false)]
    pub forward_request_headers: bool,
    /// Whether the function is told the body.
    #[schema(default = false)]
    pub forward_request_body: bool,
    /// Whether the function answers with status, headers and body.
    #[schema(default = false)]
    pub is_proxy_integration: bool,
    /// Whether the function is told of requests as API Gateway tells.
    #[schema(default = false)]
    pub awsgateway_compatible: bool,
    /// A forward proxy to call through.
    #[schema(typedef = typedefs::url(), optional)]
    pub proxy_url: Option<String>,
    /// Whether bodies that do not fit into memory are left out.
    #[schema(default = true)]
    pub skip_large_bodies: bool,
    /// Whether bodies of types that are no text are told in base64.
    #[schema(default = true)]
    pub base64_encode_body: bool,
    /// The version of the instance metadata service.
    #[schema(required, default = "v1", one_of("v1", "v2"))]
    pub aws_imds_protocol_version: String,
    /// Whether empty arrays in answers stay arrays.
    #[schema(required, default = "legacy", one_of("legacy", "correct"))]
    pub empty_arrays_mode: String,
    /// The version of API Gateway's description of requests; 1.0 while unset.
    #[schema(optional, since = "3.15", one_of("1.0", "2.0"))]
    pub awsgateway_compatible_payload_version: Option<String>,
    /// Whether an error of Lambda itself keeps its status; otherwise it is answered with 500.
    #[schema(optional, since = "3.15")]
    pub preserve_lambda_api_error_code: Option<bool>,
    /// Whether Lambda's certificate is verified; not while unset.
    #[schema(optional, since = "3.15")]
    pub ssl_verify: Option<bool>,
}

fn plain_proxy() -> checks::EntityCheck {
    checks::custom("proxy_url", &["config.proxy_url"], |plugin| {
        let url = plugin.get("config").and_then(|config| config.get("proxy_url")).and_then(|url| url.as_str());
        match url {
            Some(url) if !url.starts_with("http://") => Err("proxy_url scheme must be http"),
            _ => Ok(()),
        }
    })
}
