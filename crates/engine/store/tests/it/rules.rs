//! Unique values, references, and what a deletion takes with it.

use gibbon_store::{ChangeError, Violation};
use serde_json::json;
use uuid::Uuid;

use crate::rig::{each, fields, named, text, workspace};

fn violation(error: ChangeError) -> Violation {
    match error {
        ChangeError::Violation(violation) => violation,
        other => panic!("not a violation: {other:?}"),
    }
}

#[tokio::test]
async fn a_name_is_taken_once_and_free_again_after_a_deletion() {
    for (backend, rig) in each() {
        let first = rig.insert("services", json!({"name": "s", "host": "a.test"})).await.unwrap();
        let second = rig.insert("services", json!({"name": "s", "host": "b.test"})).await.unwrap_err();
        assert_eq!(violation(second), Violation::Unique { fields: fields(json!({"name": "s"})) }, "{backend}");

        rig.update("services", &named("name", "s"), json!({"name": "t"})).await.unwrap();
        rig.insert("services", json!({"name": "s", "host": "b.test"})).await.unwrap();
        rig.delete("services", first.id).await.unwrap();
        rig.insert("services", json!({"name": "t", "host": "c.test"})).await.unwrap();
    }
}

#[tokio::test]
async fn an_identifier_is_taken_once() {
    for (backend, rig) in each() {
        let service = json!({"id": Uuid::from_bytes([1; 16]).to_string(), "host": "a.test"});
        rig.insert("services", service.clone()).await.unwrap();
        let again = rig.insert("services", service).await.unwrap_err();
        assert!(matches!(violation(again), Violation::PrimaryKey { .. }), "{backend}");
    }
}

#[tokio::test]
async fn a_reference_must_lead_somewhere_by_identifier_or_by_name() {
    for (backend, rig) in each() {
        let nowhere = json!({"paths": ["/"], "service": {"id": Uuid::from_bytes([9; 16]).to_string()}});
        let error = rig.insert("routes", nowhere).await.unwrap_err();
        assert!(matches!(violation(error), Violation::ForeignKey { .. }), "{backend}");
        let error = rig.insert("routes", json!({"paths": ["/"], "service": {"name": "s"}})).await.unwrap_err();
        assert!(matches!(error, ChangeError::Unresolved { .. }), "{backend}");

        let service = rig.insert("services", json!({"name": "s", "host": "a.test"})).await.unwrap();
        let route = rig.insert("routes", json!({"paths": ["/"], "service": {"name": "s"}})).await.unwrap();
        assert_eq!(route.document["service"], json!({"id": service.id.to_string()}), "{backend}");
    }
}

#[tokio::test]
async fn a_parent_with_children_that_hold_on_to_it_stays() {
    for (backend, rig) in each() {
        let service = rig.insert("services", json!({"host": "a.test"})).await.unwrap();
        let route = json!({"paths": ["/"], "service": {"id": service.id.to_string()}});
        let route = rig.insert("routes", route).await.unwrap();
        let error = rig.delete("services", service.id).await.unwrap_err();
        let expected = Violation::Referenced { entity: "services".into(), by: "routes".into() };
        assert_eq!(violation(error), expected, "{backend}");

        rig.delete("routes", route.id).await.unwrap();
        assert!(rig.delete("services", service.id).await.unwrap(), "{backend}");
        assert!(!rig.delete("services", service.id).await.unwrap(), "{backend}");
    }
}

#[tokio::test]
async fn a_consumer_takes_its_credentials_and_groups_with_it() {
    for (backend, rig) in each() {
        let consumer = rig.insert("consumers", json!({"username": "bob"})).await.unwrap();
        let of = json!({"id": consumer.id.to_string()});
        let key = rig.insert("keyauth_credentials", json!({"key": "k", "consumer": of})).await.unwrap();
        let group = rig.insert("acls", json!({"group": "g", "consumer": of})).await.unwrap();
        rig.delete("consumers", consumer.id).await.unwrap();
        assert!(rig.find("keyauth_credentials", key.id).await.is_none(), "{backend}");
        assert!(rig.find("acls", group.id).await.is_none(), "{backend}");
        assert_eq!(rig.plan().directories.consumer_count(), 0, "{backend}");
    }
}

#[tokio::test]
async fn a_target_is_unique_within_its_upstream() {
    for (backend, rig) in each() {
        let upstream = |name| json!({"name": name});
        let (a, b) = (
            rig.insert("upstreams", upstream("a")).await.unwrap(),
            rig.insert("upstreams", upstream("b")).await.unwrap(),
        );
        let target = |of: Uuid| json!({"target": "10.0.0.1:80", "upstream": {"id": of.to_string()}});
        rig.insert("targets", target(a.id)).await.unwrap();
        rig.insert("targets", target(b.id)).await.unwrap();
        let error = rig.insert("targets", target(a.id)).await.unwrap_err();
        let expected = fields(json!({"target": "10.0.0.1:80", "upstream": {"id": a.id.to_string()}}));
        assert_eq!(violation(error), Violation::Unique { fields: expected }, "{backend}");
    }
}

