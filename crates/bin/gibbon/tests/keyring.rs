//! Secrets encrypted in the database, as an operator sees it: a real node, its Admin API, and the bytes of its file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use gibbon_testkit::client::{self, Response};
use gibbon_testkit::gateway::{Gateway, Settings};
use gibbon_testkit::servers;
use serde_json::{Value, json};

const SECRET: &str = "thePasswordThatMustNotShow";

/// A pair of files, made as Kong's documentation has people make them.
fn pair(folder: &Path, name: &str) -> (String, String) {
    let [private, public] = ["key", "pub"].map(|end| folder.join(format!("{name}.{end}")).display().to_string());
    let openssl =
        |arguments: &[&str]| assert!(Command::new("openssl").args(arguments).output().unwrap().status.success());
    openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", &private]);
    openssl(&["rsa", "-in", &private, "-pubout", "-out", &public]);
    (private, public)
}

fn call(gateway: &Gateway, method: &str, path: &str, body: &Value) -> Response {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}",
        body.len()
    );
    client::once(gateway.addresses().admin, format!("{head}\r\n\r\n{body}")).unwrap()
}

fn get(gateway: &Gateway, path: &str) -> Value {
    call(gateway, "GET", path, &Value::Null).json().unwrap()
}

fn held(prefix: &Path) -> String {
    let files = std::fs::read_dir(prefix).unwrap().map(|file| file.unwrap().path());
    let files = files.filter(|path| path.to_string_lossy().contains("gibbon.sqlite"));
    files.map(|path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()).collect()
}

#[test]
fn a_node_with_a_keyring_stores_no_secret_and_its_keys_are_turned_and_recovered() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = folder.path().join("prefix");
    let (own, recovery) = (pair(folder.path(), "own"), pair(folder.path(), "recovery"));
    let start = |with_own: bool| {
        let mut settings = Settings::new().set("database", "sqlite").set("prefix", prefix.display().to_string());
        settings = settings.set("keyring_enabled", "on").set("keyring_recovery_public_key", recovery.1.as_str());
        if with_own {
            settings = settings.set("keyring_public_key", own.1.as_str()).set("keyring_private_key", own.0.as_str());
        }
        settings.start().unwrap()
    };
    let gateway = start(true);
    let vault = json!({"name": "hcv", "config": {"token": SECRET}});
    assert_eq!(call(&gateway, "PUT", "/vaults/mine", &vault).status(), 200);
    let first = get(&gateway, "/keyring")["active"].as_str().unwrap().to_owned();

    // Turned: a new key encrypts everything, the old one goes.
    let made = call(&gateway, "POST", "/keyring/generate", &Value::Null);
    assert_eq!(made.status(), 201, "{}", made.text());
    let second = made.json().unwrap()["id"].as_str().unwrap().to_owned();
    let active_one = call(&gateway, "POST", "/keyring/remove", &json!({"key": first}));
    assert_eq!(active_one.status(), 400, "{}", active_one.text());
    assert_eq!(call(&gateway, "POST", "/keyring/activate", &json!({"key": second})).status(), 204);
    assert_eq!(call(&gateway, "POST", "/keyring/activate", &json!({"key": "nobody"})).status(), 404);
    let data = call(&gateway, "POST", "/keyring/export", &Value::Null).json().unwrap();
    assert_eq!(call(&gateway, "POST", "/keyring/remove", &json!({"key": first})).status(), 204);
    assert_eq!(get(&gateway, "/keyring"), json!({"active": second, "ids": [second]}));
    assert_eq!(call(&gateway, "POST", "/keyring/import", &data).status(), 201);
    assert_eq!(call(&gateway, "POST", "/keyring/import", &json!({"data": "e30="})).status(), 400);
    assert_eq!(get(&gateway, "/keyring")["ids"].as_array().unwrap().len(), 2);
    assert_eq!(call(&gateway, "POST", "/keyring/vault/sync", &json!({})).status(), 400);
    assert_eq!(get(&gateway, "/vaults/mine")["config"]["token"], SECRET);
    assert!(held(&prefix).contains(&format!("$sealed${second}$")) && !held(&prefix).contains(SECRET));
    drop(gateway);

    // With its private key lost, the node serves nothing until the keys are recovered.
    let gateway = start(false);
    assert_eq!(call(&gateway, "GET", "/vaults/mine", &Value::Null).status(), 503);
    let own_key = json!({"recovery_private_key": std::fs::read_to_string(&recovery.0).unwrap()});
    let recovered = call(&gateway, "POST", "/keyring/recover", &own_key);
    assert_eq!(recovered.status(), 200, "{}", recovered.text());
    assert_eq!(recovered.json().unwrap()["recovered"].as_array().unwrap().len(), 2);
    assert_eq!(get(&gateway, "/vaults/mine")["config"]["token"], SECRET);
}

