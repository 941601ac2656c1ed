//! Pages, tags and children.

use gibbon_store::rules::{Condition, Write};
use gibbon_store::{Query, Tagged, Tags};
use serde_json::json;
use uuid::Uuid;

use crate::rig::{Rig, each, workspace};

fn query(entity: &str) -> Query {
    Query {
        entity: entity.into(),
        workspace: Some(workspace()),
        parent: None,
        tags: Tags::Whatever,
        after: None,
        limit: 100,
    }
}

fn id(n: u8) -> Uuid {
    Uuid::from_bytes([n; 16])
}

async fn services(rig: &Rig) {
    for n in 1..=5u8 {
        let tags: Vec<&str> =
            [("odd", n % 2 == 1), ("low", n < 3)].iter().filter(|(_, has)| *has).map(|(tag, _)| *tag).collect();
        rig.insert("services", json!({"id": id(n).to_string(), "host": "a.test", "tags": tags})).await.unwrap();
    }
}

async fn ids(rig: &Rig, query: Query) -> Vec<u8> {
    let page = rig.documents.page(&rig.def(&query.entity.clone()), query).await.unwrap();
    page.iter().map(|(id, _)| id.as_bytes()[0]).collect()
}

#[tokio::test]
async fn pages_come_by_identifier() {
    for (backend, rig) in each() {
        services(&rig).await;
        assert_eq!(ids(&rig, query("services")).await, [1, 2, 3, 4, 5], "{backend}");
        assert_eq!(ids(&rig, Query { limit: 2, ..query("services") }).await, [1, 2], "{backend}");
        assert_eq!(ids(&rig, Query { limit: 2, after: Some(id(2)), ..query("services") }).await, [3, 4], "{backend}");
        assert_eq!(ids(&rig, Query { workspace: Some(id(9)), ..query("services") }).await, [0; 0], "{backend}");
    }
}

/// A row is rewritten as if its time had ended in the past.
async fn end(rig: &Rig, entity: &str, id: Uuid) {
    let mut document = rig.find(entity, id).await.unwrap().fields();
    document.insert("expires_at".into(), json!(1.0));
    let (entity, document) = (entity.into(), std::sync::Arc::new(document.into()));
    let put = Write::Put { entity, workspace: workspace(), id, document, condition: Condition::Whatever };
    rig.documents.conductor.commit(vec![put]).await.unwrap();
}

#[tokio::test]
async fn a_page_is_full_whatever_has_ended_on_it() {
    for (backend, rig) in each() {
        let consumer = rig.insert("consumers", json!({"username": "bob"})).await.unwrap().id.to_string();
        for n in 1..=6u8 {
            let key = json!({"id": id(n).to_string(), "key": n.to_string(), "consumer": {"id": consumer}});
            rig.insert("keyauth_credentials", key).await.unwrap();
        }
        for n in [1, 3, 4] {
            end(&rig, "keyauth_credentials", id(n)).await;
        }
        assert_eq!(ids(&rig, Query { limit: 2, ..query("keyauth_credentials") }).await, [2, 5], "{backend}");
        assert_eq!(ids(&rig, Query { limit: 4, ..query("keyauth_credentials") }).await, [2, 5, 6], "{backend}");
    }
}

