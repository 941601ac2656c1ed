//! Every entity of Kong 3.10, field by field: order, types, defaults, rules, marks, checks, keys and paths.
//!
//! `fixtures/entities.json` holds the facts. Where a rule is code, only that there is one is compared. Fields that later
//! versions brought, and our own, may be there besides.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use gibbon_model::{EntityDef, Registry, RegistryOptions};
use gibbon_schema::{Compat, Field, Kind, Record};
use serde_json::{Map, Value, json};

fn facts() -> Map<String, Value> {
    match serde_json::from_str(include_str!("fixtures/entities.json")).unwrap() {
        Value::Object(facts) => facts,
        _ => panic!("the fixture is an object"),
    }
}

/// Compares everything at once, so that one run shows all that differs.
#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn expect(&mut self, path: &str, ours: &Value, theirs: &Value) {
        if ours != theirs {
            self.0.push(format!("{path}: we have {ours}, expected {theirs}"));
        }
    }

    fn record(&mut self, path: &str, ours: &Record, theirs: &Value) {
        let fields: Vec<&(_, Field)> = ours.fields.iter().filter(|(_, f)| !f.is_additive()).collect();
        let names: Vec<Value> = fields.iter().map(|(n, _)| json!(n)).collect();
        let expected: Vec<(&String, &Value)> =
            theirs["fields"].as_array().into_iter().flatten().filter_map(|f| f.as_object()?.iter().next()).collect();
        self.expect(path, &json!(names), &json!(expected.iter().map(|(n, _)| n).collect::<Vec<_>>()));
        for (name, theirs) in &expected {
            if let Some((_, ours)) = fields.iter().find(|(n, _)| n == name.as_str()) {
                self.field(&format!("{path}.{name}"), ours, theirs);
            }
        }
        self.checks(path, ours, &theirs["entity_checks"]);
    }

    fn checks(&mut self, path: &str, ours: &Record, theirs: &Value) {
        let ours = ours.render(Compat::V3_10)["entity_checks"].as_array().cloned().unwrap_or_default();
        let theirs = theirs.as_array().cloned().unwrap_or_default();
        // The check of a route by its router stands beside those of the schema.
        let ours: Vec<Value> = ours.into_iter().map(as_declared).filter(|c| !is_expression_check(c)).collect();
        self.expect(&format!("{path} checks"), &json!(ours), &json!(theirs));
    }

    fn field(&mut self, path: &str, ours: &Field, theirs: &Value) {
        let rendered = ours.render(Compat::V3_10);
        let theirs = theirs.as_object().unwrap();
        for (name, expected) in theirs {
            match name.as_str() {
                "custom" => self.expect(path, &json!(ours.custom.is_some()), expected),
                "fields" | "elements" | "keys" | "values" | "entity_checks" => {}
                "match_none" | "match_all" | "match_any" => {
                    self.expect(&format!("{path}.{name}"), &without_messages(&rendered[name]), expected);
                }
                _ => self.expect(&format!("{path}.{name}"), &rendered[name], expected),
            }
        }
        for (name, value) in rendered.as_object().unwrap() {
            // Which vaults there are is known only at run time.
            let at_run_time = path == "vaults.prefix" && name == "not_one_of";
            if !theirs.contains_key(name) && !is_implied(name, value) && !at_run_time {
                self.0.push(format!("{path}.{name}: we have {value}, expected nothing"));
            }
        }
        if ours.custom.is_some() && !theirs.contains_key("custom") {
            self.0.push(format!("{path}: we have a validator, expected none"));
        }
        match &ours.kind {
            Kind::Array(inner) | Kind::Set(inner) => self.field(&format!("{path}[]"), inner, &theirs["elements"]),
            Kind::Map { keys, values } => {
                self.field(&format!("{path} keys"), keys, &theirs["keys"]);
                self.field(&format!("{path} values"), values, &theirs["values"]);
            }
            Kind::Record(record) if !ours.is_abstract => {
                self.record(path, record, &Value::Object(theirs.clone()));
            }
            _ => {}
        }
    }
}

/// What a running gateway publishes although the schema does not state it: texts have a minimum length of one,
/// elements and records of entities are required. Messages are not among the facts.
fn is_implied(name: &str, value: &Value) -> bool {
    match name {
        "len_min" => *value == json!(1),
        "required" => *value == json!(true),
        "fields" | "elements" | "keys" | "values" | "entity_checks" | "err" => true,
        _ => false,
    }
}

