//! No phantom differences: what a client gets back is what it sent with the defaults that `/schemas` publishes, and
//! nothing else. Tools that compare a file with a gateway rely on it: a difference they did not make would be "repaired"
//! with every run.
//!
//! For every entity and every plugin: the least that can be sent, and then variants of it with some optional fields set.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use gibbon_testkit::client::Client;
use gibbon_testkit::gateway::{Gateway, Settings};
use serde_json::{Map, Value, json};

type Object = Map<String, Value>;

/// How many variants of each document are sent.
const VARIANTS: usize = 8;

/// Filled by the gateway, and known to clients as such.
const AUTOMATIC: [&str; 4] = ["id", "created_at", "updated_at", "ttl"];

struct Admin {
    client: Client,
    _gateway: Gateway,
}

impl Admin {
    fn start() -> Admin {
        let gateway = Settings::new().set("database", "sqlite").start().unwrap();
        Admin { client: Client::connect(gateway.addresses().admin).unwrap(), _gateway: gateway }
    }

    fn call(&mut self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let body = body.map(ToString::to_string).unwrap_or_default();
        let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        let head = format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{kind}Content-Length: {}\r\n\r\n", body.len());
        let answer = self.client.exchange(head + &body).unwrap();
        let text = answer.text();
        (answer.status(), serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    fn get(&mut self, path: &str) -> Value {
        let (status, answer) = self.call("GET", path, None);
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    fn put(&mut self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.call("PUT", path, Some(body));
        assert_eq!(status, 200, "PUT {path} {body}: {answer}");
        answer
    }
}

/// The fields of a published schema, by name.
fn fields(schema: &Value) -> Vec<(&str, &Value)> {
    let list = schema["fields"].as_array().into_iter().flatten();
    list.filter_map(|field| field.as_object()?.iter().next()).map(|(name, field)| (name.as_str(), field)).collect()
}

/// A document with the defaults that its schema publishes: what a client expects to get back.
fn with_defaults(schema: &Value, given: &Object) -> Object {
    let mut whole = given.clone();
    for (name, field) in fields(schema) {
        let value = whole.entry(name.to_owned()).or_insert(Value::Null);
        if value.is_null() && !field["default"].is_null() {
            *value = field["default"].clone();
        }
        if field["type"] == "record" && field["fields"].is_array() && (value.is_object() || field["required"] != false)
        {
            let inner = value.as_object().cloned().unwrap_or_default();
            *value = Value::Object(with_defaults(field, &inner));
        }
        let element = &field["elements"];
        if element["type"] == "record" {
            for item in value.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
                *item = with_defaults(element, item);
            }
        }
    }
    whole
}

/// Without what is null or empty, and without what the gateway sets by itself: so do clients compare.
fn comparable(value: &Value, schema: &Value, top: bool) -> Value {
    match value {
        Value::Object(object) => {
            let schemas: Object =
                fields(schema).into_iter().map(|(name, field)| (name.to_owned(), field.clone())).collect();
            let kept = object.iter().filter(|(name, _)| !(top && AUTOMATIC.contains(&name.as_str())));
            let kept = kept.filter(|(name, _)| schemas.get(*name).is_none_or(|field| field["auto"] != true));
            // Older names of a setting are shown beside the new ones; the schema says so.
            let older: Vec<&String> = schema["shorthand_fields"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|field| field.as_object()?.keys().next())
                .collect();
            let kept = kept.filter(|(name, _)| !older.contains(name));
            let kept = kept.map(|(name, value)| {
                let inner = schemas.get(name).unwrap_or(&Value::Null);
                (name.clone(), comparable(value, inner, false))
            });
            Value::Object(kept.filter(|(_, value)| !value.is_null() && *value != json!({})).collect())
        }
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(|item| comparable(item, &schema["elements"], false)).collect();
            // Sets have no order, and clients do not look at the order of fields.
            items.iter_mut().for_each(Value::sort_all_objects);
            if schema["type"] == "set" {
                items.sort_by_key(ToString::to_string);
            }
            items.into()
        }
        // Whole numbers may be written either way.
        Value::Number(number) => number.as_f64().map_or(Value::Null, Value::from),
        other => other.clone(),
    }
}

/// Values of optional fields, chosen by number so that a failure can be repeated.
fn variant(schema: &Value, given: &Object, number: usize) -> Object {
    let mut document = given.clone();
    let mut state = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for (name, field) in fields(schema) {
        if document.contains_key(name) || AUTOMATIC.contains(&name) || !field["deprecation"].is_null() {
            continue;
        }
        let random = next();
        if random % 3 == 0
            && let Some(value) = some_value(field, random)
        {
            document.insert(name.to_owned(), value);
        }
    }
    document
}

fn some_value(field: &Value, random: u64) -> Option<Value> {
    if let Some(choices) = field["one_of"].as_array() {
        return choices.get((random / 3) as usize % choices.len()).cloned();
    }
    match field["type"].as_str()? {
        "boolean" => Some((random & 8 == 0).into()),
        "integer" | "number" => {
            let low = field["between"][0].as_i64().or(field["gt"].as_i64().map(|gt| gt + 1)).unwrap_or(1);
            let high = field["between"][1].as_i64().unwrap_or(low + 100).min(low + 1000);
            Some((low + (random / 3 % (high - low + 1).unsigned_abs()) as i64).into())
        }
        "record" => Some(Value::Object(variant(field, &Object::new(), random as usize / 3))),
        _ => None,
    }
}

/// What is wrong: what came back beside what was expected.
fn difference(schema: &Value, sent: &Value, back: &Value) -> Option<String> {
    let expected = with_defaults(schema, sent.as_object().unwrap());
    let (expected, back) = (comparable(&Value::Object(expected), schema, true), comparable(back, schema, true));
    (expected != back).then(|| format!("sent {sent}\n  expected {expected}\n  got      {back}"))
}

fn id(number: usize) -> String {
    format!("10000000-0000-4000-8000-{number:012}")
}

/// The least that makes an entity: kind, path, document. What is referred to comes first.
fn least() -> Vec<(&'static str, &'static str, Value)> {
    let consumer = json!({"id": id(3)});
    vec![
        ("services", "services", json!({"host": "backend.test"})),
        ("routes", "routes", json!({"paths": ["/a"]})),
        ("consumers", "consumers", json!({"username": "ada"})),
        ("consumer_groups", "consumer_groups", json!({"name": "g"})),
        ("upstreams", "upstreams", json!({"name": "u.test"})),
        ("vaults", "vaults", json!({"name": "env", "prefix": "my-env"})),
        ("key_sets", "key-sets", json!({"name": "set"})),
        ("partials", "partials", json!({"name": "p", "type": "redis-ce", "config": {"host": "r.test"}})),
        ("acls", "acls", json!({"consumer": consumer, "group": "g"})),
        ("hmacauth_credentials", "hmac-auths", json!({"consumer": consumer, "username": "h", "secret": "s"})),
        ("jwt_secrets", "jwts", json!({"consumer": consumer, "key": "j", "secret": "s"})),
        ("keyauth_credentials", "key-auths", json!({"consumer": consumer, "key": "k"})),
        (
            "oauth2_credentials",
            "oauth2",
            json!({"consumer": consumer, "name": "o", "client_id": "o", "client_secret": "s"}),
        ),
        ("rbac_roles", "rbac/roles", json!({"name": "r"})),
        ("groups", "groups", json!({"name": "staff"})),
    ]
}

#[test]
fn entities_come_back_as_sent_with_the_published_defaults() {
    let mut admin = Admin::start();
    let mut wrong = Vec::new();
    for (number, (kind, path, document)) in least().into_iter().enumerate() {
        let schema = admin.get(&format!("/schemas/{kind}"));
        let path = format!("/{path}/{}", id(number + 1));
        admin.put(&path, &document);
        for variation in 0..VARIANTS {
            let sent = match variation {
                0 => document.clone(),
                _ => Value::Object(variant(&schema, document.as_object().unwrap(), variation)),
            };
            // Fields may contradict each other; then nothing is stored, and there is nothing to compare.
            if admin.call("PUT", &path, Some(&sent)).0 == 200 {
                let mut back = admin.get(&path);
                if kind == "consumer_groups" {
                    back = back["consumer_group"].take(); // shown with its members
                }
                wrong.extend(difference(&schema, &sent, &back).map(|text| format!("{kind}: {text}")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The least `config` of plugins that need something.
fn needed(plugin: &str) -> Value {
    let url = "http://a.test/";
    match plugin {
        "rate-limiting" => json!({"minute": 5}),
        "response-ratelimiting" => json!({"limits": {"video": {"minute": 5}}}),
        "acl" => json!({"allow": ["g"]}),
        "acme" => json!({"account_email": "a@a.test"}),
        "bot-detection" | "correlation-id" => json!({}),
        "ai-proxy" => json!({"route_type": "llm/v1/chat", "model": {"provider": "openai"}}),
        "ai-proxy-advanced" => json!({"targets": [{"route_type": "llm/v1/chat", "model": {"provider": "openai"}}]}),
        "ai-prompt-decorator" => json!({"prompts": {"prepend": [{"role": "system", "content": "c"}]}}),
        "ai-prompt-guard" => json!({"allow_patterns": ["a"]}),
        "ai-prompt-template" => json!({"templates": [{"name": "n", "template": "{{t}}"}]}),
        "ai-rate-limiting-advanced" => {
            json!({"llm_providers": [{"name": "openai", "limit": [1], "window_size": [60]}]})
        }
        "ai-request-transformer" | "ai-response-transformer" => {
            json!({"prompt": "p", "llm": {"route_type": "llm/v1/chat", "model": {"provider": "openai"}}})
        }
        "file-log" => json!({"path": "/tmp/log"}),
        "http-log" => json!({"http_endpoint": url}),
        "ip-restriction" => json!({"allow": ["10.0.0.0/8"]}),
        "ldap-auth" => json!({"ldap_host": "l.test", "base_dn": "dc=a", "attribute": "cn"}),
        "loggly" => json!({"key": "k"}),
        "oauth2" => json!({"scopes": ["s"], "enable_password_grant": true}),
        "tcp-log" | "udp-log" => json!({"host": "l.test", "port": 1}),
        "proxy-cache" => json!({"strategy": "memory"}),
        "post-function" | "pre-function" => json!({"access": ["return"]}),
        "redirect" => json!({"location": url}),
        "opentelemetry" => json!({"traces_endpoint": url}),
        "standard-webhooks" => json!({"secret_v1": "whsec_bm90IGEgc2VjcmV0"}),
        "zipkin" => json!({"http_endpoint": url}),
        "aws-lambda" => json!({"function_name": "f", "aws_region": "eu-west-1"}),
        "azure-functions" => json!({"functionname": "f", "appname": "a"}),
        _ => json!({}),
    }
}

#[test]
fn plugins_come_back_as_sent_with_the_published_defaults() {
    let mut admin = Admin::start();
    let names: Vec<String> = admin.get("/plugins/enabled")["enabled_plugins"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n.as_str().unwrap().to_owned())
        .collect();
    assert!(names.len() > 20, "{names:?}");
    let whole = admin.get("/schemas/plugins");
    let mut wrong = Vec::new();
    for (number, name) in names.iter().enumerate() {
        let own = admin.get(&format!("/schemas/plugins/{name}"));
        let config = fields(&own).into_iter().find(|(field, _)| *field == "config").unwrap().1.clone();
        let path = format!("/plugins/{}", id(number + 1));
        for variation in 0..VARIANTS {
            let settings = needed(name);
            let settings = match variation {
                0 => settings,
                _ => Value::Object(variant(&config, settings.as_object().unwrap(), variation)),
            };
            let sent = json!({"name": name, "config": settings});
            let (status, answer) = admin.call("PUT", &path, Some(&sent));
            assert!(status == 200 || variation > 0, "{name}: {answer}");
            if status == 200 {
                let mut back = admin.get(&path);
                let difference_of_config = difference(&config, &settings, &back["config"].take());
                wrong.extend(difference_of_config.map(|text| format!("{name}: {text}")));
                if variation == 0 {
                    let outside = with_own(&whole, &own);
                    wrong.extend(
                        difference(&outside, &json!({"name": name}), &back).map(|text| format!("{name}: {text}")),
                    );
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The schema of all plugins with what one says of fields outside its `config`.
fn with_own(whole: &Value, own: &Value) -> Value {
    let own = fields(own);
    let merged: Vec<Value> = fields(whole)
        .into_iter()
        .filter(|(name, _)| *name != "config")
        .map(|(name, field)| {
            let field = own.iter().find(|(other, _)| *other == name).map_or(field, |(_, field)| field);
            json!({ name: field })
        })
        .collect();
    json!({ "fields": merged })
}
