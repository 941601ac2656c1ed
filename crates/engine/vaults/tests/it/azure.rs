//! Azure Key Vault, spoken by a stand-in: paths, headers and bodies are those of Microsoft's public documentation of
//! "Get Secret", of the client credentials flow of Microsoft Entra, and of managed identities.

use std::sync::Arc;

use gibbon_testkit::upstream::{Request, Upstream};
use serde_json::{Value, json};

use crate::rig::{rig, vault};

fn secrets(request: &Request) -> Option<(u16, Value)> {
    if request.header("authorization") != Some("Bearer t0ken") {
        return Some((401, json!({"error": {"code": "Unauthorized"}})));
    }
    let id = "https://v.vault.azure.net/secrets/db/4387e9f3d6e14c459867679a90fd0f79";
    match request.target.as_str() {
        "/secrets/db?api-version=7.4" => {
            Some((200, json!({"value": r#"{"password": "p@ss"}"#, "id": id, "attributes": {"enabled": true}})))
        }
        "/secrets/disabled?api-version=7.4" => Some((403, json!({"error": {"code": "Forbidden"}}))),
        _ => None,
    }
}

fn token(request: &Request) -> Option<(u16, Value)> {
    let body = String::from_utf8_lossy(&request.body).into_owned();
    let proven = body.contains("client_id=client") && body.contains("scope=https%3A%2F%2Fvault.azure.net%2F.default");
    let of_secret = body.contains("client_secret=s%26cret");
    let of_token = body.contains("client_assertion=t.o.k&")
        && body.contains("client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer");
    if !proven || !(of_secret || of_token) {
        return Some((401, json!({"error": "invalid_client", "error_description": "AADSTS7000215"})));
    }
    Some((200, json!({"token_type": "Bearer", "expires_in": 3599, "access_token": "t0ken"})))
}

/// All three services.
fn azure() -> Upstream {
    vault(|request| match request.target.as_str() {
        "/tenant/oauth2/v2.0/token" => token(request),
        target if target.starts_with("/metadata/identity/oauth2/token?api-version=2018-02-01&resource=") => {
            assert_eq!(request.header("metadata"), Some("true"));
            assert!(target.ends_with("resource=https%3A%2F%2Fvault.azure.net%2F&client_id=client"), "{target}");
            Some((200, json!({"access_token": "t0ken", "expires_in": "3599", "token_type": "Bearer"})))
        }
        target if target.starts_with("/msi/token?api-version=2019-08-01&resource=") => {
            assert_eq!(request.header("x-identity-header"), Some("shown"));
            Some((200, json!({"access_token": "t0ken", "expires_on": "32503680000", "token_type": "Bearer"})))
        }
        _ => secrets(request),
    })
}

fn entity(at: &Upstream, more: Value) -> Arc<Value> {
    let mut config = json!({"vault_uri": format!("http://{}/", at.address())});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Arc::new(json!({"name": "azure", "prefix": "mine", "config": config}))
}

const DB: &str = "{vault://mine/db/password}";

#[test]
fn a_client_shows_its_secret_of_the_vault_or_of_the_environment() {
    let server = azure();
    let authority = format!("http://{}", server.address());
    let of_entity = json!({"tenant_id": "tenant", "client_id": "client", "client_secret": "{vault://env/its-secret}"});
    let one = rig(&[("AZURE_AUTHORITY_HOST", &authority), ("ITS_SECRET", "s&cret")]);
    let of_entity = entity(&server, of_entity);
    assert_eq!(one.secret(DB, &of_entity), "p@ss");
    for nothing in ["{vault://mine/absent}", "{vault://mine/disabled}", "{vault://mine/db#1}", "{vault://mine/a/b/c}"] {
        assert_eq!(one.secret(nothing, &of_entity), "", "{nothing}");
    }
    let variables = [
        ("AZURE_AUTHORITY_HOST", authority.as_str()),
        ("TEAM_TENANT_ID", "tenant"),
        ("TEAM_CLIENT_ID", "client"),
        ("TEAM_CLIENT_SECRET", "s&cret"),
    ];
    assert_eq!(rig(&variables).secret(DB, &entity(&server, json!({"credentials_prefix": "TEAM"}))), "p@ss");
    let wrong = [variables[0], variables[1], variables[2], ("TEAM_CLIENT_SECRET", "not it")];
    assert_eq!(rig(&wrong).secret(DB, &entity(&server, json!({"credentials_prefix": "TEAM"}))), "");
}

#[test]
fn a_pod_shows_its_token_and_a_machine_or_an_app_its_managed_identity() {
    let server = azure();
    let authority = format!("http://{}", server.address());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "t.o.k\n").unwrap();
    let client = json!({"tenant_id": "tenant", "client_id": "client"});
    let pod = [("AZURE_AUTHORITY_HOST", authority.as_str()), ("AZURE_FEDERATED_TOKEN_FILE", file.to_str().unwrap())];
    assert_eq!(rig(&pod).secret(DB, &entity(&server, client.clone())), "p@ss");
    let machine = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", authority.as_str())];
    assert_eq!(rig(&machine).secret(DB, &entity(&server, client)), "p@ss");
    let endpoint = format!("{authority}/msi/token");
    let app = [("IDENTITY_ENDPOINT", endpoint.as_str()), ("IDENTITY_HEADER", "shown")];
    assert_eq!(rig(&app).secret(DB, &entity(&server, json!({}))), "p@ss");
}
