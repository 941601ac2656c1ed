//! Files as people and tools write them: what they become, and what is said when they are wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;

use gibbon_declare::{DeclareError, Declared, Invalid, Loader, export, flatten, hash, load};
use gibbon_model::{PluginSchema, PluginSchemas, PluginScopes, Registry, RegistryOptions};
use gibbon_schema::{Compat, Field, Record, Sources, checks, typedefs};
use serde_json::{Value, json};

/// The allocator of the gateway, so that what is measured here is what happens there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Fixed(u32);

impl Sources for Fixed {
    fn now(&mut self) -> f64 {
        1_700_000_000.0
    }

    fn uuid(&mut self) -> String {
        self.0 += 1;
        format!("00000000-0000-4000-8000-{:012}", self.0)
    }

    fn secret(&mut self) -> String {
        "s".repeat(32)
    }
}

struct Plugins(Vec<PluginSchema>);

impl PluginSchemas for Plugins {
    fn schema(&self, name: &str) -> Option<&PluginSchema> {
        self.0.iter().find(|schema| schema.name == name)
    }

    fn names(&self) -> Vec<String> {
        self.0.iter().map(|schema| schema.name.to_string()).collect()
    }
}

fn registry() -> Registry {
    let limits = Record::new()
        .field("minute", Field::number().gt(0))
        .field("hour", Field::number().gt(0))
        .field("redis", Field::record(Record::new().field("port", Field::integer().default(6379))))
        .plugin_check(checks::at_least_one_of(&["config.minute", "config.hour"]));
    let cors = Record::new().field("origins", Field::array(Field::string()));
    let plugins = ["limits", "cors"]
        .into_iter()
        .zip([limits, cors])
        .map(|(name, config)| PluginSchema::new(name, config, typedefs::protocols_http(), PluginScopes::default()));
    let plugins = Arc::new(Plugins(plugins.collect()));
    Registry::new(&RegistryOptions { plugins, ..RegistryOptions::default() })
}

fn read(text: &str) -> Result<Declared, DeclareError> {
    load(text.as_bytes(), &mut Loader { registry: &registry(), compat: Compat::V3_10, sources: &mut Fixed(0) })
}

fn invalid(text: &str) -> Invalid {
    match read(text).unwrap_err() {
        DeclareError::Invalid(invalid) => invalid,
        other => panic!("unexpected: {other}"),
    }
}

fn faults(text: &str) -> Value {
    invalid(text).faults.to_json()
}

const NESTED: &str = r#"
_format_version: "3.0"
_comment: all of it
services:
- name: s
  url: http://a.test
  _comment: one
  plugins:
  - name: cors
  routes:
  - name: r
    paths: [/a, ~/b\d+$]
    plugins:
    - name: limits
      config: {minute: 5}
upstreams:
- name: u.test
  targets:
  - target: 10.0.0.1
  - target: 10.0.0.2:80
consumers:
- username: c
  keyauth_credentials:
  - key: k
  basic-auth:
  - {username: b, password: p}
  acls: [{group: g}]
"#;

#[test]
fn nested_entities_are_taken_apart() {
    let declared = read(NESTED).unwrap();
    let service = &declared.of("services")[0];
    assert_eq!(service["host"], "a.test");
    let route = &declared.of("routes")[0];
    assert_eq!(route["service"], json!({"id": service["id"]}));
    assert_eq!(route["paths"], json!(["/a", "~/b\\d+$"]));
    let plugins = declared.of("plugins");
    assert_eq!(plugins.len(), 2);
    let limits = plugins.iter().find(|p| p["name"] == "limits").unwrap();
    assert_eq!(limits["route"], json!({"id": route["id"]}));
    assert_eq!(limits["service"], Value::Null);
    assert_eq!(limits["config"], json!({"minute": 5, "hour": null, "redis": {"port": 6379}}));
    assert_eq!(declared.of("targets")[0]["target"], "10.0.0.1:8000");
    assert_eq!(declared.of("keyauth_credentials")[0]["key"], "k");
    assert_eq!(declared.of("basicauth_credentials")[0]["password"].as_str().unwrap().len(), 40);
    assert_eq!(declared.of("acls")[0]["consumer"]["id"], declared.of("consumers")[0]["id"]);
    assert_eq!(declared.len(), 11);
}