/// What an answer says of a key is true on the other node within its time to follow.
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn nodes_on_one_database_share_their_keys_whichever_of_them_turns_them() {
    let folder = tempfile::tempdir().unwrap();
    let (own, recovery) = (pair(folder.path(), "own"), pair(folder.path(), "recovery"));
    let database = servers::postgres().unwrap();
    let port = database.address().port().to_string();
    let settings = |with_own: bool| {
        let mut settings = Settings::new().on_postgres(database.address()).set("db_update_frequency", "0.2");
        settings = settings.set("keyring_enabled", "on").set("keyring_recovery_public_key", recovery.1.as_str());
        if with_own {
            settings = settings.set("keyring_public_key", own.1.as_str()).set("keyring_private_key", own.0.as_str());
        }
        settings
    };
    // The second also reads from a server that follows, as which the same one stands in.
    let following = || {
        let settings = settings(true).set("pg_ro_host", "127.0.0.1").set("pg_ro_port", port.as_str());
        settings.set("pg_ro_user", "gibbon").set("pg_ro_database", "gibbon").start().unwrap()
    };
    assert!(settings(true).command_line(&["migrations", "bootstrap"]).unwrap().status.success());
    let (one, two) = (settings(true).start().unwrap(), following());
    let secret_on = |node: &Gateway| get(node, "/vaults/mine")["config"]["token"] == SECRET;
    let turn = |node: &Gateway| {
        let made = call(node, "POST", "/keyring/generate", &Value::Null);
        let id = made.json().unwrap()["id"].as_str().unwrap().to_owned();
        assert_eq!(call(node, "POST", "/keyring/activate", &json!({"key": id})).status(), 204, "{}", made.text());
        id
    };

    let first = get(&one, "/keyring")["active"].as_str().unwrap().to_owned();
    assert_eq!(get(&two, "/keyring")["active"], *first, "the second node uses the key that the first one made");
    assert_eq!(call(&one, "PUT", "/vaults/mine", &json!({"name": "hcv", "config": {"token": SECRET}})).status(), 200);
    eventually("the second node opens what the first one sealed", || secret_on(&two));

    // The first node turns the keys while the second works with them.
    let second = turn(&one);
    assert_eq!(call(&one, "POST", "/keyring/remove", &json!({"key": first})).status(), 204);
    assert!(secret_on(&two), "a key that is not known yet is looked up");
    assert_eq!(call(&two, "PUT", "/vaults/theirs", &json!({"name": "hcv", "config": {"token": SECRET}})).status(), 200);
    eventually("the second node knows the keys as they are", || {
        get(&two, "/keyring") == json!({"active": second, "ids": [second]})
    });

    // Then the second one does, and the first is started again.
    let third = turn(&two);
    eventually("the first node follows", || get(&one, "/keyring")["active"] == *third);
    assert!(secret_on(&one));
    drop(one);
    assert_eq!(call(&two, "POST", "/keyring/remove", &json!({"key": second})).status(), 204);
    let one = settings(true).start().unwrap();
    assert!(secret_on(&one) && get(&one, "/vaults/theirs")["config"]["token"] == SECRET);
    assert_eq!(get(&one, "/keyring"), json!({"active": third, "ids": [third]}));

    // One that lost its private key serves nothing until it is helped; the others do not notice.
    drop(one);
    let one = settings(false).start().unwrap();
    assert_eq!(call(&one, "GET", "/vaults/mine", &Value::Null).status(), 503);
    let recovery_key = json!({"recovery_private_key": std::fs::read_to_string(&recovery.0).unwrap()});
    let recovered = call(&one, "POST", "/keyring/recover", &recovery_key);
    assert_eq!(recovered.status(), 200, "{}", recovered.text());
    assert!(secret_on(&one) && secret_on(&two));
    drop(two);
    let two = following();
    assert!(secret_on(&two), "helping the one does not lock out the other");
    let fourth = turn(&two);
    assert!(secret_on(&two));
    drop(two);
    let two = following();
    assert!(secret_on(&two) && get(&two, "/keyring")["active"] == *fourth);
}

#[test]
fn without_encryption_there_is_no_keyring() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = folder.path().display().to_string();
    let gateway = Settings::new().set("database", "sqlite").set("prefix", prefix).start().unwrap();
    assert_eq!(call(&gateway, "GET", "/keyring", &Value::Null).status(), 404);
    assert_eq!(call(&gateway, "POST", "/keyring/generate", &Value::Null).status(), 404);
}
