//! What clients see of the schema engine: defaults, faults and their wording, merging, the published form.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;

use gibbon_schema::{
    Compat, Context, Deprecation, Faults, Field, Filler, OnDelete, Purpose, Record, Shorthand, Sources, Subschemas,
    checks, typedefs,
};
use serde_json::{Map, Value, json};

struct Fixed;

impl Sources for Fixed {
    fn now(&mut self) -> f64 {
        1_700_000_000.123_4
    }

    fn uuid(&mut self) -> String {
        "00000000-0000-4000-8000-000000000001".to_owned()
    }

    fn secret(&mut self) -> String {
        "s".repeat(32)
    }
}

fn filled_in(record: &Record, document: Value, context: Context) -> Value {
    let Value::Object(mut fields) = document else { panic!("documents are objects") };
    let mut filler = Filler { context, compat: Compat::V3_10, sources: &mut Fixed };
    record.fill(&mut fields, &mut filler).unwrap();
    Value::Object(fields)
}

fn filled(record: &Record, document: Value) -> Value {
    filled_in(record, document, Context::Insert)
}

fn faults(record: &Record, document: Value) -> Faults {
    record.validate(&filled(record, document), Purpose::Whole).err().unwrap_or_default()
}

fn field_fault(field: Field, value: Value) -> Value {
    let record = Record::new().field("f", field);
    faults(&record, json!({ "f": value })).to_json().get("f").cloned().unwrap_or(Value::Null)
}

mod wording {
    use super::*;

    #[test]
    fn of_types() {
        assert_eq!(field_fault(Field::string(), json!(5)), "expected a string");
        assert_eq!(field_fault(Field::number(), json!("x")), "expected a number");
        assert_eq!(field_fault(Field::integer(), json!(1.5)), "expected an integer");
        assert_eq!(field_fault(Field::integer(), json!(5.0)), Value::Null);
        assert_eq!(field_fault(Field::boolean(), json!("yes")), "expected a boolean");
        assert_eq!(field_fault(Field::array(Field::string()), json!("a")), "expected an array");
        assert_eq!(field_fault(typedefs::tags(), json!({"a": "b"})), "expected a set");
        assert_eq!(field_fault(Field::record(Record::new()), json!("a")), "expected a record");
        let map = || Field::map(Field::string(), Field::array(Field::string()));
        assert_eq!(field_fault(map(), json!("a")), "expected a map");
        assert_eq!(field_fault(map(), json!({"x-a": "one"})), "expected an array");
        assert_eq!(field_fault(map(), json!(["a"])), "expected a string");
    }

    #[test]
    fn of_missing_and_unknown_fields() {
        let record = Record::new().field("host", Field::string().required());
        assert_eq!(
            faults(&record, json!({"nope": 1})).to_json(),
            json!({"host": "required field missing", "nope": "unknown field"})
        );
        assert_eq!(field_fault(Field::array(Field::string()), json!([null])), json!(["required field missing"]));
    }

    #[test]
    fn of_values() {
        assert_eq!(field_fault(Field::string().one_of(["a", "b"]), json!("c")), "expected one of: a, b");
        assert_eq!(field_fault(Field::string().not_one_of(["env"]), json!("env")), "must not be one of: env");
        assert_eq!(
            field_fault(Field::integer().between(0, 65535), json!(70000)),
            "value should be between 0 and 65535"
        );
        assert_eq!(field_fault(Field::number().gt(0), json!(0)), "value must be greater than 0");
        assert_eq!(field_fault(Field::boolean().eq(false), json!(true)), "value must be false");
        assert_eq!(field_fault(Field::string().eq_null(), json!("x")), "value must be null");
        assert_eq!(field_fault(Field::string().uuid(), json!("x")), "expected a valid UUID");
        assert_eq!(field_fault(Field::integer().timestamp(), json!(-1)), "expected a valid timestamp");
        assert_eq!(field_fault(Field::string().is_regex(), json!("(")), "not a valid regex: (");
        assert_eq!(field_fault(Field::set(Field::string()).contains("a"), json!(["b"])), "expected to contain: a");
    }

