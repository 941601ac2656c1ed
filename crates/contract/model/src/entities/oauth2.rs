//! Clients, codes and tokens of the OAuth 2 plugin.

use gibbon_schema::{Field, OnDelete, Record, Validator, typedefs};
use serde_json::Value;

use super::credentials::of_consumer;
use crate::{entity::EntityDef, transforms};

pub fn credentials() -> EntityDef {
    let redirect_uri = Field::string().custom(Validator::new("redirect_uri", check_redirect_uri));
    let record = of_consumer()
        .field("name", Field::string().required())
        .field("client_id", Field::string().optional().unique().auto())
        .field("client_secret", Field::string().optional().auto().encrypted())
        .field("hash_secret", Field::boolean().required().default(false))
        .field("redirect_uris", Field::array(redirect_uri).optional())
        .field("tags", typedefs::tags())
        .field("client_type", Field::string().required().one_of(["confidential", "public"]).default("confidential"));
    EntityDef::new("oauth2_credentials", record)
        .endpoint_key("client_id")
        .cache_key(&["client_id"])
        .paths("oauth2", "oauth2")
        .transform(&["hash_secret", "client_secret"], transforms::hash_client_secret)
}

pub fn authorization_codes() -> EntityDef {
    let record = Record::new()
        .field("id", typedefs::id())
        .field("created_at", typedefs::auto_timestamp())
        .field("service", optional_parent("services"))
        .field("credential", client())
        .field("code", Field::string().optional().unique().auto())
        .field("authenticated_userid", Field::string().optional())
        .field("scope", Field::string())
        .field("challenge", Field::string().optional())
        .field("challenge_method", Field::string().optional().one_of(["S256"]))
        .field("plugin", optional_parent("plugins"))
        .ttl();
    EntityDef::new("oauth2_authorization_codes", record).without_api().unexported()
}

pub fn tokens() -> EntityDef {
    let record = Record::new()
        .field("id", typedefs::id())
        .field("created_at", typedefs::auto_timestamp())
        .field("service", optional_parent("services"))
        .field("credential", client())
        .field("token_type", Field::string().required().one_of(["bearer"]).default("bearer"))
        .field("expires_in", Field::integer().required())
        .field("access_token", Field::string().optional().unique().auto())
        .field("refresh_token", Field::string().optional().unique())
        .field("authenticated_userid", Field::string().optional())
        .field("scope", Field::string())
        .ttl();
    EntityDef::new("oauth2_tokens", record).endpoint_key("access_token").cache_key(&["access_token"])
}

fn client() -> Field {
    Field::foreign("oauth2_credentials").required().on_delete(OnDelete::Cascade)
}

fn optional_parent(entity: &'static str) -> Field {
    Field::foreign(entity).default(Value::Null).on_delete(OnDelete::Cascade)
}

/// An absolute address; a fragment would be lost on the way back (RFC 6749 section 3.1.2).
fn check_redirect_uri(value: &Value) -> Result<(), String> {
    let Some(uri) = value.as_str() else { return Ok(()) };
    let scheme = uri.split_once(':').map_or("", |(scheme, _)| scheme);
    let absolute = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    let has_more = uri.len() > scheme.len() + 1;
    if !absolute || !has_more || uri.contains(char::is_whitespace) {
        return Err(format!("cannot parse '{uri}'"));
    }
    if uri.contains('#') {
        return Err(format!("fragment not allowed in '{uri}'"));
    }
    Ok(())
}