#[test]
fn identifiers_are_stable_and_hashes_are_of_the_text() {
    let first = read(NESTED).unwrap();
    assert_eq!(first, read(NESTED).unwrap());
    assert_eq!(first.hash, hash(NESTED.as_bytes()));
    assert_eq!(hash(b"abc"), "900150983cd24fb0d6963f7d28e17f72");
    let json = json!({"_format_version": "3.0", "services": [{"name": "s", "host": "other.test"}]}).to_string();
    assert_eq!(read(&json).unwrap().of("services")[0]["id"], first.of("services")[0]["id"], "by name, not by content");
}

#[test]
fn entities_without_a_name_are_told_apart_by_content_and_order() {
    let routes =
        |text: &str| -> Vec<Value> { read(text).unwrap().of("routes").iter().map(|r| r["id"].clone()).collect() };
    let both =
        routes(r#"{"_format_version": "3.0", "routes": [{"paths": ["/a"]}, {"paths": ["/a"]}, {"paths": ["/b"]}]}"#);
    assert_ne!(both[0], both[1]);
    assert_ne!(both[0], both[2]);
    assert_eq!(routes(r#"{"_format_version": "3.0", "routes": [{"paths": ["/b"]}]}"#)[0], both[2]);
}

#[test]
fn flat_entities_refer_by_name_or_identifier() {
    let declared = read(
        r#"
        _format_version: "3.0"
        plugins:
        - {name: cors, service: s}
        - {name: cors, route: {name: r}, consumer: 11111111-1111-4111-8111-111111111111}
        routes:
        - {name: r, paths: [/], service: {name: s}}
        services:
        - {name: s, host: a.test}
        consumers:
        - {id: 11111111-1111-4111-8111-111111111111, username: c}
        "#,
    )
    .unwrap();
    let service = json!({"id": declared.of("services")[0]["id"]});
    assert_eq!(declared.of("routes")[0]["service"], service);
    assert_eq!(declared.of("plugins")[0]["service"], service);
    assert_eq!(declared.of("plugins")[1]["route"]["id"], declared.of("routes")[0]["id"]);
    assert_eq!(declared.of("plugins")[1]["consumer"]["id"], "11111111-1111-4111-8111-111111111111");
}

#[test]
fn references_to_nothing_are_named() {
    assert_eq!(
        faults(r#"{"_format_version": "3.0", "routes": [{"paths": ["/"], "service": "gone"}]}"#),
        json!({"routes": [{"service": "invalid reference 'service: gone' (no such entity in 'services')"}]})
    );
    assert_eq!(
        faults(r#"{"_format_version": "3.0", "routes": [{"paths": ["x"], "service": {"nope": 1}}]}"#),
        json!({"routes": [{
            "paths": ["should start with: / (fixed path) or ~/ (regex path)"],
            "service": {"nope": "unknown field"},
        }]})
    );
}

#[test]
fn nothing_may_be_declared_twice() {
    // Entities of one name have one identifier, which is what is noticed first.
    let one = read(r#"{"_format_version": "3.0", "services": [{"name": "s", "host": "a"}]}"#).unwrap();
    let id = one.of("services")[0]["id"].as_str().unwrap();
    assert_eq!(
        faults(r#"{"_format_version": "3.0", "services": [{"name": "s", "host": "a"}, {"name": "s", "host": "b"}]}"#),
        json!({"services": [null, {"@entity": [format!(
            "uniqueness violation: 'services' entity with primary key set to '{id}' already declared")]}]})
    );
    let id = |n: u8| format!("{n}1111111-1111-4111-8111-111111111111");
    let text = json!({"_format_version": "3.0", "consumers": [
        {"id": id(1), "username": "c"}, {"id": id(2), "username": "c"}]});
    assert_eq!(
        faults(&text.to_string())["consumers"][1]["@entity"][0],
        "uniqueness violation: 'consumers' entity with username set to 'c' already declared"
    );
}

#[test]
fn every_fault_is_reported_where_it_is() {
    let found = invalid(
        r#"
        _format_version: "3.0"
        nonsense: 1
        services:
        - host: a.test
        - routes:
          - paths: [/a, b]
          - {}
          plugins: [{name: nope}]
        plugins: [{name: limits}]
        consumers: x
        "#,
    );
    assert_eq!(
        found.faults.to_json(),
        json!({
            "nonsense": "unknown field",
            "consumers": "expected an array",
            "plugins": [{"@entity": [
                "at least one of these fields must be non-empty: 'config.minute', 'config.hour'"]}],
            "services": [null, {
                "host": "required field missing",
                "plugins": [{"name": "plugin 'nope' not enabled; add it to the 'plugins' configuration property"}],
                "routes": [
                    {"paths": [null, "should start with: / (fixed path) or ~/ (regex path)"]},
                    {"@entity": ["must set one of 'methods', 'hosts', 'headers', 'paths', 'snis' when 'protocols' \
                                  is 'https'"]},
                ],
            }],
        })
    );
}

#[test]
fn the_message_is_a_lua_table() {
    let found = invalid(
        r#"{"_format_version": "3.0", "services": [{"name": "s", "host": "a", "routes": [
            {"headers": {"host": ["a"]}}, {"methods": ["get"]}, {"paths": ["/x"], "https_redirect_status_code": 303}]}]}"#,
    );
    assert_eq!(
        found.to_json(),
        json!({
            "code": 14,
            "name": "invalid declarative configuration",
            "message": "declarative config is invalid: {services={{routes={{headers=\"cannot contain 'host' header, \
                        which must be specified in the 'hosts' attribute\"},{methods={\"invalid value: get\"}},\
                        {https_redirect_status_code=\"expected one of: 426, 301, 302, 307, 308\"}}}}}",
            "fields": {"services": [{"routes": [
                {"headers": "cannot contain 'host' header, which must be specified in the 'hosts' attribute"},
                {"methods": ["invalid value: get"]},
                {"https_redirect_status_code": "expected one of: 426, 301, 302, 307, 308"},
            ]}]},
        })
    );
}

#[test]
fn faults_can_be_sorted_by_entity() {
    let text = json!({
        "_format_version": "4.0",
        "services": [{
            "name": "s", "id": "11111111-1111-4111-8111-111111111111", "host": "a b", "tags": ["t"],
            "routes": [{"name": "r", "paths": ["x"], "protocols": ["tcp"]}],
        }],
        "consumers": [{"custom_id": 5}],
    });
    let found = invalid(&text.to_string());
    let flattened = flatten(&found.faults, &text, &registry());
    assert_eq!(flattened.rest.to_json(), json!({"_format_version": "expected one of: 1.1, 2.1, 3.0"}));
    let by_kind = |kind: &str| {
        flattened.errors.iter().find(|e| e["entity_type"] == kind).unwrap_or_else(|| panic!("no {kind}")).clone()
    };
    assert_eq!(
        by_kind("service"),
        json!({
            "entity_type": "service", "entity_id": "11111111-1111-4111-8111-111111111111", "entity_name": "s",
            "entity_tags": ["t"],
            "entity": {"name": "s", "id": "11111111-1111-4111-8111-111111111111", "host": "a b", "tags": ["t"]},
            "errors": [{"type": "field", "field": "host", "message": "invalid value: a b"}],
        })
    );
    let route = by_kind("route");
    assert_eq!(route["entity_name"], "r");
    assert_eq!(
        route["errors"],
        json!([
            {"type": "entity",
             "message": "must set one of 'sources', 'destinations', 'snis' when 'protocols' is 'tcp', 'tls' or 'udp'"},
            {"type": "field", "field": "paths",
             "message": "cannot set 'paths' when 'protocols' is 'tcp', 'tls', 'tls_passthrough' or 'udp'"},
        ])
    );
    assert_eq!(by_kind("consumer")["errors"][0]["field"], "custom_id");
}

#[test]
fn the_header_is_checked() {
    assert_eq!(faults("services: []"), json!({"_format_version": "required field missing"}));
    assert_eq!(faults("_format_version: 3.0"), json!({"_format_version": "expected a string"}));
    assert!(matches!(read("[]"), Err(DeclareError::NotAnObject)));
    assert!(matches!(read(""), Err(DeclareError::NotAnObject)));
    assert!(matches!(read("a: [b"), Err(DeclareError::Syntax(_))));
    assert!(read("{_format_version: '1.1'}").unwrap().is_empty());
}

#[test]
fn older_formats_are_brought_up_to_date() {
    let declared = read(
        r#"{"_format_version": "2.1", "services": [{"host": "a", "routes": [{"name": "r", "paths": ["/a/\\d+", "/b"]}]}]}"#,
    )
    .unwrap();
    assert_eq!(declared.of("routes")[0]["paths"], json!(["~/a/\\d+", "/b"]));
}

#[test]
fn files_of_deck_are_taken() {
    let declared = read(
        r#"
        _format_version: "3.0"
        _workspace: team
        _info: {select_tags: [x], defaults: {}}
        services:
        - {name: s, host: a.test, enabled: yes, tls_verify: ~}
        consumer_groups:
        - name: gold
          plugins: [{name: limits, config: {minute: 9}}]
          consumers: [{username: b}]
        consumers:
        - username: a
          groups: [{name: gold}]
        - username: b
        certificates: []
        "#,
    )
    .unwrap();
    assert_eq!(declared.workspace.as_deref(), Some("team"));
    assert_eq!(declared.of("services")[0]["enabled"], true);
    let gold = json!({"id": declared.of("consumer_groups")[0]["id"]});
    assert_eq!(declared.of("plugins")[0]["consumer_group"], gold);
    let memberships = declared.of("consumer_group_consumers");
    assert_eq!(memberships.len(), 2);
    assert!(memberships.iter().all(|m| m["consumer_group"] == gold));
}

#[test]
fn plugins_are_checked_with_their_partials_and_kept_without() {
    let file = |host: Value| {
        json!({"_format_version": "3.0",
            "partials": [{"name": "shared", "type": "redis-ce", "config": {"port": host}}],
            "plugins": [{"name": "limits", "config": {"minute": 5}, "partials": [{"name": "shared"}]}]})
        .to_string()
    };
    let declared = read(&file(json!(7000))).unwrap();
    assert_eq!(declared.of("plugins")[0]["config"]["redis"]["port"], 6379);
    assert_eq!(faults(&file(json!("x"))), json!({"plugins": [{"config": {"redis": {"port": "expected an integer"}}}]}));
    assert_eq!(
        faults(
            r#"{"_format_version": "3.0", "plugins": [{"name": "limits", "config": {"minute": 5}, "partials": [{"id": "gone"}]}]}"#
        ),
        json!({"plugins": [{"partials": "there is no partial 'gone'"}]})
    );
}

#[test]
fn secrets_stay_as_they_are_when_told_so() {
    let text = r#"{"_format_version": "3.0", "_transform": false,
        "consumers": [{"username": "c", "basicauth_credentials": [{"username": "b", "password": "hash"}]}]}"#;
    assert_eq!(read(text).unwrap().of("basicauth_credentials")[0]["password"], "hash");
}

#[test]
fn what_is_written_reads_to_the_same() {
    let text = format!("{NESTED}- username: 'yes'\n  custom_id: '5'\n  tags: ['~', 'null', '1.0', 'a: b', '- x']\n");
    let first = read(&text).unwrap();
    let lists = first.entities.iter().map(|(kind, documents)| (kind.as_str(), documents.as_slice()));
    let written = export(&registry(), None, lists).unwrap();
    assert!(written.starts_with("_format_version: \"3.0\"\n_transform: false\n"), "{written}");
    let second = read(&written).unwrap();
    assert_eq!(first.entities, second.entities, "{written}");
}

#[test]
fn a_file_read_again_changes_no_times() {
    struct Later;
    impl Sources for Later {
        fn now(&mut self) -> f64 {
            1_800_000_000.25
        }

        fn uuid(&mut self) -> String {
            unreachable!("identifiers are derived")
        }

        fn secret(&mut self) -> String {
            "s".repeat(32)
        }
    }
    let first = read(NESTED).unwrap();
    let registry = registry();
    let again = |text: &str| {
        let mut loader = Loader { registry: &registry, compat: Compat::V3_10, sources: &mut Later };
        let mut second = load(text.as_bytes(), &mut loader).unwrap();
        second.keep_times(|kind, id| first.of(kind).iter().find(|d| d["id"] == id));
        second
    };
    assert_eq!(again(NESTED).entities, first.entities);
    let changed = again(&NESTED.replace("http://a.test", "http://b.test"));
    let service = &changed.of("services")[0];
    assert_eq!((&service["created_at"], &service["updated_at"]), (&json!(1_700_000_000), &json!(1_800_000_000)));
    assert_eq!(changed.of("routes"), first.of("routes"));
}

#[test]
fn answers_list_entities_by_identifier() {
    let declared = read(r#"{"_format_version": "3.0", "consumers": [{"username": "c"}]}"#).unwrap();
    let id = declared.of("consumers")[0]["id"].as_str().unwrap().to_owned();
    let answer = declared.by_id(&registry());
    assert_eq!(answer["consumers"][&id]["username"], "c");
}

mod anything {
    use super::*;
    use proptest::prelude::*;

    /// Trees that look like files: known keys in likely and unlikely places.
    fn tree() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-z/~.*:%]{0,6}".prop_map(Value::from),
            Just(json!("s")),
            Just(json!("limits")),
        ];
        let key = prop::sample::select(vec![
            "services",
            "routes",
            "plugins",
            "consumers",
            "targets",
            "snis",
            "groups",
            "consumer_groups",
            "upstreams",
            "name",
            "id",
            "host",
            "url",
            "paths",
            "service",
            "config",
            "minute",
            "protocols",
            "target",
            "username",
            "partials",
            "tags",
            "certificates",
            "healthchecks",
            "acls",
            "key-auth",
        ]);
        leaf.prop_recursive(6, 60, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map(key.clone(), inner, 0..5)
                    .prop_map(|fields| { Value::Object(fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()) }),
            ]
        })
    }

    proptest! {
        #[test]
        fn is_accepted_or_refused_with_an_answer(tree in tree()) {
            let mut file = tree;
            if let Value::Object(fields) = &mut file {
                fields.insert("_format_version".into(), "3.0".into());
            }
            if let Err(DeclareError::Invalid(found)) = read(&file.to_string()) {
                prop_assert!(!found.faults.is_empty());
                let said = found.to_string();
                prop_assert!(said.starts_with("declarative config is invalid: "), "{}", said);
                flatten(&found.faults, &file, &registry());
            }
        }
    }
}