#[tokio::test]
async fn what_is_written_from_texts_reads_as_what_is_shown() {
    for (backend, rig) in each() {
        services(&rig).await;
        let insert = async |entity, document| rig.insert(entity, document).await.unwrap();
        insert(
            "routes",
            json!({"paths": ["/ü\"\n"], "service": {"id": id(1).to_string()}, "headers": {"b": ["1"], "a": ["2"]}}),
        )
        .await;
        let consumer = insert("consumers", json!({"username": "bob"})).await.id.to_string();
        let consumer = json!({"id": consumer});
        insert("keyauth_credentials", json!({"key": "a", "consumer": consumer})).await;
        insert("keyauth_credentials", json!({"key": "b", "ttl": 1000, "consumer": consumer})).await;
        insert("basicauth_credentials", json!({"username": "u", "password": "p", "consumer": consumer})).await;
        insert("upstreams", json!({"name": "u", "healthchecks": {"threshold": 1.5}})).await;
        insert("vaults", json!({"name": "hcv", "prefix": "mine", "config": {"token": "t"}})).await;
        let kinds = ["services", "routes", "keyauth_credentials", "basicauth_credentials", "upstreams", "vaults"];
        for kind in kinds {
            let def = rig.def(kind);
            let shown = rig.documents.page(&def, query(kind)).await.unwrap();
            let written = rig.documents.page_texts(&def, query(kind)).await.unwrap();
            let read: Vec<_> = written.iter().map(|(id, text)| (*id, serde_json::from_str(text).unwrap())).collect();
            assert_eq!(read, shown, "{backend} {kind}");
            assert!(
                !read.is_empty() && !written.iter().any(|(_, text)| text.contains("expires_at")),
                "{backend} {kind}"
            );
        }
    }
}

#[tokio::test]
async fn tags_filter_by_all_or_any() {
    for (backend, rig) in each() {
        services(&rig).await;
        let tags = || vec!["odd".to_owned(), "low".to_owned()];
        assert_eq!(ids(&rig, Query { tags: Tags::All(tags()), ..query("services") }).await, [1], "{backend}");
        assert_eq!(ids(&rig, Query { tags: Tags::Any(tags()), ..query("services") }).await, [1, 2, 3, 5], "{backend}");
        let later = Query { tags: Tags::Any(tags()), after: Some(id(1)), limit: 2, ..query("services") };
        assert_eq!(ids(&rig, later).await, [2, 3], "{backend}");
    }
}

#[tokio::test]
async fn children_come_by_parent() {
    for (backend, rig) in each() {
        services(&rig).await;
        for n in 11..=14u8 {
            let service = json!({"id": id(1 + n % 2).to_string()});
            rig.insert("routes", json!({"id": id(n).to_string(), "paths": ["/"], "service": service})).await.unwrap();
        }
        let of = |n| Query { parent: Some(("service".into(), id(n))), ..query("routes") };
        assert_eq!(ids(&rig, of(1)).await, [12, 14], "{backend}");
        assert_eq!(ids(&rig, Query { after: Some(id(11)), ..of(2) }).await, [13], "{backend}");
        rig.update("routes", &gibbon_store::Address::Id(id(13)), json!({"service": {"id": id(1).to_string()}}))
            .await
            .unwrap();
        assert_eq!(ids(&rig, of(1)).await, [12, 13, 14], "{backend}");
    }
}

#[tokio::test]
async fn every_tag_of_every_entity_is_listed() {
    for (backend, rig) in each() {
        services(&rig).await;
        rig.insert("consumers", json!({"id": id(1).to_string(), "username": "bob", "tags": ["odd"]})).await.unwrap();
        let read = |tag: Option<&'static str>, after: Option<Tagged>| {
            rig.documents.conductor.read(move |rows| rows.tagged(workspace(), tag, after.as_ref(), 3))
        };
        let first = read(None, None).await.unwrap();
        let shown: Vec<(String, u8, String)> =
            first.iter().map(|t| (t.entity.to_string(), t.id.as_bytes()[0], t.tag.to_string())).collect();
        let expected = [("consumers", 1, "odd"), ("services", 1, "low"), ("services", 1, "odd")];
        assert_eq!(shown, expected.map(|(e, n, t)| (e.to_owned(), n, t.to_owned())), "{backend}");
        let next = read(None, first.last().cloned()).await.unwrap();
        assert_eq!(next.first().map(|t| t.id.as_bytes()[0]), Some(2), "{backend}");
        assert_eq!(read(Some("low"), None).await.unwrap().len(), 2, "{backend}");
    }
}
