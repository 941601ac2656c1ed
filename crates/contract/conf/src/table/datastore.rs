//! Where configuration is kept: PostgreSQL, the embedded database, a declarative file.

use super::Default::{Is, Moved, Unset};
use super::Effect::{Honoured, NoEffect};
use super::Kind::{Choice, Flag, Number, Size, Text};

pub(crate) const DATABASES: &[&str] = &["postgres", "sqlite", "off"];
pub(crate) const TLS_VERSIONS: &[&str] = &["tlsv1_1", "tlsv1_2", "tlsv1_3", "any"];
const ONE_FILE: &str = "the last configuration is kept as one compressed file, not in a memory-mapped store";

super::settings! { "DATASTORE":
    database: Choice(DATABASES), Is("postgres"), Honoured, "Where configuration lives. Unset: off with a declarative_config, postgres with any pg_ setting, else the embedded sqlite.";
    pg_host: Text, Is("127.0.0.1"), Honoured, "PostgreSQL server.";
    pg_port: Number, Is("5432"), Honoured, "Its port.";
    pg_timeout: Number, Is("5000"), Honoured, "Milliseconds to wait for connecting and for an answer.";
    pg_user: Text, Is("kong"), Honoured, "User name.";
    pg_password: Text, Unset, Honoured, "Password.";
    pg_database: Text, Is("kong"), Honoured, "Database name.";
    pg_schema: Text, Unset, Honoured, "Schema; unset uses the server's search path.";
    pg_ssl: Flag, Is("off"), Honoured, "Connect with TLS.";
    pg_ssl_version: Choice(TLS_VERSIONS), Is("tlsv1_2"), Honoured, "TLS version towards PostgreSQL.";
    pg_ssl_required: Flag, Is("off"), Honoured, "Refuse a server that does not speak TLS.";
    pg_ssl_verify: Flag, Moved { v3_10: "off", v3_15: "on" }, Honoured, "Verify the server's certificate.";
    pg_ssl_cert: Text, Unset, Honoured, "Client certificate towards PostgreSQL.";
    pg_ssl_cert_key: Text, Unset, Honoured, "Its private key.";
    pg_max_concurrent_queries: Number, Is("0"), Honoured, "Transactions under way at once; 0 is unlimited.";
    pg_semaphore_timeout: Number, Is("60000"), Honoured, "Milliseconds a query waits for its turn.";
    pg_keepalive_timeout: Number, Unset, Honoured, "Milliseconds an idle connection is kept.";
    pg_pool_size: Number, Unset, Honoured, "Connections kept.";
    pg_backlog: Number, Unset, Honoured, "Connection attempts that may wait.";
    declarative_config: Text, Unset, Honoured, "Declarative file loaded at start when database is off.";
    declarative_config_string: Text, Unset, Honoured, "The same as text.";
    lmdb_environment_path: Text, Is("dbless.lmdb"), NoEffect(ONE_FILE), "Directory of the store used when database is off.";
    lmdb_map_size: Size, Is("2048m"), NoEffect(ONE_FILE), "Largest size of that store.";
}

