//! Google's Secret Manager, spoken by a stand-in: paths, headers and bodies are those of Google's public documentation of
//! `projects.secrets.versions.access`, of service accounts (OAuth 2 for server to server) and of the metadata server.

use std::sync::Arc;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::RsaKeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gibbon_testkit::upstream::{Request, Upstream};
use serde_json::{Value, json};

use crate::rig::{rig, vault};

/// Secrets of the project `team`, for whoever shows the token.
fn secrets(request: &Request) -> Option<(u16, Value)> {
    if request.header("authorization") != Some("Bearer t0ken") {
        return Some((401, json!({"error": {"code": 401, "status": "UNAUTHENTICATED"}})));
    }
    let secret = |version: &str, text: &str| {
        let name = format!("projects/1/secrets/db/versions/{version}");
        Some((200, json!({"name": name, "payload": {"data": STANDARD.encode(text), "dataCrc32c": "1"}})))
    };
    match request.target.as_str() {
        "/v1/projects/team/secrets/db/versions/latest:access" => secret("2", r#"{"password": "new"}"#),
        "/v1/projects/team/secrets/db/versions/1:access" => secret("1", r#"{"password": "old"}"#),
        "/v1/projects/team/secrets/secret/versions/latest:access" => {
            Some((403, json!({"error": {"code": 403, "status": "PERMISSION_DENIED"}})))
        }
        _ => None,
    }
}

fn entity(at: &Upstream, more: Value) -> Arc<Value> {
    let mut config = json!({"endpoint_url": format!("http://{}", at.address())});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Arc::new(json!({"name": "gcp", "prefix": "mine", "config": config}))
}

#[test]
fn a_machine_shows_the_token_of_its_metadata_server() {
    let server = vault(|request| match request.target.as_str() {
        "/computeMetadata/v1/instance/service-accounts/default/token" => {
            assert_eq!(request.header("metadata-flavor"), Some("Google"));
            Some((200, json!({"access_token": "t0ken", "expires_in": 3599, "token_type": "Bearer"})))
        }
        _ => secrets(request),
    });
    let rig = rig(&[("GCE_METADATA_HOST", &server.address().to_string())]);
    let entity = entity(&server, json!({"project_id": "team"}));
    assert_eq!(rig.secret("{vault://mine/db/password}", &entity), "new");
    assert_eq!(rig.secret("{vault://mine/db/password#1}", &entity), "old");
    assert_eq!(rig.secret("{vault://mine/absent}", &entity), "");
    assert_eq!(rig.secret("{vault://mine/secret}", &entity), "");
    assert_eq!(rig.secret("{vault://mine/../db/password}", &entity), "", "a resource cannot leave its project");
}

#[test]
fn a_service_account_shows_a_token_for_its_assertion_and_names_its_project() {
    let server = vault(|request| match request.target.as_str() {
        "/token" => {
            let body = String::from_utf8(request.body.clone()).unwrap();
            assert!(body.starts_with("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=ey"));
            Some((200, json!({"access_token": "t0ken", "expires_in": 3599, "token_type": "Bearer"})))
        }
        _ => secrets(request),
    });
    let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let der = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&key).unwrap();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der.as_ref()));
    let account = json!({"type": "service_account", "project_id": "team", "client_email": "a@team.test",
        "private_key": pem, "token_uri": format!("http://{}/token", server.address())});
    let rig = rig(&[("GCP_SERVICE_ACCOUNT", &account.to_string())]);
    assert_eq!(rig.secret("{vault://mine/db/password}", &entity(&server, json!({}))), "new");
}
