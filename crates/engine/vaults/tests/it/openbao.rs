//! A real OpenBao: both key-value engines, and a role that signs in with a wrapped secret id and may read one path only.

use std::sync::Arc;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gibbon_testkit::client::once;
use gibbon_testkit::servers::{Server, openbao};
use serde_json::{Value, json};

use crate::rig::rig;

const ROOT: &str = "root-t0ken";

/// Tells OpenBao something as root.
fn tell(bao: &Server, method: &str, path: &str, body: &Value, more: &str) -> Value {
    let body = body.to_string();
    let head = format!(
        "{method} /v1/{path} HTTP/1.1\r\nHost: bao\r\nX-Vault-Token: {ROOT}\r\n{more}Content-Length: {}\r\n\r\n",
        body.len()
    );
    let answer = once(bao.address(), format!("{head}{body}")).unwrap();
    assert!(answer.status() < 300, "{method} {path}: {} {}\n{}", answer.status(), answer.text(), bao.output());
    answer.json().unwrap_or_default()
}

fn entity(bao: &Server, more: Value) -> Arc<Value> {
    let mut config = json!({"host": bao.address().ip().to_string(), "port": bao.address().port()});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Arc::new(json!({"name": "hcv", "prefix": "mine", "config": config}))
}

#[test]
fn both_engines_give_secrets_to_a_token() {
    let bao = openbao(ROOT).unwrap();
    tell(&bao, "POST", "sys/mounts/old", &json!({"type": "kv", "options": {"version": "1"}}), "");
    tell(&bao, "POST", "old/team/db", &json!({"password": "of version 1"}), "");
    for password in ["first", "second"] {
        tell(&bao, "POST", "secret/data/team/db", &json!({"data": {"password": password}}), "");
    }
    let rig = rig(&[]);
    let old = entity(&bao, json!({"token": ROOT, "mount": "old"}));
    assert_eq!(rig.secret("{vault://mine/team/db/password}", &old), "of version 1");
    let new = entity(&bao, json!({"token": ROOT, "kv": "v2"}));
    assert_eq!(rig.secret("{vault://mine/team/db/password}", &new), "second");
    assert_eq!(rig.secret("{vault://mine/team/db/password#1}", &new), "first");
    assert_eq!(rig.secret("{vault://mine/team/absent/password}", &new), "");
    let stranger = entity(&bao, json!({"token": "not it", "kv": "v2"}));
    assert_eq!(rig.secret("{vault://mine/team/db/password}", &stranger), "");
}

#[test]
fn a_role_signs_in_with_a_wrapped_secret_and_reads_what_its_policy_allows() {
    let bao = openbao(ROOT).unwrap();
    for path in ["mine", "theirs"] {
        tell(&bao, "POST", &format!("secret/data/{path}"), &json!({"data": {"k": "v"}}), "");
    }
    let policy = r#"path "secret/data/mine" { capabilities = ["read"] }"#;
    tell(&bao, "PUT", "sys/policies/acl/gateway", &json!({"policy": policy}), "");
    tell(&bao, "POST", "sys/auth/approle", &json!({"type": "approle"}), "");
    tell(&bao, "POST", "auth/approle/role/gateway", &json!({"token_policies": ["gateway"]}), "");
    let role = tell(&bao, "GET", "auth/approle/role/gateway/role-id", &json!({}), "");
    let wrapped = tell(&bao, "POST", "auth/approle/role/gateway/secret-id", &json!({}), "X-Vault-Wrap-TTL: 300\r\n");
    let entity = entity(
        &bao,
        json!({
            "kv": "v2", "auth_method": "approle", "approle_role_id": role["data"]["role_id"],
            "approle_secret_id": wrapped["wrap_info"]["token"], "approle_response_wrapping": true,
        }),
    );
    let rig = rig(&[]);
    assert_eq!(rig.secret("{vault://mine/mine/k}", &entity), "v", "{}", bao.output());
    assert_eq!(rig.secret("{vault://mine/theirs/k}", &entity), "");
}

/// OpenBao has no engine for Google's clouds of its own; what it is shown is a JWT like any other.
#[test]
fn a_service_account_signs_in_with_an_assertion_that_openbao_verifies() {
    let bao = openbao(ROOT).unwrap();
    tell(&bao, "POST", "secret/data/mine", &json!({"data": {"k": "v"}}), "");
    let policy = r#"path "secret/data/mine" { capabilities = ["read"] }"#;
    tell(&bao, "PUT", "sys/policies/acl/gateway", &json!({"policy": policy}), "");
    tell(&bao, "POST", "sys/auth/jwt", &json!({"type": "jwt"}), "");
    let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let private = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&key).unwrap();
    let public = AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(key.public_key()).unwrap();
    let pem =
        |label: &str, der: &[u8]| format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der));
    let keys = json!({"jwt_validation_pubkeys": [pem("PUBLIC KEY", public.as_ref())], "bound_issuer": "a@team.test"});
    tell(&bao, "POST", "auth/jwt/config", &keys, "");
    let role = json!({"role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault/gateway"], "token_policies": ["gateway"]});
    tell(&bao, "POST", "auth/jwt/role/gateway", &role, "");
    let account = json!({"type": "service_account", "client_email": "a@team.test", "private_key": pem("PRIVATE KEY", private.as_ref())});
    let with = |account: &Value| json!({"kv": "v2", "auth_method": "gcp_iam", "gcp_auth_role": "gateway", "gcp_login_path": "jwt", "gcp_service_account": account.to_string()});
    let rig = rig(&[]);
    assert_eq!(rig.secret("{vault://mine/mine/k}", &entity(&bao, with(&account))), "v", "{}", bao.output());
    let mut stranger = account;
    stranger["client_email"] = json!("b@team.test");
    assert_eq!(rig.secret("{vault://mine/mine/k}", &entity(&bao, with(&stranger))), "");
}