pub(super) mod cloud_login {
    //! Signing in to PostgreSQL with a cloud identity or OAuth.
    use super::super::Default::{Is, Unset};
    use super::super::Effect::NoEffect;
    use super::super::Kind::{Flag, Text};
    pub(super) const PASSWORD_ONLY: &str = "sign-in to PostgreSQL is by password or client certificate";
    super::super::settings! { "DATASTORE":
        pg_iam_auth: Flag, Is("off"), NoEffect(PASSWORD_ONLY), "Sign in with an AWS identity.";
        pg_iam_auth_assume_role_arn: Text, Unset, NoEffect(PASSWORD_ONLY), "AWS role to assume.";
        pg_iam_auth_role_session_name: Text, Is("KongPostgres"), NoEffect(PASSWORD_ONLY), "Session name for that role.";
        pg_iam_auth_sts_endpoint_url: Text, Unset, NoEffect(PASSWORD_ONLY), "AWS token service to ask.";
        pg_azure_auth: Flag, Is("off"), NoEffect(PASSWORD_ONLY), "Sign in with an Azure identity.";
        pg_azure_tenant_id: Text, Unset, NoEffect(PASSWORD_ONLY), "Azure tenant.";
        pg_azure_client_id: Text, Unset, NoEffect(PASSWORD_ONLY), "Azure client.";
        pg_azure_client_secret: Text, Unset, NoEffect(PASSWORD_ONLY), "Azure client secret.";
        pg_gcp_auth: Flag, Is("off"), NoEffect(PASSWORD_ONLY), "Sign in with a Google identity.";
        pg_gcp_service_account_json: Text, Unset, NoEffect(PASSWORD_ONLY), "Google service account.";
        pg_oauth_auth: Flag, Is("off"), NoEffect(PASSWORD_ONLY), "Sign in with an OAuth token.";
        pg_oauth_client_id: Text, Unset, NoEffect(PASSWORD_ONLY), "OAuth client.";
        pg_oauth_client_secret: Text, Unset, NoEffect(PASSWORD_ONLY), "OAuth client secret.";
        pg_oauth_token_endpoint: Text, Unset, NoEffect(PASSWORD_ONLY), "OAuth token endpoint.";
        pg_oauth_discovery_endpoint: Text, Unset, NoEffect(PASSWORD_ONLY), "OAuth discovery document.";
        pg_oauth_scope: Text, Unset, NoEffect(PASSWORD_ONLY), "Scopes to ask for.";
        pg_oauth_audience: Text, Unset, NoEffect(PASSWORD_ONLY), "Audience to ask for.";
        pg_oauth_grant_type: Text, Is("client_credentials"), NoEffect(PASSWORD_ONLY), "OAuth grant.";
        pg_oauth_token_endpoint_auth_method: Text, Is("client_secret_basic"), NoEffect(PASSWORD_ONLY), "How the client proves itself.";
        pg_oauth_username: Text, Unset, NoEffect(PASSWORD_ONLY), "User name for the password grant.";
        pg_oauth_password: Text, Unset, NoEffect(PASSWORD_ONLY), "Password for the password grant.";
        pg_oauth_resource: Text, Unset, NoEffect(PASSWORD_ONLY), "Resource to ask for.";
    }
}