    #[test]
    fn of_lengths() {
        assert_eq!(field_fault(Field::string(), json!("")), "length must be at least 1");
        assert_eq!(field_fault(Field::string().len_min(0), json!("")), Value::Null);
        assert_eq!(field_fault(Field::string().len_eq(2), json!("abc")), "length must be 2");
        assert_eq!(
            field_fault(Field::array(Field::string()).len_max(1), json!(["a", "b"])),
            "length must be at most 1"
        );
    }

    #[test]
    fn of_patterns() {
        assert_eq!(field_fault(typedefs::http_method(), json!("get")), "invalid value: get");
        assert_eq!(field_fault(typedefs::path(), json!("x")), "should start with: /");
        assert_eq!(field_fault(typedefs::path(), json!("/a//b")), "must not have empty segments");
        assert_eq!(
            field_fault(typedefs::wildcard_host(), json!("*.*.test")),
            "invalid wildcard: must have at most one wildcard"
        );
        assert_eq!(
            field_fault(typedefs::wildcard_host(), json!("*a.test")),
            "invalid wildcard: must be placed at leftmost or rightmost label"
        );
        assert_eq!(field_fault(typedefs::wildcard_host(), json!("*.a.test")), Value::Null);
    }

    #[test]
    fn of_items_stands_at_their_place() {
        let protocols = Field::set(Field::string().one_of(["http", "https"]));
        assert_eq!(field_fault(protocols, json!(["http", "tls"])), json!([null, "expected one of: http, https"]));
    }

    #[test]
    fn of_exclusive_subsets_names_the_whole_subsets() {
        let protocols = typedefs::protocols().mutually_exclusive_subsets(&[
            &["http", "https"],
            &["tcp", "tls", "udp"],
            &["grpc", "grpcs"],
        ]);
        assert_eq!(
            field_fault(protocols, json!(["http", "tcp"])),
            "these sets are mutually exclusive: ('http', 'https'), ('tcp', 'tls', 'udp')"
        );
    }

    #[test]
    fn of_references() {
        assert_eq!(field_fault(Field::foreign("services"), json!({"name": "s"})), json!({"id": "missing primary key"}));
        assert_eq!(field_fault(Field::foreign("services"), json!({"id": "x"})), json!({"id": "expected a valid UUID"}));
    }

    #[test]
    fn a_field_may_have_its_own_words() {
        let field = Field::boolean().ne(true).err("cannot set 'strip_path'");
        assert_eq!(field_fault(field, json!(true)), "cannot set 'strip_path'");
    }

    #[test]
    fn a_vault_reference_passes_where_it_is_allowed() {
        let reference = json!("{vault://env/secret}");
        assert_eq!(field_fault(Field::string().one_of(["a"]).referenceable(), reference.clone()), Value::Null);
        assert_eq!(field_fault(Field::string().one_of(["a"]), reference), "expected one of: a");
    }
}

mod checks_across_fields {
    use super::*;

    fn two() -> Record {
        Record::new().field("a", Field::string()).field("b", Field::string())
    }

    fn said(check: checks::EntityCheck, document: Value) -> Vec<String> {
        faults(&two().check(check), document).entity
    }

    #[test]
    fn simple_ones() {
        assert_eq!(
            said(checks::at_least_one_of(&["a", "b"]), json!({})),
            ["at least one of these fields must be non-empty: 'a', 'b'"]
        );
        assert_eq!(
            said(checks::only_one_of(&["a", "b"]), json!({"a": "x", "b": "y"})),
            ["exactly one of these fields must be non-empty: 'a', 'b'"]
        );
        assert_eq!(
            said(checks::mutually_exclusive(&["a", "b"]), json!({"a": "x", "b": "y"})),
            ["only one or none of these fields must be set: 'a', 'b'"]
        );
        assert_eq!(
            said(checks::mutually_required(&["a", "b"]), json!({"a": "x"})),
            ["all or none of these fields must be set: 'a', 'b'"]
        );
        assert_eq!(
            said(checks::distinct(&["a", "b"]), json!({"a": "x", "b": "x"})),
            ["values of these fields must be distinct: 'a', 'b'"]
        );
    }

