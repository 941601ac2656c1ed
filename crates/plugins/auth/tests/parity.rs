//! The schema of each plugin is the one Kong 3.10 publishes, field by field and in the same order. What we add is
//! listed here, in one place.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use gibbon_model::{PluginSchema, PluginScopes};
use gibbon_pdk::{Part, Protocol};
use gibbon_plugins_auth::PARTS;
use gibbon_schema::{Compat, Field};
use serde_json::{Map, Value, json};

/// Fields that Kong 3.10 does not have, and where they come from.
const ADDITIONS: &[(&str, &str, &str)] = &[("acl", "include_consumer_groups", "Kong 3.15")];

/// Fields whose default changed with 3.15.
const NEW_DEFAULTS: &[(&str, &str, Value)] =
    &[("basic-auth", "hide_credentials", Value::Bool(true)), ("key-auth", "hide_credentials", Value::Bool(true))];

/// What the fixtures hold of a field.
const KEPT: &[&str] = &[
    "type",
    "required",
    "default",
    "one_of",
    "between",
    "gt",
    "eq",
    "match",
    "starts_with",
    "encrypted",
    "referenceable",
    "auto",
    "unique",
    "contains",
];

fn fixture(plugin: &str) -> Value {
    let path = format!("{}/tests/schemas/{plugin}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn rendered(part: &Part, compat: Compat) -> Value {
    let scopes = PluginScopes { consumer: false, consumer_group: false, ..PluginScopes::default() };
    let mut known: Vec<&str> = part.protocols.iter().map(Protocol::as_str).collect();
    known.sort_unstable();
    let default = ["grpc", "grpcs", "http", "https"];
    let protocols = Field::set(Field::string().one_of(known)).required().default(json!(default));
    PluginSchema::new(part.name, (part.schema)(), protocols, scopes).render(compat)
}

/// `[{name: field}, …]` as an object.
fn by_name(fields: &Value) -> Map<String, Value> {
    fields.as_array().unwrap().iter().flat_map(|f| f.as_object().unwrap().clone()).collect()
}

fn essence(field: &Value) -> Value {
    let mut out = Map::new();
    for name in KEPT {
        match field.get(*name) {
            None | Some(Value::Bool(false)) if *name != "default" && *name != "eq" => {}
            Some(value) => drop(out.insert((*name).into(), value.clone())),
            None => {}
        }
    }
    if let Some(elements) = field.get("elements") {
        let mut elements = essence(elements);
        elements.as_object_mut().unwrap().remove("required"); // always, so Kong does not say it
        out.insert("elements".into(), elements);
    }
    Value::Object(out)
}

/// Checks without what a rendered condition says by itself.
fn checks(value: Option<&Value>) -> Value {
    value.cloned().unwrap_or_else(|| json!([]))
}

#[test]
fn every_schema_is_kongs() {
    for part in PARTS {
        let expected = fixture(part.name);
        let schema = rendered(part, Compat::V3_10);
        let fields = by_name(&schema["fields"]);
        let config = &fields["config"];
        let ours = by_name(&config["fields"]);
        let added = |name: &str| ADDITIONS.iter().any(|(plugin, field, _)| *plugin == part.name && *field == name);

        let names: Vec<&String> = ours.keys().filter(|name| !added(name)).collect();
        let kongs: Vec<&String> = expected["fields"].as_object().unwrap().keys().collect();
        assert_eq!(names, kongs, "{}", part.name);
        for name in kongs {
            assert_eq!(essence(&ours[name]), expected["fields"][name], "{}: {name}", part.name);
        }
        assert_eq!(essence(&fields["protocols"]), expected["protocols"], "{}", part.name);
        assert_eq!(checks(schema.get("entity_checks")), checks(expected.get("checks")), "{}", part.name);
        assert_eq!(checks(config.get("entity_checks")), checks(expected.get("config_checks")), "{}", part.name);
        let shorthands = config.get("shorthand_fields").map(by_name).unwrap_or_default();
        let kinds: Map<_, _> = shorthands.into_iter().map(|(name, f)| (name, f["type"].clone())).collect();
        assert_eq!(
            Value::Object(kinds),
            expected.get("shorthands").cloned().unwrap_or_else(|| json!({})),
            "{}",
            part.name
        );
    }
}

#[test]
fn what_we_add_is_listed_and_has_no_default() {
    for (plugin, field, origin) in ADDITIONS {
        println!("{plugin}: {field} ({origin})");
        let part = PARTS.iter().find(|p| p.name == *plugin).unwrap();
        let record = (part.schema)();
        let field = record.get(field).unwrap_or_else(|| panic!("{plugin} has no {field}"));
        assert!(field.is_additive() && !field.is_required(), "{plugin}: {field:?}");
    }
}

#[test]
fn defaults_that_changed_with_3_15_follow_the_version_asked_for() {
    for (plugin, field, default) in NEW_DEFAULTS {
        let part = PARTS.iter().find(|p| p.name == *plugin).unwrap();
        let schema = rendered(part, Compat::V3_15);
        let config = by_name(&by_name(&schema["fields"])["config"]["fields"]);
        assert_eq!(config[*field]["default"], *default, "{plugin}: {field}");
    }
}
