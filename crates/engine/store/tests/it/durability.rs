//! What is stored is found again.

use serde_json::json;

use crate::rig::Rig;

#[tokio::test]
async fn a_store_that_is_opened_again_has_its_rows_in_the_plan() {
    let rig = Rig::sqlite();
    let service = rig.insert("services", json!({"name": "s", "host": "a.test"})).await.unwrap();
    let route = json!({"paths": ["/a"], "service": {"id": service.id.to_string()}});
    rig.insert("routes", route).await.unwrap();
    rig.insert("consumers", json!({"username": "bob"})).await.unwrap();
    let before = rig.plan().fingerprint();
    let Rig { directory, documents, funnel } = rig;
    drop((documents, funnel));

    let again = Rig::sqlite_in(directory);
    assert_eq!(again.plan().fingerprint(), before);
    assert_eq!(again.find("services", service.id).await, Some(service));
}

#[tokio::test]
async fn a_file_of_a_later_version_is_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("test.sqlite");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let error = gibbon_store::Sqlite::open(&path).err().unwrap();
    assert!(error.to_string().contains("made by a later release"), "{error}");
}

#[tokio::test]
async fn nobody_else_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let rig = Rig::sqlite();
    let mode = std::fs::metadata(rig.directory.path().join("test.sqlite")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
}