fn without_messages(rules: &Value) -> Value {
    match rules {
        Value::Array(rules) => rules.iter().map(without_messages).collect(),
        Value::Object(rule) => {
            Value::Object(rule.iter().filter(|(k, _)| *k != "err").map(|(k, v)| (k.clone(), v.clone())).collect())
        }
        other => other.clone(),
    }
}

/// A published check as it was declared.
fn as_declared(mut check: Value) -> Value {
    for kind in ["conditional", "conditional_at_least_one_of"] {
        for condition in ["if_match", "else_match"] {
            if let Some(elements) = check.pointer_mut(&format!("/{kind}/{condition}/elements")) {
                let elements = elements.as_object_mut().unwrap();
                elements.remove("required");
                elements.remove("len_min");
            }
        }
    }
    check
}

fn is_expression_check(check: &Value) -> bool {
    check["custom_entity_check"]["field_sources"].as_array().is_some_and(|fields| fields.contains(&json!("expression")))
}

fn compare_surroundings(differences: &mut Differences, def: &EntityDef, facts: &Value) {
    let name = def.name.as_ref();
    differences.expect(&format!("{name} primary key"), &json!(def.primary_key), &facts["primary_key"]);
    differences.expect(&format!("{name} endpoint key"), &json!(def.endpoint_key), &facts["endpoint_key"]);
    let additive = |field: &&std::borrow::Cow<'static, str>| def.record.get(field).is_some_and(Field::is_additive);
    let cache_key: Vec<_> = def.cache_key.iter().filter(|f| !additive(f)).collect();
    let expected = facts.get("cache_key").cloned().unwrap_or_else(|| json!([]));
    differences.expect(&format!("{name} cache key"), &json!(cache_key), &expected);
    let path = facts.get("admin_api_name").cloned().unwrap_or_else(|| json!(name));
    differences.expect(&format!("{name} path"), &json!(def.admin_path), &path);
    let nested = facts.get("admin_api_nested_name").cloned().unwrap_or(path);
    differences.expect(&format!("{name} nested path"), &json!(def.nested_path), &nested);
    let flag = |field: &str, default: bool| json!(facts.get(field).and_then(Value::as_bool).unwrap_or(default));
    differences.expect(&format!("{name} api"), &json!(def.generated_api), &flag("generate_admin_api", true));
    differences.expect(&format!("{name} export"), &json!(def.exported), &flag("db_export", true));
    differences.expect(&format!("{name} ttl"), &json!(def.ttl), &flag("ttl", false));
    differences.expect(&format!("{name} workspaces"), &json!(def.workspaceable), &flag("workspaceable", false));
    let shorthands: Vec<_> = def.record.shorthands.iter().map(|s| &s.name).collect();
    let expected = facts.get("shorthands").cloned().unwrap_or_else(|| json!([]));
    differences.expect(&format!("{name} shorthands"), &json!(shorthands), &expected);
}

#[test]
fn every_entity_is_as_kong_has_it() {
    let registry = Registry::new(&RegistryOptions::default());
    let mut differences = Differences::default();
    for (name, theirs) in &facts() {
        if let Some((entity, protocol)) = name.split_once(':') {
            let routes = registry.get(entity).expect("the entity exists");
            let lookup = &routes.record.subschemas.as_ref().unwrap().lookup;
            differences.record(name, &lookup(protocol).expect("the family exists"), theirs);
            continue;
        }
        let def = registry.get(name).unwrap_or_else(|| panic!("{name} is missing"));
        differences.record(name, &def.record, theirs);
        compare_surroundings(&mut differences, def, theirs);
    }
    assert!(differences.0.is_empty(), "{}", differences.0.join("\n"));
}

#[test]
fn what_kong_3_10_does_not_have_says_since_when() {
    let facts = facts();
    for def in Registry::new(&RegistryOptions::default()).iter() {
        assert!(
            facts.contains_key(def.name.as_ref()) || def.since.is_some(),
            "{} is neither in the facts nor marked as later",
            def.name
        );
    }
}

#[test]
fn entities_come_after_those_they_refer_to() {
    let registry = Registry::new(&RegistryOptions::default());
    let mut seen = Vec::new();
    for def in registry.iter() {
        for (field, foreign) in def.foreign_fields() {
            assert!(seen.contains(&foreign.entity.to_string()), "{}.{field} refers to a later entity", def.name);
        }
        seen.push(def.name.to_string());
    }
}