/// Printed, not asserted: times depend on the machine. Run with `--release -- --ignored --nocapture`.
#[test]
#[ignore = "measures"]
fn a_hundred_thousand_routes() {
    let services: Vec<Value> = (0..1000)
        .map(|s| {
            let routes: Vec<Value> = (0..100)
                .map(|r| {
                    json!({"name": format!("r-{s}-{r}"), "paths": [format!("/s{s}/r{r}")], "hosts": ["a.test"],
                                "methods": ["GET", "POST"], "tags": ["x"]})
                })
                .collect();
            json!({"name": format!("s-{s}"), "url": format!("http://s{s}.test:8080"), "routes": routes})
        })
        .collect();
    let file = json!({"_format_version": "3.0", "services": services});
    let registry = registry();
    let (json, yaml) = (file.to_string(), yaml(&file));
    for (what, text) in [("JSON", &json), ("YAML", &yaml), ("JSON", &json), ("YAML", &yaml)] {
        let start = std::time::Instant::now();
        gibbon_declare::parse(text.as_bytes()).unwrap();
        let parsed = start.elapsed();
        let mut loader = Loader { registry: &registry, compat: Compat::V3_10, sources: &mut Fixed(0) };
        let start = std::time::Instant::now();
        let declared = load(text.as_bytes(), &mut loader).unwrap();
        println!("{what}: {} bytes, parse {parsed:?}, load {:?}, {}", text.len(), start.elapsed(), declared.len());
    }
}

fn yaml(file: &Value) -> String {
    let mut text = String::from("_format_version: \"3.0\"\nservices:\n");
    for service in file["services"].as_array().unwrap() {
        text.push_str(&format!("- name: {}\n  url: {}\n  routes:\n", service["name"], service["url"]));
        for route in service["routes"].as_array().unwrap() {
            text.push_str(&format!(
                "  - name: {}\n    paths:\n    - {}\n    hosts:\n    - a.test\n    methods:\n    - GET\n    - POST\n    tags:\n    - x\n",
                route["name"].as_str().unwrap(),
                route["paths"][0].as_str().unwrap()
            ));
        }
    }
    text
}
