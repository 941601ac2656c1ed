//! Store and plan change together or not at all.

use std::sync::Arc;

use gibbon_store::rules::{Condition, Write};
use gibbon_store::{Address, ChangeError};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::rig::{Rig, each, named, workspace};

fn put(entity: &str, id: Uuid, document: Value) -> Write {
    Write::Put {
        entity: entity.into(),
        workspace: workspace(),
        id,
        document: Arc::new(document),
        condition: Condition::Whatever,
    }
}

#[tokio::test]
async fn what_is_answered_is_in_force() {
    for (backend, rig) in each() {
        let service = rig.insert("services", json!({"host": "a.test"})).await.unwrap();
        assert!(rig.plan().service(service.id).is_some(), "{backend}");
        rig.delete("services", service.id).await.unwrap();
        assert!(rig.plan().service(service.id).is_none(), "{backend}");
    }
}

#[tokio::test]
async fn a_list_that_the_plan_refuses_leaves_store_and_plan_as_they_were() {
    for (backend, rig) in each() {
        let before = rig.plan().fingerprint();
        let (good, bad) = (Uuid::from_bytes([1; 16]), Uuid::from_bytes([2; 16]));
        let service = json!({"id": good.to_string(), "host": "a.test", "protocol": "http"});
        // No schema would let this plugin through; the plan refuses it as well.
        let plugin = json!({"id": bad.to_string(), "name": "nobody-has-this", "config": {}, "enabled": true});
        let error =
            rig.documents.conductor.commit(vec![put("services", good, service), put("plugins", bad, plugin)]).await;
        assert!(matches!(error, Err(ChangeError::Refused(_))), "{backend}: {error:?}");
        assert!(rig.find("services", good).await.is_none(), "{backend}");
        assert_eq!(rig.plan().fingerprint(), before, "{backend}");
        rig.insert("services", json!({"id": good.to_string(), "host": "b.test"})).await.unwrap();
    }
}

#[tokio::test]
async fn changes_that_wait_together_each_succeed_or_fail_for_themselves() {
    for (backend, rig) in each() {
        let rig = Arc::new(rig);
        let inserts = (0..50).map(|n| {
            let rig = Arc::clone(&rig);
            // Every name comes twice.
            tokio::spawn(async move {
                rig.insert("services", json!({"name": format!("s{}", n / 2), "host": "a.test"})).await
            })
        });
        let mut made = 0;
        for insert in inserts.collect::<Vec<_>>() {
            made += usize::from(insert.await.unwrap().is_ok());
        }
        assert_eq!(made, 25, "{backend}");
    }
}

#[tokio::test]
async fn no_change_made_at_the_same_time_is_lost() {
    for (backend, rig) in each() {
        let rig = Arc::new(rig);
        rig.insert("services", json!({"name": "s", "host": "a.test"})).await.unwrap();
        let fields = ["connect_timeout", "read_timeout", "write_timeout", "retries", "port"];
        let updates = fields.map(|field| {
            let rig = Arc::clone(&rig);
            tokio::spawn(async move { rig.update("services", &named("name", "s"), json!({ field: 7 })).await })
        });
        for update in updates {
            update.await.unwrap().unwrap();
        }
        let service =
            rig.documents.find(&rig.def("services"), workspace(), &named("name", "s")).await.unwrap().unwrap();
        for field in fields {
            assert_eq!(service.document[field], json!(7), "{backend}: {field}");
        }
    }
}

#[tokio::test]
async fn two_processes_on_one_file_see_each_others_changes() {
    let one = Rig::sqlite();
    let path = one.directory.path().join("test.sqlite");
    let two = Rig::sqlite_at(&path, tempfile::tempdir().unwrap());

    let service = one.insert("services", json!({"name": "s", "host": "a.test"})).await.unwrap();
    two.documents.conductor.keep_up().await;
    assert!(two.plan().service(service.id).is_some());
    // A write of its own comes after what it had not seen yet.
    one.update("services", &Address::Id(service.id), json!({"host": "b.test"})).await.unwrap();
    two.update("services", &Address::Id(service.id), json!({"port": 81})).await.unwrap();
    one.documents.conductor.keep_up().await;
    for rig in [&one, &two] {
        let known = rig.plan();
        let known = known.service(service.id).unwrap();
        assert_eq!((&*known.host, known.port), ("b.test", 81));
    }
    assert_eq!(one.plan().fingerprint(), two.plan().fingerprint());
}

#[tokio::test]
async fn a_counter_counts_until_its_time_is_over() {
    for (backend, rig) in each() {
        let conductor = &rig.documents.conductor;
        assert_eq!(conductor.count("a", 1, 60.0).await.unwrap(), 1, "{backend}");
        assert_eq!(conductor.count("a", 2, 60.0).await.unwrap(), 3, "{backend}");
        assert_eq!(conductor.count("b", 5, -1.0).await.unwrap(), 5, "{backend}");
        assert_eq!(conductor.count("b", 7, 60.0).await.unwrap(), 7, "{backend}: its time was over at once");
        conductor.keep_up().await;
        assert_eq!(conductor.count("a", 1, 60.0).await.unwrap(), 4, "{backend}");
    }
}
