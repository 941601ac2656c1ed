//! Secrets encrypted where they are stored.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::rsa::PrivateDecryptingKey;
use gibbon_store::{Address, ChangeError, Keyring, KeyringChange, PrivateKey, PublicKey};
use serde_json::{Value, json};

use crate::rig::{Rig, postgres};

const SECRET: &str = "thePasswordThatMustNotShow";

/// A pair in PEM.
fn pair() -> (String, String) {
    use base64::Engine as _;
    let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
    let pem = |label: &str, der: &[u8]| {
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
    };
    let private = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&key).unwrap();
    let public = AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(&key.public_key()).unwrap();
    (pem("PRIVATE KEY", private.as_ref()), pem("PUBLIC KEY", public.as_ref()))
}

fn keyring((private, public): &(String, String)) -> Arc<Keyring> {
    Keyring::new(vec![PublicKey::of_pem(public).unwrap()], Some(PrivateKey::of_pem(private).unwrap()))
}

/// A consumer's password is hashed where it is stored; a vault's token is not.
async fn insert(rig: &Rig, prefix: &str) -> gibbon_store::Row {
    let vault = json!({"name": "hcv", "prefix": prefix, "config": {"token": SECRET, "namespace": "in-clear"}});
    rig.insert("vaults", vault).await.unwrap()
}

fn token(document: &Value) -> &str {
    document["config"]["token"].as_str().unwrap()
}

/// All bytes of the database's files.
fn dump(directory: &Path) -> String {
    let files = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
    let bytes =
        files.filter(|path| path.to_string_lossy().contains("test.sqlite")).map(|path| std::fs::read(path).unwrap());
    bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect()
}

#[tokio::test]
async fn the_file_holds_no_secret_and_a_node_with_the_private_key_reads_it() {
    let pair = pair();
    let rig = Rig::sealed_sqlite(tempfile::tempdir().unwrap(), &keyring(&pair));
    let row = insert(&rig, "mine").await;
    rig.update("vaults", &Address::Id(row.id), json!({"description": "changed"})).await.unwrap();
    assert_eq!(token(&rig.find("vaults", row.id).await.unwrap().document), SECRET);
    let held = dump(rig.directory.path());
    assert!(held.contains("in-clear") && held.contains("$sealed$") && !held.contains(SECRET));

    let again = Rig::sealed_sqlite(rig.directory, &keyring(&pair));
    assert_eq!(token(&again.find("vaults", row.id).await.unwrap().document), SECRET);
}

#[tokio::test]
async fn tables_of_postgresql_hold_no_secret_and_nodes_follow_each_other() {
    let (pair, settings) = (pair(), postgres::fresh());
    let one = Rig::sealed_postgres(&settings, &keyring(&pair));
    let keys_of_two = keyring(&pair);
    let two = Rig::sealed_postgres(&settings, &keys_of_two);
    let row = insert(&one, "mine").await;
    // The other node learns of keys that were made meanwhile when it meets them.
    for change in [KeyringChange::Generate("another".into()), KeyringChange::Activate("another".into())] {
        one.documents.conductor.change_keyring(&change).await.unwrap();
    }
    assert_eq!(token(&two.find("vaults", row.id).await.unwrap().document), SECRET);
    two.documents.conductor.keep_up().await;
    assert_eq!(keys_of_two.ids().0.as_deref(), Some("another"));

    let held = postgres::dump(&settings).await;
    assert!(held.contains("in-clear") && held.contains("$sealed$another$") && !held.contains(SECRET), "{held}");
}