pub(super) mod replica {
    //! A read-only replica; each setting follows its counterpart when unset.
    use super::super::Default::{Follows, Is, Unset};
    use super::super::Effect::{Honoured, NoEffect};
    use super::super::Kind::{Choice, Flag, Number, Text};
    use super::cloud_login::PASSWORD_ONLY;
    super::super::settings! { "DATASTORE":
        pg_ro_host: Text, Unset, Honoured, "Read-only PostgreSQL server that follows pg_host, where plugins look up tokens and sessions; unset reads all from pg_host.";
        pg_ro_port: Number, Follows("pg_port"), Honoured, "Its port.";
        pg_ro_timeout: Number, Follows("pg_timeout"), Honoured, "Milliseconds to wait for it.";
        pg_ro_user: Text, Follows("pg_user"), Honoured, "User name.";
        pg_ro_password: Text, Follows("pg_password"), Honoured, "Password.";
        pg_ro_iam_auth: Flag, Follows("pg_iam_auth"), NoEffect(PASSWORD_ONLY), "Sign in with an AWS identity.";
        pg_ro_iam_auth_assume_role_arn: Text, Unset, NoEffect(PASSWORD_ONLY), "AWS role to assume.";
        pg_ro_iam_auth_role_session_name: Text, Is("KongPostgres"), NoEffect(PASSWORD_ONLY), "Session name for that role.";
        pg_ro_iam_auth_sts_endpoint_url: Text, Unset, NoEffect(PASSWORD_ONLY), "AWS token service to ask.";
        pg_ro_azure_auth: Flag, Follows("pg_azure_auth"), NoEffect(PASSWORD_ONLY), "Sign in with an Azure identity.";
        pg_ro_azure_tenant_id: Text, Follows("pg_azure_tenant_id"), NoEffect(PASSWORD_ONLY), "Azure tenant.";
        pg_ro_azure_client_id: Text, Follows("pg_azure_client_id"), NoEffect(PASSWORD_ONLY), "Azure client.";
        pg_ro_azure_client_secret: Text, Follows("pg_azure_client_secret"), NoEffect(PASSWORD_ONLY), "Azure client secret.";
        pg_ro_gcp_auth: Flag, Follows("pg_gcp_auth"), NoEffect(PASSWORD_ONLY), "Sign in with a Google identity.";
        pg_ro_gcp_service_account_json: Text, Follows("pg_gcp_service_account_json"), NoEffect(PASSWORD_ONLY), "Google service account.";
        pg_ro_oauth_auth: Flag, Follows("pg_oauth_auth"), NoEffect(PASSWORD_ONLY), "Sign in with an OAuth token.";
        pg_ro_oauth_client_id: Text, Follows("pg_oauth_client_id"), NoEffect(PASSWORD_ONLY), "OAuth client.";
        pg_ro_oauth_client_secret: Text, Follows("pg_oauth_client_secret"), NoEffect(PASSWORD_ONLY), "OAuth client secret.";
        pg_ro_oauth_token_endpoint: Text, Follows("pg_oauth_token_endpoint"), NoEffect(PASSWORD_ONLY), "OAuth token endpoint.";
        pg_ro_oauth_discovery_endpoint: Text, Follows("pg_oauth_discovery_endpoint"), NoEffect(PASSWORD_ONLY), "OAuth discovery document.";
        pg_ro_oauth_scope: Text, Follows("pg_oauth_scope"), NoEffect(PASSWORD_ONLY), "Scopes to ask for.";
        pg_ro_oauth_audience: Text, Follows("pg_oauth_audience"), NoEffect(PASSWORD_ONLY), "Audience to ask for.";
        pg_ro_oauth_grant_type: Text, Follows("pg_oauth_grant_type"), NoEffect(PASSWORD_ONLY), "OAuth grant.";
        pg_ro_oauth_token_endpoint_auth_method: Text, Follows("pg_oauth_token_endpoint_auth_method"), NoEffect(PASSWORD_ONLY), "How the client proves itself.";
        pg_ro_oauth_username: Text, Follows("pg_oauth_username"), NoEffect(PASSWORD_ONLY), "User name for the password grant.";
        pg_ro_oauth_password: Text, Follows("pg_oauth_password"), NoEffect(PASSWORD_ONLY), "Password for the password grant.";
        pg_ro_oauth_resource: Text, Follows("pg_oauth_resource"), NoEffect(PASSWORD_ONLY), "Resource to ask for.";
        pg_ro_database: Text, Follows("pg_database"), Honoured, "Database name.";
        pg_ro_schema: Text, Follows("pg_schema"), Honoured, "Schema.";
        pg_ro_ssl: Flag, Follows("pg_ssl"), Honoured, "Connect with TLS.";
        pg_ro_ssl_required: Flag, Follows("pg_ssl_required"), Honoured, "Refuse a server that does not speak TLS.";
        pg_ro_ssl_verify: Flag, Follows("pg_ssl_verify"), Honoured, "Verify the server's certificate.";
        pg_ro_ssl_version: Choice(super::TLS_VERSIONS), Follows("pg_ssl_version"), Honoured, "TLS version.";
        pg_ro_max_concurrent_queries: Number, Follows("pg_max_concurrent_queries"), Honoured, "Queries under way at once; 0 is unlimited.";
        pg_ro_semaphore_timeout: Number, Follows("pg_semaphore_timeout"), Honoured, "Milliseconds a query waits for its turn.";
        pg_ro_keepalive_timeout: Number, Follows("pg_keepalive_timeout"), Honoured, "Milliseconds an idle connection is kept.";
        pg_ro_pool_size: Number, Follows("pg_pool_size"), Honoured, "Connections kept.";
        pg_ro_backlog: Number, Follows("pg_backlog"), Honoured, "Connection attempts that may wait.";
    }
}

pub(super) mod cache {
    //! How changes spread between nodes and how long what was read is believed.
    use super::super::Default::{Is, Unset};
    use super::super::Effect::{Honoured, NoEffect, Pending};
    use super::super::Kind::{List, Number};
    const WHOLE: &str = "the configuration is held whole in memory and replaced on change, so nothing expires";
    super::super::settings! { "DATASTORE CACHE":
        db_update_frequency: Number, Is("5"), Honoured, "Seconds between looks for changes made by other nodes.";
        db_update_propagation: Number, Is("0"), Pending("a change of another node is taken in as soon as it is read"), "Seconds a change may take to reach every replica of the database.";
        db_cache_ttl: Number, Is("0"), NoEffect(WHOLE), "Seconds an entity is believed after reading; 0 is for ever.";
        db_cache_neg_ttl: Number, Unset, NoEffect(WHOLE), "Seconds a miss is believed.";
        db_resurrect_ttl: Number, Is("30"), NoEffect(WHOLE), "Seconds stale entities are used while the database is away.";
        db_cache_warmup_entities: List, Is("services"), NoEffect(WHOLE), "Entities read before the first request.";
    }
}
