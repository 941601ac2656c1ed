//! HashiCorp Vault's HTTP API as its documentation describes it, spoken by a stand-in: paths, headers and bodies are checked
//! on arrival.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gibbon_store::Secrets;
use gibbon_testkit::upstream::{self, Upstream};
use serde_json::{Value, json};

use crate::rig::{rig, vault};

fn entity(at: &Upstream, more: Value) -> Arc<Value> {
    let mut config = json!({"host": at.address().ip().to_string(), "port": at.address().port()});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Arc::new(json!({"name": "hcv", "prefix": "mine", "config": config}))
}

#[test]
fn a_secret_of_the_first_engine_is_read_with_the_token_that_another_vault_holds() {
    let server = vault(|request| {
        assert_eq!(request.header("x-vault-namespace"), Some("team-a"));
        if request.header("x-vault-token") != Some("t0ken") {
            return Some((403, json!({"errors": ["permission denied"]})));
        }
        (request.target == "/v1/kv/app/db").then(|| (200, json!({"data": {"password": "p@ss", "port": 5432}})))
    });
    let rig = rig(&[("VAULT_TOKEN", "t0ken")]);
    let config = json!({"mount": "kv", "namespace": "team-a", "token": "{vault://env/vault-token}"});
    let entity = entity(&server, config);
    assert_eq!(rig.secret("{vault://mine/app/db/password}", &entity), "p@ss");
    assert_eq!(rig.secret("{vault://mine/app/db/port}", &entity), "5432");
    assert_eq!(rig.secret("{vault://mine/app/db/absent}", &entity), "");
    assert_eq!(rig.secret("{vault://mine/app/other/password}", &entity), "");
}

#[test]
fn the_second_engine_knows_versions() {
    let server = vault(|request| match request.target.as_str() {
        "/v1/secret/data/db" => Some((200, json!({"data": {"data": {"password": "new"}}}))),
        "/v1/secret/data/db?version=2" => Some((200, json!({"data": {"data": {"password": "old"}}}))),
        "/v1/secret/data/gone" => Some((200, json!({"data": {"data": null}}))),
        _ => None,
    });
    let rig = rig(&[]);
    let entity = entity(&server, json!({"kv": "v2", "token": "t"}));
    assert_eq!(rig.secret("{vault://mine/db/password}", &entity), "new");
    assert_eq!(rig.secret("{vault://mine/db/password#2}", &entity), "old");
    assert_eq!(rig.secret("{vault://mine/gone/password}", &entity), "");
}

#[test]
fn a_role_signs_in_once_and_again_when_its_token_is_refused() {
    let sign_ins = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sign_ins);
    let server = vault(move |request| {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        match request.target.as_str() {
            "/v1/sys/wrapping/unwrap" => {
                assert_eq!(request.header("x-vault-token"), Some("wrapped"));
                Some((200, json!({"data": {"secret_id": "inner"}})))
            }
            "/v1/auth/approle/login" => {
                assert_eq!(body, json!({"role_id": "role", "secret_id": "inner"}));
                let number = counted.fetch_add(1, Ordering::Relaxed) + 1;
                Some((200, json!({"auth": {"client_token": format!("token-{number}"), "lease_duration": 3600}})))
            }
            "/v1/secret/a" | "/v1/secret/b" => match request.header("x-vault-token") {
                Some("token-1") if request.target.ends_with('b') => Some((403, json!({}))),
                Some("token-1" | "token-2") => Some((200, json!({"data": {"k": "v"}}))),
                _ => Some((403, json!({}))),
            },
            _ => None,
        }
    });
    let rig = rig(&[]);
    let config = json!({
        "auth_method": "approle", "approle_role_id": "role", "approle_secret_id": "wrapped", "approle_response_wrapping": true,
    });
    let entity = entity(&server, config);
    assert_eq!(rig.secret("{vault://mine/a/k}", &entity), "v");
    assert_eq!(sign_ins.load(Ordering::Relaxed), 1);
    assert_eq!(rig.secret("{vault://mine/b/k}", &entity), "v");
    assert_eq!(sign_ins.load(Ordering::Relaxed), 2);
}

/// Takes one login, whose body `fits`, and then gives one secret to whoever shows its token.
fn after_login(path: &'static str, fits: impl Fn(&Value) -> bool + Send + Sync + 'static) -> Upstream {
    vault(move |request| {
        if request.target == "/v1/secret/a" && request.header("x-vault-token") == Some("by login") {
            return Some((200, json!({"data": {"k": "v"}})));
        }
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let is_login = request.target == path && fits(&body);
        is_login.then(|| (200, json!({"auth": {"client_token": "by login", "lease_duration": 3600}})))
    })
}

