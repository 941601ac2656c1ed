//! Vaults: where references such as `{vault://prefix/name}` are looked up.

use std::sync::Arc;

use gibbon_schema::{Field, Record, Subschemas, typedefs};
use indexmap::IndexMap;

use crate::{entity::EntityDef, registry::RegistryOptions};

/// The vaults that are built in, each with the schema of its `config`. `env` is Kong's; the others have the fields of its
/// paid edition.
pub fn built_in() -> IndexMap<String, Record> {
    let env = Record::new().field("prefix", Field::string().matches("^[%a_-][%a%d_-]*$"));
    let all = [("env", env), ("fs", fs()), ("hcv", hcv()), ("aws", aws()), ("gcp", gcp()), ("azure", azure())];
    IndexMap::from_iter(all.map(|(name, record)| (name.to_owned(), record)))
}

fn fs() -> Record {
    remembering(
        Record::new().field("prefix", Field::string().required().description("The directory secrets are below.")),
    )
}

/// How one signs in to HashiCorp Vault.
const HCV_SIGN_INS: [&str; 8] = ["token", "kubernetes", "approle", "jwt", "aws_iam", "azure", "gcp_iam", "gcp_gce"];

fn hcv() -> Record {
    let text = Field::string;
    let secret = || Field::string().encrypted().referenceable();
    remembering(
        Record::new()
            .field("protocol", text().one_of(["http", "https"]).default("http"))
            .field("host", typedefs::host().required().default("127.0.0.1"))
            .field("port", typedefs::port().required().default(8200))
            .field("namespace", text())
            .field("mount", text().default("secret"))
            .field("kv", text().one_of(["v1", "v2"]).default("v1"))
            .field("ssl_verify", Field::boolean().default(true))
            .field("auth_method", text().one_of(HCV_SIGN_INS).default("token"))
            .field("token", secret())
            .field("kube_role", text())
            .field("kube_auth_path", text().default("kubernetes"))
            .field("kube_api_token_file", text())
            .field("approle_auth_path", text().default("approle"))
            .field("approle_role_id", text())
            .field("approle_secret_id", secret())
            .field("approle_secret_id_file", text())
            .field("approle_response_wrapping", Field::boolean().default(false))
            .field("jwt_role", text())
            .field("oauth2_token_endpoint", text())
            .field("oauth2_client_id", text().referenceable())
            .field("oauth2_client_secret", secret())
            .field("oauth2_audiences", text())
            .field("gcp_auth_role", text())
            .field("gcp_login_path", text())
            .field("gcp_service_account", secret())
            .field("gcp_jwt_exp", Field::integer().between(1, 900))
            .field("azure_auth_role", text())
            .field("azure_login_path", text())
            .field("aws_auth_role", text())
            .field("aws_login_path", text())
            .field("aws_auth_nonce", secret())
            .field("aws_auth_region", text().matches("^[%a%d-]+$"))
            .field("aws_access_key_id", secret())
            .field("aws_secret_access_key", secret())
            .field("aws_sts_endpoint_url", typedefs::url())
            .field("aws_assume_role_arn", text())
            .field("aws_role_session_name", text()),
    )
}

/// Without a region, the environment's.
fn aws() -> Record {
    let url = || typedefs::url();
    remembering(
        Record::new()
            .field("region", Field::string().matches("^[%a%d-]+$"))
            .field("endpoint_url", url())
            .field("assume_role_arn", Field::string())
            .field("role_session_name", Field::string().required().default("KongVault"))
            .field("sts_endpoint_url", url()),
    )
}

/// Without a project, the service account's.
fn gcp() -> Record {
    remembering(
        Record::new()
            .field("project_id", Field::string())
            .field("endpoint_url", typedefs::url().description("Another address than the public one.")),
    )
}

fn azure() -> Record {
    let text = Field::string;
    remembering(
        Record::new()
            .field("vault_uri", typedefs::url().required())
            .field("credentials_prefix", text().required().default("AZURE"))
            .field("type", text().one_of(["secrets"]).required().default("secrets"))
            .field("location", text())
            .field("tenant_id", text())
            .field("client_id", text())
            .field(
                "client_secret",
                text().encrypted().referenceable().description("Unset, the environment's, or a managed identity."),
            ),
    )
}

/// How long secrets are remembered, and how they are stored.
fn remembering(record: Record) -> Record {
    let seconds = || Field::number().between(0, 100_000_000);
    record
        .field("ttl", seconds())
        .field("neg_ttl", seconds())
        .field("resurrect_ttl", seconds())
        .field("base64_decode", Field::boolean().default(false))
}

pub fn vaults(options: &RegistryOptions) -> EntityDef {
    let schemas: IndexMap<String, Arc<Record>> = options
        .vaults
        .iter()
        .map(|(name, config)| {
            let subschema = Record::new().field("config", Field::record(config.clone())).require_records();
            (name.clone(), Arc::new(subschema))
        })
        .collect();
    let record = Record::new()
        .field("id", typedefs::id())
        .field(
            "prefix",
            Field::string()
                .required()
                .unique()
                .unique_across_ws()
                .matches("^[a-z][a-z%d-]-[a-z%d]+$")
                // The only name the open edition takes for itself; a prefix may hide the others.
                .not_one_of(["env"]),
        )
        .field("name", Field::string().required())
        .field("description", Field::string())
        .field("config", Field::record(Record::new()).is_abstract())
        .field("created_at", typedefs::auto_timestamp())
        .field("updated_at", typedefs::auto_timestamp())
        .field("tags", typedefs::tags())
        .subschemas(Subschemas {
            key: "name".into(),
            error: Some("vault '%s' is not installed".into()),
            lookup: Arc::new(move |name| schemas.get(name).map(Arc::clone)),
        });
    EntityDef::new("vaults", record).endpoint_key("prefix").cache_key(&["prefix"])
}
