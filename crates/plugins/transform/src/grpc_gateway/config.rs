//! Settings of grpc-gateway.

use gibbon_schema::Schema;

/// Which services are called.
#[derive(Schema, Debug)]
pub struct Config {
    /// The file that defines and annotates the services, on this node.
    pub proto: Option<String>,
}
