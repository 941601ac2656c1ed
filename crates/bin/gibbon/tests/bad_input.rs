//! What the Admin API does with input that cannot be used: the right answer, all faults in it, and nothing stored.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::{Duration, Instant};

use gibbon_testkit::client::{self, Client, Response};
use gibbon_testkit::gateway::{Gateway, Settings};
use gibbon_testkit::upstream;
use serde_json::{Value, json};

const NOBODY: &str = "10000000-0000-4000-8000-00000000dead";

fn database() -> Gateway {
    Settings::new().set("database", "sqlite").start().unwrap()
}

fn call(gateway: &Gateway, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = gateway.admin(method, path, &body).unwrap();
    (answer.status(), answer.json().unwrap_or_default())
}

/// A call whose body is any bytes of any type.
fn send(gateway: &Gateway, line: &str, kind: &str, body: &[u8]) -> (u16, Value) {
    let kind = if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
    let head =
        format!("{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{kind}Content-Length: {}\r\n\r\n", body.len());
    let answer: Response = client::once(gateway.addresses().admin, [head.as_bytes(), body].concat()).unwrap();
    (answer.status(), answer.json().unwrap_or_default())
}

fn names(gateway: &Gateway, kind: &str) -> Vec<Value> {
    let list = call(gateway, "GET", &format!("/{kind}"), &Value::Null).1;
    list["data"].as_array().unwrap().iter().map(|entity| entity["name"].clone()).collect()
}

