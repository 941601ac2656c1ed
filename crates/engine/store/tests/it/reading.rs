//! Pages, tags and children.

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