#[tokio::test]
async fn rows_in_clear_are_read_and_sealed_when_a_key_is_activated() {
    let pair = pair();
    let rig = Rig::sqlite();
    let row = insert(&rig, "mine").await;
    assert!(dump(rig.directory.path()).contains(SECRET));
    let keys = keyring(&pair);
    let rig = Rig::sealed_sqlite(rig.directory, &keys);
    assert_eq!(token(&rig.find("vaults", row.id).await.unwrap().document), SECRET);

    let first = keys.ids().0.unwrap();
    let conductor = &rig.documents.conductor;
    conductor.change_keyring(&KeyringChange::Generate("second".into())).await.unwrap();
    assert_eq!(keys.ids().0.as_ref(), Some(&first), "only the first is active at once");
    conductor.change_keyring(&KeyringChange::Activate("second".into())).await.unwrap();
    let stored = stored_document(&rig, row.id);
    assert!(stored.contains("$sealed$second$") && !stored.contains(SECRET), "{stored}");

    // The first key seals nothing any more; the second does, and cannot go.
    let in_force = conductor.change_keyring(&KeyringChange::Remove("second".into())).await.unwrap_err();
    assert!(in_force.to_string().contains("the active key cannot be removed"), "{in_force}");
    conductor.change_keyring(&KeyringChange::Remove(first)).await.unwrap();
    assert_eq!(keys.ids(), (Some("second".to_owned()), vec!["second".to_owned()]));
    assert_eq!(token(&rig.find("vaults", row.id).await.unwrap().document), SECRET);
    let absent = conductor.change_keyring(&KeyringChange::Activate("absent".into())).await.unwrap_err();
    assert!(absent.to_string().contains("key 'absent' is not in the keyring"), "{absent}");
}

fn stored_document(rig: &Rig, id: uuid::Uuid) -> String {
    let file = rusqlite::Connection::open(rig.directory.path().join("test.sqlite")).unwrap();
    let sql = "SELECT document FROM entities WHERE kind = 'vaults' AND id = ?1";
    file.query_row(sql, [id.as_bytes()], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn without_its_private_key_a_node_serves_nothing_until_the_keyring_is_recovered() {
    let (pair_of_node, recovery) = (pair(), pair());
    let readers = || [&pair_of_node.1, &recovery.1].map(|pem| PublicKey::of_pem(pem).unwrap()).into_iter().collect();
    let keys = Keyring::new(readers(), Some(PrivateKey::of_pem(&pair_of_node.0).unwrap()));
    let rig = Rig::sealed_sqlite(tempfile::tempdir().unwrap(), &keys);
    let row = insert(&rig, "mine").await;

    let lost = Keyring::new(readers(), None);
    let rig = Rig::sealed_sqlite(rig.directory, &lost);
    assert!(lost.is_locked());
    let refused = rig.insert("consumers", json!({"username": "bob"})).await.unwrap_err();
    assert!(matches!(&refused, ChangeError::Store(error) if error.to_string().contains("is locked")), "{refused}");
    assert!(lost.recover(&PrivateKey::of_pem(&pair().0).unwrap()).is_err(), "a stranger's key");

    assert_eq!(lost.recover(&PrivateKey::of_pem(&recovery.0).unwrap()).unwrap(), keys.ids().1);
    rig.documents.conductor.change_keyring(&KeyringChange::Keep).await.unwrap();
    assert_eq!(token(&rig.find("vaults", row.id).await.unwrap().document), SECRET);
    rig.insert("consumers", json!({"username": "bob"})).await.unwrap();
}

#[tokio::test]
async fn keys_are_exported_to_whoever_holds_the_private_key_and_imported_there() {
    let pair = pair();
    let (one, two) = (keyring(&pair), keyring(&pair));
    let rig = Rig::sealed_sqlite(tempfile::tempdir().unwrap(), &one);
    let other = Rig::sealed_sqlite(tempfile::tempdir().unwrap(), &two);
    let data = one.export().unwrap();
    other.documents.conductor.change_keyring(&KeyringChange::Import(data)).await.unwrap();
    assert_eq!(two.ids().1.len(), 2);
    let forged = other.documents.conductor.change_keyring(&KeyringChange::Import("e30=".into())).await;
    assert!(forged.is_err());
    drop(rig);
}

#[tokio::test]
async fn a_sealed_value_cannot_be_moved_to_another_row() {
    let rig = Rig::sealed_sqlite(tempfile::tempdir().unwrap(), &keyring(&pair()));
    let (one, two) = (insert(&rig, "mine").await, insert(&rig, "yours").await);
    let file = rusqlite::Connection::open(rig.directory.path().join("test.sqlite")).unwrap();
    let sql = "UPDATE entities SET document = (SELECT document FROM entities WHERE id = ?1) WHERE id = ?2";
    file.execute(sql, [one.id.as_bytes(), two.id.as_bytes()]).unwrap();
    let def = rig.def("vaults");
    let moved = rig.documents.find(&def, crate::rig::workspace(), &Address::Id(two.id)).await.unwrap_err();
    assert!(moved.to_string().contains("is damaged"), "{moved}");
}
