//! Where the verbs of the Admin API are irregular: what PUT fills in, what PATCH merges, what names stand for, and which
//! paths lead to the parent of what they name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use gibbon_testkit::client;
use gibbon_testkit::gateway::{Gateway, Settings};
use serde_json::{Value, json};

const ID: &str = "10000000-0000-4000-8000-000000000001";
const OTHER: &str = "20000000-0000-4000-8000-000000000001";

fn database() -> Gateway {
    Settings::new().set("database", "sqlite").start().unwrap()
}

fn call(gateway: &Gateway, method: &str, path: &str, body: Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = gateway.admin(method, path, &body).unwrap();
    (answer.status(), answer.json().unwrap_or_default())
}

/// A call that succeeds.
fn done(gateway: &Gateway, method: &str, path: &str, body: Value) -> Value {
    let (status, answer) = call(gateway, method, path, body);
    assert!(status < 300, "{method} {path}: {status} {answer}");
    answer
}

fn form(gateway: &Gateway, line: &str, body: &str) -> Value {
    let kind = "Content-Type: application/x-www-form-urlencoded\r\nConnection: close";
    let head = format!("{line} HTTP/1.1\r\nHost: a\r\n{kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let answer = client::once(gateway.addresses().admin, head).unwrap();
    assert!(answer.status() < 300, "{line}: {}", answer.text());
    answer.json().unwrap()
}

#[test]
fn put_replaces_all_and_the_path_says_what_is_meant() {
    let gateway = database();
    let named = done(&gateway, "PUT", "/services/one", json!({"host": "a.test", "id": ID}));
    assert_eq!(named["name"], "one");
    assert_ne!(named["id"], ID, "a name in the path wins over an id in the body");
    let again = done(&gateway, "PUT", "/services/one", json!({"host": "b.test", "name": "other"}));
    assert_eq!((&again["id"], &again["name"]), (&named["id"], &json!("one")));

    let first = done(
        &gateway,
        "PUT",
        &format!("/services/{ID}"),
        json!({"host": "a.test", "id": OTHER, "name": "two", "retries": 1}),
    );
    assert_eq!((&first["id"], &first["retries"]), (&json!(ID), &json!(1)));
    let replaced = done(&gateway, "PUT", &format!("/services/{ID}"), json!({"host": "a.test"}));
    assert_eq!(
        (&replaced["name"], &replaced["retries"]),
        (&Value::Null, &json!(5)),
        "what is not sent is at its default"
    );

    let route = json!({"paths": ["/a"], "service": {"id": OTHER}});
    let nested = done(&gateway, "PUT", &format!("/services/{ID}/routes/r"), route);
    assert_eq!((&nested["name"], &nested["service"]["id"]), (&json!("r"), &json!(ID)), "and a parent in it");
}

#[test]
fn patch_merges_records_and_replaces_everything_else() {
    let gateway = database();
    done(&gateway, "POST", "/services", json!({"name": "s", "host": "a.test", "tags": ["a", "b"], "path": "/p"}));
    let changed =
        done(&gateway, "PATCH", "/services/s", json!({"tags": ["c"], "path": null, "id": ID, "created_at": 1}));
    assert_eq!((&changed["tags"], &changed["path"], &changed["created_at"]), (&json!(["c"]), &Value::Null, &json!(1)));
    assert_ne!(changed["id"], ID, "an entity keeps its id");
    let changed = done(&gateway, "PATCH", "/services/s", json!({"url": "https://b.test"}));
    assert_eq!(
        (&changed["protocol"], &changed["host"], &changed["port"]),
        (&json!("https"), &json!("b.test"), &json!(443))
    );

    done(&gateway, "POST", "/services/s/routes", json!({"name": "r", "headers": {"x-a": ["1"], "x-b": ["2"]}}));
    let changed = done(&gateway, "PATCH", "/routes/r", json!({"headers": {"x-c": ["3"]}}));
    assert_eq!(changed["headers"], json!({"x-c": ["3"]}), "a map is a value");

    done(&gateway, "POST", "/upstreams", json!({"name": "u"}));
    let changed = done(&gateway, "PATCH", "/upstreams/u", json!({"healthchecks": {"active": {"timeout": 9}}}));
    assert_eq!(changed["healthchecks"]["active"]["timeout"], 9);
    assert_eq!(changed["healthchecks"]["active"]["concurrency"], 10, "its neighbours stay");

    let plugin = done(&gateway, "POST", "/plugins", json!({"name": "rate-limiting", "config": {"minute": 5}}));
    let path = format!("/plugins/{}", plugin["id"].as_str().unwrap());
    let changed = done(&gateway, "PATCH", &path, json!({"config": {"hour": 9}}));
    assert_eq!(
        (&changed["config"]["minute"], &changed["config"]["hour"]),
        (&json!(5), &json!(9)),
        "its name need not be told"
    );
    let (status, answer) = call(&gateway, "PATCH", &path, json!({"config": {"minute": null, "hour": null}}));
    assert_eq!(status, 400);
    assert!(answer["fields"]["@entity"][0].as_str().unwrap().starts_with("when updating, at least one of"), "{answer}");
    assert_eq!(
        call(&gateway, "PUT", &path, json!({"config": {"minute": 5}})).1["fields"]["name"],
        "required field missing"
    );
    assert_eq!(done(&gateway, "PUT", &path, json!({"name": "cors"}))["name"], "cors");
}

#[test]
fn the_path_of_a_childs_parent_leads_to_the_parent() {
    let gateway = database();
    done(&gateway, "POST", "/services", json!({"name": "s", "host": "a.test"}));
    done(&gateway, "POST", "/services/s/routes", json!({"name": "r", "paths": ["/"]}));
    assert_eq!(done(&gateway, "GET", "/routes/r/service", Value::Null)["name"], "s");
    assert_eq!(done(&gateway, "PATCH", "/routes/r/service", json!({"retries": 7}))["retries"], 7);
    let put = done(&gateway, "PUT", "/routes/r/service", json!({"host": "b.test"}));
    assert_eq!((&put["host"], &put["retries"], &put["name"]), (&json!("b.test"), &json!(5), &Value::Null));
    assert_eq!(call(&gateway, "DELETE", "/routes/r/service", Value::Null).0, 405);
    done(&gateway, "PATCH", "/routes/r", json!({"service": null}));
    for method in ["GET", "DELETE"] {
        assert_eq!(call(&gateway, method, "/routes/r/service", Value::Null).0, 404, "{method}");
    }
}

#[test]
fn targets_go_by_their_address_and_put_changes_only_what_is_there() {
    let gateway = database();
    done(&gateway, "POST", "/upstreams", json!({"name": "u"}));
    let made = done(&gateway, "POST", "/upstreams/u/targets", json!({"target": "10.0.0.1"}));
    assert_eq!((&made["target"], &made["weight"]), (&json!("10.0.0.1:8000"), &json!(100)));
    for (method, weight) in [("PUT", 5), ("PATCH", 7)] {
        let changed = done(&gateway, method, "/upstreams/u/targets/10.0.0.1:8000", json!({"weight": weight}));
        assert_eq!((&changed["id"], &changed["weight"]), (&made["id"], &json!(weight)), "{method}");
    }
    assert_eq!(call(&gateway, "PUT", "/upstreams/u/targets/10.0.0.9:8000", json!({"weight": 5})).0, 404);
    assert_eq!(call(&gateway, "DELETE", "/upstreams/u/targets/nobody", Value::Null).0, 204);
    for path in ["/targets".to_owned(), format!("/targets/{}", made["id"].as_str().unwrap())] {
        assert_eq!(call(&gateway, "GET", &path, Value::Null).0, 404, "{path}");
    }
}

#[test]
fn what_belongs_to_a_consumer_goes_by_its_own_name_below_it() {
    let gateway = database();
    done(&gateway, "POST", "/consumers", json!({"username": "bob", "custom_id": "b1"}));
    let found = done(&gateway, "GET", "/consumers?custom_id=b1", Value::Null);
    assert_eq!((found["data"].as_array().unwrap().len(), &found["next"]), (1, &Value::Null));
    assert_eq!(done(&gateway, "GET", "/consumers?custom_id=nobody", Value::Null)["data"], json!([]));
    assert_eq!(call(&gateway, "GET", "/consumers?custom_id=", Value::Null).0, 400);

    let group = done(&gateway, "PUT", "/consumers/bob/acls/g1", json!({}));
    assert_eq!(done(&gateway, "GET", "/consumers/bob/acls/g1", Value::Null)["id"], group["id"]);
    let key = done(&gateway, "PUT", "/consumers/bob/key-auth/k1", json!({}));
    let same = done(&gateway, "PUT", "/consumers/bob/key-auth/k1", json!({"tags": ["a"]}));
    assert_eq!((&same["id"], &same["key"]), (&key["id"], &json!("k1")));
    assert_eq!(done(&gateway, "PATCH", "/key-auths/k1", json!({"key": "k2"}))["id"], key["id"]);
    assert_eq!(done(&gateway, "GET", "/key-auths/k2/consumer", Value::Null)["username"], "bob");
    assert_eq!(call(&gateway, "GET", "/consumers/bob/key-auth/k1", Value::Null).0, 404);
    done(&gateway, "DELETE", "/consumers/bob", Value::Null);
    for kind in ["acls", "key-auths"] {
        assert_eq!(done(&gateway, "GET", &format!("/{kind}"), Value::Null)["data"], json!([]), "{kind} go with it");
    }
}

#[test]
fn forms_say_the_same_as_json() {
    let gateway = database();
    let service =
        form(&gateway, "POST /services", "name=f&url=http://a.test:81/p&tags[]=a&tags[]=b&retries=3&enabled=false");
    assert_eq!(service["tags"], json!(["a", "b"]));
    assert_eq!((&service["port"], &service["retries"], &service["enabled"]), (&json!(81), &json!(3), &json!(false)));
    let service = form(&gateway, "PATCH /services/f", "tags=&path=");
    assert_eq!((&service["tags"], &service["path"]), (&Value::Null, &Value::Null), "an empty text is null");
    let body = "name=r&service.name=f&paths[1]=/a&paths[2]=/b&headers.x-a[]=1&headers[x-b][]=2&strip_path=false";
    let route = form(&gateway, "POST /routes", body);
    assert_eq!((&route["paths"], &route["strip_path"]), (&json!(["/a", "/b"]), &json!(false)));
    assert_eq!(route["headers"], json!({"x-a": ["1"], "x-b": ["2"]}));
    assert_eq!(route["service"]["id"], service["id"]);
    let plugin = form(&gateway, "POST /routes/r/plugins", "name=rate-limiting&config.minute=5&config.redis.port=7");
    assert_eq!((&plugin["config"]["minute"], &plugin["config"]["redis"]["port"]), (&json!(5), &json!(7)));
}
