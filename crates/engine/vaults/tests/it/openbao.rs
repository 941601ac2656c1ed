//! A real OpenBao: both key-value engines, and a role that signs in with a wrapped secret id and may read one path only.

use std::sync::Arc;

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
