//! Settings of grpc-web.

use gibbon_schema::Schema;

/// What browsers may call, and from where.
#[derive(Schema, Debug)]
pub struct Config {
    /// The file that defines the services, on this node. Only JSON needs it.
    pub proto: Option<String>,
    /// Whether the service is called at the path that is left when the route has taken its own away.
    pub pass_stripped_path: Option<bool>,
    /// The value of Access-Control-Allow-Origin.
    #[schema(default = "*", optional)]
    pub allow_origin_header: Option<String>,
}