    #[test]
    fn an_update_says_so() {
        let record = two().check(checks::at_least_one_of(&["a", "b"]));
        let found = record.validate(&json!({"a": null, "b": null}), Purpose::Update).unwrap_err();
        assert_eq!(found.entity, ["when updating, at least one of these fields must be non-empty: 'a', 'b'"]);
    }

    #[test]
    fn a_condition_takes_the_rest_from_its_field() {
        let record = Record::new()
            .field("hash_on", Field::string().one_of(["none", "header"]).default("none"))
            .field("hash_on_header", typedefs::header_name())
            .check(checks::conditional(
                "hash_on",
                Field::condition().matches("^header$"),
                "hash_on_header",
                Field::condition().required(),
            ));
        let expected = "failed conditional validation given value of field 'hash_on'";
        let missing = faults(&record, json!({"hash_on": "header"}));
        assert_eq!(missing.to_json(), json!({"@entity": [expected], "hash_on_header": "required field missing"}));
        assert_eq!(
            missing.message(),
            format!("2 schema violations ({expected}; hash_on_header: required field missing)")
        );
        let bad = faults(&record, json!({"hash_on": "header", "hash_on_header": "a b"}));
        assert_eq!(bad.entity, [expected], "the rules of the field hold within the condition");
        assert!(faults(&record, json!({})).is_empty());
    }

    #[test]
    fn a_condition_on_elements() {
        let record = Record::new()
            .field("protocols", typedefs::protocols().default(json!(["http"])))
            .field("snis", Field::set(typedefs::wildcard_sni()))
            .check(
                checks::conditional(
                    "protocols",
                    Field::elements_condition(Field::string().not_one_of(["https", "tls"])),
                    "snis",
                    Field::condition().len_eq(0),
                )
                .then_err("'snis' needs TLS"),
            );
        assert_eq!(
            faults(&record, json!({"snis": ["a.test"]})).to_json(),
            json!({"@entity": ["'snis' needs TLS"], "snis": "length must be 0"})
        );
        assert!(faults(&record, json!({"snis": ["a.test"], "protocols": ["https"]})).is_empty());
    }

    #[test]
    fn conditional_at_least_one_of_with_two_places() {
        let record = two().field("p", Field::set(Field::string())).check(
            checks::conditional_at_least_one_of("p", Field::condition().contains("https"), &["a", "b"], "one of %s")
                .otherwise(Field::condition().contains("http"), &["a"], "just %s"),
        );
        assert_eq!(faults(&record, json!({"p": ["https"]})).entity, ["one of 'a', 'b'"]);
        assert_eq!(faults(&record, json!({"p": ["http"], "b": "x"})).entity, ["just 'a'"]);
        assert!(faults(&record, json!({"p": ["tcp"]})).is_empty());
    }

    #[test]
    fn code_runs_only_on_sound_fields() {
        let record = two().check(checks::custom("never", &["a"], |_| Err::<(), _>("ran")));
        assert_eq!(faults(&record, json!({"a": "x"})).entity, ["ran"]);
        assert!(faults(&record, json!({})).is_empty(), "not when nothing is set");
        assert!(faults(&record, json!({"a": 5})).entity.is_empty(), "not on a field at fault");
    }

    #[test]
    fn paths_reach_into_records() {
        let redis = Record::new().field("host", Field::string());
        let config = Record::new().field("policy", Field::string()).field("redis", Field::record(redis));
        let record = Record::new().field("config", Field::record(config)).require_records().check(checks::conditional(
            "config.policy",
            Field::condition().eq("redis"),
            "config.redis.host",
            Field::condition().required(),
        ));
        assert_eq!(
            faults(&record, json!({"config": {"policy": "redis"}})).message(),
            "2 schema violations (failed conditional validation given value of field 'config.policy'; \
             config.redis: {\n  host = \"required field missing\"\n})"
        );
    }
}

mod filling {
    use super::*;

