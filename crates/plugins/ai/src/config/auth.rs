//! How a call proves who makes it.

use std::fmt;

use gibbon_schema::Schema;

/// Credentials of a provider. Values may be references to a vault.
#[derive(Schema, Clone, Default)]
pub struct Auth {
    /// Header that carries a key.
    #[schema(referenceable)]
    pub header_name: Option<String>,
    /// Its value.
    #[schema(referenceable, encrypted)]
    pub header_value: Option<String>,
    /// Parameter that carries a key.
    #[schema(referenceable)]
    pub param_name: Option<String>,
    /// Its value.
    #[schema(referenceable, encrypted)]
    pub param_value: Option<String>,
    /// Where the parameter stands.
    pub param_location: Option<ParamLocation>,
    /// Whether a service account of Google Cloud is used.
    #[schema(default = false)]
    pub gcp_use_service_account: bool,
    /// The key file of that account; else the environment's `GCP_SERVICE_ACCOUNT`, else the metadata server.
    #[schema(referenceable, encrypted)]
    pub gcp_service_account_json: Option<String>,
    /// The metadata server's address, if not Google's own.
    #[schema(referenceable)]
    pub gcp_metadata_url: Option<String>,
    /// The token service's address, if not that of the key file.
    #[schema(referenceable)]
    pub gcp_oauth_token_url: Option<String>,
    /// Access key id of AWS; else the environment's, else the role of the container or instance.
    #[schema(referenceable, encrypted)]
    pub aws_access_key_id: Option<String>,
    /// Its secret.
    #[schema(referenceable, encrypted)]
    pub aws_secret_access_key: Option<String>,
    /// Whether a managed identity of Azure is used.
    #[schema(default = false)]
    pub azure_use_managed_identity: bool,
    /// Client id of an identity of Azure.
    #[schema(referenceable)]
    pub azure_client_id: Option<String>,
    /// Its secret.
    #[schema(referenceable, encrypted)]
    pub azure_client_secret: Option<String>,
    /// Its tenant.
    #[schema(referenceable)]
    pub azure_tenant_id: Option<String>,
    /// Whether a key that the client shows is passed on in place of this one.
    #[schema(default = false)]
    pub allow_override: bool,
}

impl fmt::Debug for Auth {
    /// Values stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").field("header_name", &self.header_name).finish_non_exhaustive()
    }
}

/// Where a parameter stands.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParamLocation {
    Query,
    Body,
}