#[tokio::test]
async fn a_key_past_its_time_is_absent_and_its_value_free() {
    for (backend, rig) in each() {
        let consumer = rig.insert("consumers", json!({"username": "bob"})).await.unwrap();
        let of = json!({"id": consumer.id.to_string()});
        let key = rig.insert("keyauth_credentials", json!({"key": "k", "ttl": 100, "consumer": of})).await.unwrap();
        let shown = rig.documents.show(&rig.def("keyauth_credentials"), key.clone()).await.unwrap();
        assert!(shown["ttl"].as_i64().is_some_and(|ttl| (99..=100).contains(&ttl)), "{backend}: {shown}");

        // A moment that is over: the row is rewritten as if its time had ended in the past.
        let mut document = key.fields();
        document.insert("expires_at".into(), json!(1.0));
        let put = gibbon_store::rules::Write::Put {
            entity: "keyauth_credentials".into(),
            workspace: workspace(),
            id: key.id,
            document: std::sync::Arc::new(document.into()),
            condition: gibbon_store::rules::Condition::Whatever,
        };
        rig.documents.conductor.commit(vec![put]).await.unwrap();
        assert!(rig.find("keyauth_credentials", key.id).await.is_none(), "{backend}");
        rig.insert("keyauth_credentials", json!({"key": "k", "consumer": of})).await.unwrap();
    }
}

#[tokio::test]
async fn an_authority_that_a_service_lists_stays() {
    for (backend, rig) in each() {
        let certificate = rcgen::generate_simple_ca();
        let authority = rig.insert("ca_certificates", json!({"cert": certificate})).await.unwrap();
        let service = json!({"url": "https://a.test", "ca_certificates": [authority.id.to_string()]});
        let service = rig.insert("services", service).await.unwrap();
        let error = rig.delete("ca_certificates", authority.id).await.unwrap_err();
        let expected = Violation::Listed { id: authority.id, by: "services".into(), by_id: service.id };
        assert_eq!(violation(error), expected, "{backend}");
    }
}

mod rcgen {
    use ::rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

    pub fn generate_simple_ca() -> String {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    }

    pub fn generate(name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

#[tokio::test]
async fn the_names_of_a_certificate_follow_its_list() {
    for (backend, rig) in each() {
        let (cert, key) = rcgen::generate("a.test");
        let document = json!({"cert": cert, "key": key, "snis": ["b.test", "a.test"]});
        let certificate = rig.insert("certificates", document).await.unwrap();
        let def = rig.def("certificates");
        let names = async || {
            rig.documents.show(&def, rig.find("certificates", certificate.id).await.unwrap()).await.unwrap()["snis"]
                .clone()
        };
        assert_eq!(names().await, json!(["a.test", "b.test"]), "{backend}");

        let address = gibbon_store::Address::Id(certificate.id);
        rig.update("certificates", &address, json!({"snis": ["b.test", "c.test"]})).await.unwrap();
        assert_eq!(names().await, json!(["b.test", "c.test"]), "{backend}");
        rig.update("certificates", &address, json!({"tags": ["t"]})).await.unwrap();
        assert_eq!(names().await, json!(["b.test", "c.test"]), "{backend}: a change without a list leaves it");

        let other = json!({"cert": cert, "key": key, "snis": ["d.test"]});
        let other = rig.insert("certificates", other).await.unwrap();
        let taken = rig.update("certificates", &gibbon_store::Address::Id(other.id), json!({"snis": ["c.test"]})).await;
        let message = format!("c.test already associated with existing certificate '{}'", certificate.id);
        assert!(taken.unwrap_err().to_string().contains(&message), "{backend}");

        rig.delete("certificates", certificate.id).await.unwrap();
        let sni = rig.documents.find(&rig.def("snis"), workspace(), &named("name", "c.test")).await.unwrap();
        assert!(sni.is_none(), "{backend}");
    }
}

#[tokio::test]
async fn a_replaced_entity_takes_defaults_where_nothing_is_given() {
    for (backend, rig) in each() {
        let address = named("name", "s");
        let def = rig.def("services");
        let first = rig
            .documents
            .upsert(&def, workspace(), &address, fields(json!({"host": "a.test", "port": 81})))
            .await
            .unwrap();
        let second =
            rig.documents.upsert(&def, workspace(), &address, fields(json!({"host": "b.test"}))).await.unwrap();
        assert_eq!(first.id, second.id, "{backend}");
        assert_eq!((text(&second, "name"), second.document["port"].clone()), ("s".into(), json!(80)), "{backend}");
    }
}