#[test]
fn bytes_that_are_no_text_are_refused_wherever_they_stand() {
    let gateway = database();
    let form = "application/x-www-form-urlencoded";
    let message = |text: &str| (400, json!({ "message": text }));
    assert_eq!(
        send(&gateway, "POST /services", "application/json", b"{\"name\":\"\xff\",\"host\":\"a.test\"}"),
        message("Cannot parse JSON body")
    );
    for body in [&b"name=\xff&host=a.test"[..], b"name=%ff&host=a.test", b"na%ffme=a&host=a.test"] {
        assert_eq!(send(&gateway, "POST /services", form, body), message("Cannot parse form body"));
    }
    let part = b"--B\r\nContent-Disposition: form-data; name=host\r\n\r\n\xff.test\r\n--B--\r\n";
    assert_eq!(
        send(&gateway, "POST /services", "multipart/form-data; boundary=B", part),
        message("Cannot parse multipart body")
    );
    assert_eq!(
        send(&gateway, "PUT /services/%ff", "application/json", br#"{"host":"a.test"}"#),
        message("the path is not valid UTF-8")
    );
    let (status, answer) = call(&gateway, "GET", "/services?tags=%ff", &Value::Null);
    assert_eq!((status, &answer["code"]), (400, &json!(11)), "{answer}");
    assert!(names(&gateway, "services").is_empty());
}

#[test]
fn one_answer_names_all_faults() {
    let gateway = database();
    let bad =
        json!({"name": "a b", "host": 5, "port": 70_000, "protocol": "gopher", "nonsense": true, "tags": ["a", 1]});
    for (method, path) in [("POST", "/services"), ("PUT", "/services/x"), ("POST", "/schemas/services/validate")] {
        let (status, answer) = call(&gateway, method, path, &bad);
        assert_eq!((status, &answer["code"]), (400, &json!(2)), "{method} {path}: {answer}");
        let fields = answer["fields"].as_object().unwrap();
        for field in ["host", "port", "protocol", "nonsense", "tags"] {
            assert!(fields.contains_key(field), "{method} {path}: {field} in {answer}");
        }
        assert!(answer["message"].as_str().unwrap().contains("schema violations ("), "{answer}");
    }
    assert!(names(&gateway, "services").is_empty());
}

#[test]
fn what_does_not_exist_is_said_in_the_way_of_each_verb() {
    let gateway = database();
    let path = format!("/services/{NOBODY}");
    assert_eq!(call(&gateway, "GET", &path, &Value::Null), (404, json!({"message": "Not found"})));
    assert_eq!(call(&gateway, "PATCH", &path, &json!({"port": 1})).1["code"], 6);
    assert_eq!(call(&gateway, "DELETE", &path, &Value::Null).0, 204, "it is not there afterwards either");
    assert_eq!(call(&gateway, "GET", &format!("{path}/routes"), &Value::Null).0, 404);
    assert_eq!(call(&gateway, "POST", &format!("{path}/routes"), &json!({"paths": ["/"]})).0, 404);
    assert_eq!(call(&gateway, "GET", "/certificates/not-a-name", &Value::Null).1["message"], "SNI not found");
    assert_eq!(call(&gateway, "GET", "/ca_certificates/no-uuid", &Value::Null).1["code"], 1);

    let route = |service: Value| json!({"paths": ["/"], "service": service});
    let (status, answer) = call(&gateway, "POST", "/routes", &route(json!({"id": NOBODY})));
    assert_eq!((status, &answer["code"]), (400, &json!(4)), "{answer}");
    let (status, answer) = call(&gateway, "POST", "/routes", &route(json!({"name": "nobody"})));
    assert_eq!((status, &answer["code"]), (400, &json!(13)), "{answer}");
    let (status, answer) = call(&gateway, "POST", "/routes", &route(json!({"id": "x"})));
    assert_eq!((status, &answer["code"]), (400, &json!(2)), "{answer}");
    assert!(names(&gateway, "routes").is_empty());
}

#[test]
fn a_name_that_is_taken_is_a_conflict_with_every_verb_and_changes_nothing() {
    let gateway = database();
    for name in ["one", "two"] {
        assert_eq!(call(&gateway, "POST", "/services", &json!({"name": name, "host": "a.test"})).0, 201);
    }
    let taken = json!({"name": "one", "host": "b.test"});
    for (method, path) in
        [("POST", "/services".to_owned()), ("PUT", format!("/services/{NOBODY}")), ("PATCH", "/services/two".into())]
    {
        let (status, answer) = call(&gateway, method, &path, &taken);
        let expected = json!({
            "code": 5, "name": "unique constraint violation", "fields": {"name": "one"},
            "message": "UNIQUE violation detected on '{name=\"one\"}'",
        });
        assert_eq!((status, answer), (409, expected), "{method}");
    }
    let id = call(&gateway, "GET", "/services/one", &Value::Null).1["id"].clone();
    let (status, answer) = call(&gateway, "POST", "/services", &json!({"id": id, "host": "b.test"}));
    assert_eq!((status, &answer["code"]), (409, &json!(3)), "{answer}");
    for name in ["one", "two"] {
        assert_eq!(call(&gateway, "GET", &format!("/services/{name}"), &Value::Null).1["host"], "a.test");
    }
}

#[test]
fn of_writes_that_belong_together_all_are_made_or_none() {
    let gateway = database();
    let (cert, key) = gibbon_testkit::certificates::self_signed("a.test").unwrap();
    let certificate = |names: Value| json!({"cert": cert, "key": key, "snis": names});
    assert_eq!(call(&gateway, "POST", "/certificates", &certificate(json!(["a.test"]))).0, 201);
    // The second name is taken: neither the certificate nor the first name is there afterwards.
    assert_ne!(call(&gateway, "POST", "/certificates", &certificate(json!(["b.test", "a.test"]))).0, 201);
    let count =
        |kind: &str| call(&gateway, "GET", &format!("/{kind}"), &Value::Null).1["data"].as_array().unwrap().len();
    assert_eq!((count("certificates"), count("snis")), (1, 1));

    // A client that goes away in the middle of its body has asked for nothing.
    let mut client = Client::connect(gateway.addresses().admin).unwrap();
    client.send("POST /services HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"host\":\"a.test\"").unwrap();
    drop(client);
    assert!(names(&gateway, "services").is_empty());
}

#[test]
fn plugins_that_want_to_run_before_each_other_keep_the_order_of_their_priorities() {
    let upstream = upstream::echo().unwrap();
    let gateway = database();
    let url = format!("http://{}", upstream.address());
    assert_eq!(call(&gateway, "POST", "/services", &json!({"name": "s", "url": url})).0, 201);
    assert_eq!(call(&gateway, "POST", "/services/s/routes", &json!({"paths": ["/"]})).0, 201);
    for (name, other) in [("correlation-id", "cors"), ("cors", "correlation-id")] {
        let plugin = json!({"name": name, "ordering": {"before": {"access": [other]}}});
        let (status, answer) = call(&gateway, "POST", "/services/s/plugins", &plugin);
        assert_eq!(status, 201, "{answer}");
    }
    assert_eq!(gateway.get("a.test", "/").unwrap().status(), 200);
}

#[test]
fn while_another_process_holds_the_embedded_database_writes_say_so_and_go_on_afterwards() {
    let prefix = tempfile::tempdir().unwrap();
    let gateway =
        Settings::new().set("database", "sqlite").set("prefix", prefix.path().display().to_string()).start().unwrap();
    assert_eq!(call(&gateway, "POST", "/services", &json!({"name": "s", "host": "a.test"})).0, 201);
    let other = rusqlite::Connection::open(prefix.path().join("gibbon.sqlite")).unwrap();
    other.busy_timeout(Duration::from_secs(60)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();

    let (status, answer) = call(&gateway, "POST", "/services", &json!({"name": "t", "host": "a.test"}));
    assert_eq!(status, 503, "{answer}");
    assert_eq!(answer["message"], "the datastore is not available: database is locked");
    assert_eq!(call(&gateway, "GET", "/services/s", &Value::Null).0, 200, "what is there can be read");

    other.execute_batch("ROLLBACK").unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while call(&gateway, "POST", "/services", &json!({"host": "a.test"})).0 != 201 {
        assert!(Instant::now() < deadline, "writes do not succeed again");
    }
    assert_eq!(call(&gateway, "GET", "/services/t", &Value::Null).0, 404, "what was refused was not done");
}