    #[test]
    fn puts_defaults_and_nulls_in_schema_order() {
        let record = Record::new()
            .field("name", Field::string())
            .field("port", Field::integer().default(80))
            .field("inner", Field::record(Record::new().field("x", Field::number().default(1))))
            .field("free", Field::record(Record::new().field("x", Field::number().default(1))).optional())
            .require_records();
        let document = filled(&record, json!({"port": 8080.0}));
        assert_eq!(document.to_string(), r#"{"name":null,"port":8080,"inner":{"x":1},"free":null}"#);
    }

    #[test]
    fn generates_ids_times_and_secrets_unless_given() {
        let record = Record::new()
            .field("id", typedefs::id())
            .field("created_at", typedefs::auto_timestamp())
            .field("updated_at", typedefs::auto_timestamp_ms())
            .field("key", Field::string().auto());
        let document = filled(&record, json!({"created_at": 5, "updated_at": 6}));
        assert_eq!(document["id"], "00000000-0000-4000-8000-000000000001");
        assert_eq!(document["created_at"], 5);
        assert_eq!(document["updated_at"], 1_700_000_000.123);
        assert_eq!(document["key"], "s".repeat(32));
        let update = filled_in(&record, json!({"id": "x"}), Context::Update);
        assert_eq!(update, json!({"id": "x", "updated_at": 1_700_000_000.123}));
    }

    #[test]
    fn removes_duplicates_of_sets_and_tells_empty_things_apart() {
        let record = Record::new()
            .field("set", Field::set(Field::string()))
            .field("map", Field::map(Field::string(), Field::string()))
            .field("list", Field::array(Field::string()));
        let document = filled(&record, json!({"set": ["b", "a", "b"], "map": [], "list": {}}));
        assert_eq!(document, json!({"set": ["b", "a"], "map": {}, "list": []}));
    }

    #[test]
    fn leaves_additive_fields_out_until_they_are_set() {
        let record =
            Record::new().field("a", Field::string().since("3.15")).field("b", Field::boolean().ours().default(true));
        assert_eq!(filled(&record, json!({})), json!({}));
        assert_eq!(filled(&record, json!({"a": "x"})), json!({"a": "x"}));
    }

    #[test]
    fn follows_the_defaults_of_the_version_asked_for() {
        let record = Record::new().field("hide", Field::boolean().default(false).default_3_15(true));
        let mut fields = Map::new();
        let mut filler = Filler { context: Context::Insert, compat: Compat::V3_15, sources: &mut Fixed };
        record.fill(&mut fields, &mut filler).unwrap();
        assert_eq!(fields["hide"], true);
        assert_eq!(record.render(Compat::V3_15)["fields"][0]["hide"]["default"], true);
        assert_eq!(record.render(Compat::V3_10)["fields"][0]["hide"]["default"], false);
    }
}

mod shorthands {
    use super::*;

    fn record() -> Record {
        let redis = Record::new().field("host", Field::string()).field("port", Field::integer().default(6379));
        Record::new()
            .field("redis", Field::record(redis))
            .shorthand(Shorthand::replaced_with("redis_host", Field::string(), &["redis", "host"], "moved"))
            .shorthand(Shorthand::replaced_with("redis_port", Field::integer(), &["redis", "port"], "moved"))
            .require_records()
    }

    #[test]
    fn old_names_fill_the_new_fields_and_are_echoed() {
        let mut document = filled(&record(), json!({"redis_host": "h"}));
        assert_eq!(document, json!({"redis": {"host": "h", "port": 6379}}));
        record().echo_shorthands(document.as_object_mut().unwrap());
        assert_eq!(document["redis_host"], "h");
        assert_eq!(document["redis_port"], 6379);
    }

    #[test]
    fn both_names_must_agree() {
        let mut fields = json!({"redis_host": "a", "redis": {"host": "b"}}).as_object().unwrap().clone();
        let mut filler = Filler { context: Context::Insert, compat: Compat::V3_10, sources: &mut Fixed };
        let faults = record().fill(&mut fields, &mut filler).unwrap_err();
        assert_eq!(
            faults.to_json(),
            json!({"redis_host": "both deprecated and new field are used but their values mismatch: \
                                 redis_host = a vs redis.host = b"})
        );
    }