fn decoded(body: &Value, name: &str) -> String {
    String::from_utf8(STANDARD.decode(body[name].as_str().unwrap_or_default()).unwrap()).unwrap()
}

#[test]
fn an_identity_of_aws_signs_in_with_a_signed_question_who_it_is() {
    let server = after_login("/v1/auth/cloud/login", |body| {
        let headers: Value = serde_json::from_str(&decoded(body, "iam_request_headers")).unwrap();
        let signed = headers["authorization"].as_str().unwrap_or_default();
        decoded(body, "iam_request_url") == "https://sts.eu-west-1.amazonaws.com/"
            && decoded(body, "iam_request_body") == "Action=GetCallerIdentity&Version=2011-06-15"
            && (&body["role"], &body["nonce"], &body["iam_http_request_method"])
                == (&json!("r"), &json!("n"), &json!("POST"))
            && headers["Host"] == "sts.eu-west-1.amazonaws.com"
            && signed.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
            && signed.contains("/eu-west-1/sts/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=")
    });
    let config = json!({
        "auth_method": "aws_iam", "aws_auth_role": "r", "aws_login_path": "cloud", "aws_auth_nonce": "n",
        "aws_auth_region": "eu-west-1", "aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "of test",
    });
    assert_eq!(rig(&[]).secret("{vault://mine/a/k}", &entity(&server, config)), "v");
}

#[test]
fn a_machine_of_azure_or_google_signs_in_with_what_the_cloud_says_of_it() {
    let server = vault(|request| match request.target.as_str() {
        "/v1/auth/azure/login" | "/v1/auth/gcp/login" => {
            let shown: Value = serde_json::from_slice(&request.body).unwrap();
            let fits = shown == json!({"role": "r", "jwt": "of the machine"});
            fits.then(|| (200, json!({"auth": {"client_token": "t"}})))
        }
        "/v1/secret/a" if request.header("x-vault-token") == Some("t") => Some((200, json!({"data": {"k": "v"}}))),
        _ => None,
    });
    let machine = upstream::Upstream::serve(|mut connection| {
        while let Some(request) = connection.read_request()? {
            let google =
                "/computeMetadata/v1/instance/service-accounts/default/identity?audience=vault%2Fr&format=full";
            let body = match request.target.as_str() {
                target if target == google && request.header("metadata-flavor") == Some("Google") => "of the machine",
                target if target.contains("resource=https%3A%2F%2Fmanagement.azure.com%2F") => {
                    r#"{"access_token": "of the machine", "expires_in": "3600", "token_type": "Bearer"}"#
                }
                _ => "",
            };
            connection.answer(if body.is_empty() { 404 } else { 200 }, &[], body)?;
        }
        Ok(())
    })
    .unwrap();
    let at = machine.address().to_string();
    let azure = json!({"auth_method": "azure", "azure_auth_role": "r"});
    let url = format!("http://{at}");
    assert_eq!(
        rig(&[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &url)]).secret("{vault://mine/a/k}", &entity(&server, azure)),
        "v"
    );
    let google = json!({"auth_method": "gcp_gce", "gcp_auth_role": "r"});
    assert_eq!(rig(&[("GCE_METADATA_HOST", &at)]).secret("{vault://mine/a/k}", &entity(&server, google)), "v");
}

#[test]
fn whoever_uses_a_secret_is_told_when_it_is_another() {
    let current = Arc::new(Mutex::new("one"));
    let served = Arc::clone(&current);
    let server = vault(move |_| Some((200, json!({"data": {"k": *served.lock().unwrap()}}))));
    let rig = rig(&[]);
    let entity = entity(&server, json!({"token": "t", "ttl": 1}));
    assert_eq!(rig.secret("{vault://mine/a/k}", &entity), "one");
    // The first reading is news as well.
    rig.runtime.block_on(rig.vaults.changed());
    *current.lock().unwrap() = "two";
    let told = async { tokio::time::timeout(Duration::from_secs(20), rig.vaults.changed()).await };
    rig.runtime.block_on(told).unwrap();
    assert_eq!(rig.vaults.look_up("{vault://mine/a/k}", Some(&entity)), "two");
}

#[test]
fn what_nobody_refers_to_any_more_is_forgotten_and_a_hanging_vault_holds_nobody_up() {
    let server = gibbon_testkit::upstream::silent().unwrap();
    let rig = rig(&[]);
    let entity = entity(&server, json!({"token": "t"}));
    assert_eq!(rig.vaults.look_up("{vault://mine/a/k}", Some(&entity)), "");
    rig.vaults.settle(Duration::from_millis(50));
    rig.vaults.retain(&|_| false);
    rig.vaults.settle(Duration::from_secs(60));
}
