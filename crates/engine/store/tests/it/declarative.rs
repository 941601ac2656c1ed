//! A node without a datastore: its configuration is replaced as a whole.

use gibbon_store::{ChangeError, Document, load_saved};
use indexmap::IndexMap;
use serde_json::{Value, json};

use crate::rig::{Rig, fields, workspace};

fn configuration(host: &str, stamped: f64) -> IndexMap<String, Vec<Document>> {
    let service = |n: u8, host: &str| {
        fields(json!({
            "id": uuid::Uuid::from_bytes([n; 16]).to_string(), "name": format!("s{n}"), "host": host, "protocol": "http",
            "created_at": stamped, "updated_at": stamped,
        }))
    };
    IndexMap::from_iter([("services".to_owned(), vec![service(1, host), service(2, "same.test")])])
}

async fn declare(rig: &Rig, host: &str, stamped: f64) -> Result<(), ChangeError> {
    rig.documents.declare(workspace(), configuration(host, stamped), "0123456789abcdef0123456789abcdef", stamped).await
}

fn stored(rig: &Rig, n: u8) -> Value {
    let id = uuid::Uuid::from_bytes([n; 16]);
    rig.documents.conductor.memory().unwrap().look(|table| (*table.row("services", id).unwrap().document).clone())
}

#[tokio::test]
async fn what_is_the_same_keeps_its_times_and_what_is_not_does_not() {
    let rig = Rig::declarative_in(tempfile::tempdir().unwrap());
    declare(&rig, "a.test", 100.0).await.unwrap();
    declare(&rig, "b.test", 200.0).await.unwrap();
    assert_eq!(stored(&rig, 2)["created_at"], json!(100.0));
    assert_eq!(stored(&rig, 1)["created_at"], json!(200.0));
    assert_eq!(&*rig.plan().service(uuid::Uuid::from_bytes([1; 16])).unwrap().host, "b.test");
}

#[tokio::test]
async fn the_last_accepted_configuration_is_found_again() {
    let rig = Rig::declarative_in(tempfile::tempdir().unwrap());
    declare(&rig, "a.test", 100.0).await.unwrap();
    let saved = load_saved(rig.directory.path()).unwrap().unwrap();
    assert_eq!(saved.hash, "0123456789abcdef0123456789abcdef");
    assert_eq!(saved.entities["services"].as_array().unwrap().len(), 2);
    assert_eq!(saved.entities["services"][0], stored(&rig, 1));
}

#[tokio::test]
async fn a_configuration_that_contradicts_itself_changes_nothing() {
    let rig = Rig::declarative_in(tempfile::tempdir().unwrap());
    declare(&rig, "a.test", 100.0).await.unwrap();
    let mut twice = configuration("c.test", 200.0);
    let services = twice.get_mut("services").unwrap();
    services[1].insert("name".into(), "s1".into());
    let refused = rig.documents.declare(workspace(), twice, "ff", 200.0).await;
    assert!(matches!(refused, Err(ChangeError::Violation(_))));
    assert_eq!(stored(&rig, 1)["host"], "a.test");
    assert_eq!(rig.plan().hash.as_deref(), Some("0123456789abcdef0123456789abcdef"));
}

#[tokio::test]
async fn single_entities_cannot_be_changed() {
    let rig = Rig::declarative_in(tempfile::tempdir().unwrap());
    let refused = rig.insert("services", json!({"host": "a.test"})).await;
    assert!(matches!(refused, Err(ChangeError::ReadOnly)));
    let invalid = rig.insert("services", json!({"host": 5})).await;
    assert!(matches!(invalid, Err(ChangeError::Invalid(_))), "what is wrong with it is said first");
}