    #[test]
    fn a_shorthand_overrides_what_it_stands_for() {
        let record = Record::new()
            .field("host", Field::string())
            .field("port", Field::integer().default(80))
            .shorthand(Shorthand::new("url", Field::string(), |_, _| {
                json!({"host": "u.test", "port": 443}).as_object().cloned().unwrap_or_default()
            }));
        assert_eq!(filled(&record, json!({"url": "x", "host": "h"})), json!({"host": "u.test", "port": 443}));
    }
}

mod merging {
    use super::*;

    #[test]
    fn records_merge_deeply_and_all_else_is_replaced() {
        let record = Record::new()
            .field("list", Field::array(Field::string()))
            .field("map", Field::map(Field::string(), Field::string()))
            .field("rec", Field::record(Record::new().field("a", Field::string()).field("b", Field::string())));
        let base = json!({"list": ["x"], "map": {"k": "v"}, "rec": {"a": "1", "b": "2"}});
        let changes = json!({"list": ["y"], "map": {"l": "w"}, "rec": {"b": null}});
        let merged = record.merge(base.as_object().unwrap(), changes.as_object().unwrap().clone());
        assert_eq!(Value::Object(merged), json!({"list": ["y"], "map": {"l": "w"}, "rec": {"a": "1", "b": null}}));
    }
}

mod subschemas {
    use super::*;

    fn plugins() -> Record {
        let config = Record::new().field("minute", Field::number().gt(0));
        let known = Arc::new(
            Record::new()
                .field("config", Field::record(config))
                .field("consumer", Field::foreign("consumers").eq_null())
                .require_records()
                .check(checks::at_least_one_of(&["config.minute"])),
        );
        Record::new()
            .field("name", Field::string().required())
            .field("consumer", Field::foreign("consumers").default(Value::Null).on_delete(OnDelete::Cascade))
            .field("config", Field::record(Record::new()).is_abstract())
            .subschemas(Subschemas {
                key: "name".into(),
                error: Some("plugin '%s' not enabled".into()),
                lookup: Arc::new(move |name| (name == "limits").then(|| Arc::clone(&known))),
            })
    }

    #[test]
    fn the_subschema_stands_in_for_its_fields() {
        assert_eq!(
            filled(&plugins(), json!({"name": "limits"})),
            json!({"name": "limits", "consumer": null, "config": {"minute": null}})
        );
        let id = "00000000-0000-4000-8000-000000000001";
        assert_eq!(
            faults(&plugins(), json!({"name": "limits", "consumer": {"id": id}})).to_json(),
            json!({"@entity": ["at least one of these fields must be non-empty: 'config.minute'"],
                   "consumer": "value must be null"})
        );
    }

    #[test]
    fn an_unknown_one_is_the_only_fault() {
        assert_eq!(
            faults(&plugins(), json!({"name": "nope", "bogus": 1})).to_json(),
            json!({"name": "plugin 'nope' not enabled"})
        );
        assert_eq!(faults(&plugins(), json!({})).to_json(), json!({"name": "required field missing"}));
    }
}

mod published_form {
    use super::*;

    #[test]
    fn is_that_of_kong() {
        let record = Record::new()
            .field("name", typedefs::utf8_name())
            .field("paths", Field::array(typedefs::path()))
            .field("service", Field::foreign("services").on_delete(OnDelete::Cascade))
            .field("old", Field::integer().deprecated(Deprecation { message: "gone".into(), ..Default::default() }))
            .check(checks::conditional(
                "name",
                Field::condition().one_of(["a"]),
                "service",
                Field::condition().eq_null(),
            ));
        assert_eq!(
            record.render(Compat::V3_10),
            json!({
                "fields": [
                    {"name": {"type": "string", "len_min": 1, "unique": true}},
                    {"paths": {"type": "array", "elements": {
                        "type": "string", "len_min": 1, "required": true, "starts_with": "/",
                        "match_none": [{"pattern": "//", "err": "must not have empty segments"}]}}},
                    {"service": {"type": "foreign", "reference": "services", "on_delete": "cascade"}},
                    {"old": {"type": "integer", "deprecation": {"message": "gone"}}},
                ],
                "entity_checks": [{"conditional": {
                    "if_field": "name", "if_match": {"one_of": ["a"]},
                    "then_field": "service", "then_match": {"eq": null}}}],
            })
        );
    }
}
