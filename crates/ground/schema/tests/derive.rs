//! What each attribute of `derive(Schema)` becomes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use gibbon_schema::{Compat, Field, ForeignKey, Purpose, Schema, SchemaType, Set, checks, typedefs};
use indexmap::IndexMap;
use serde_json::{Value, json};

fn published<T: Schema>(field: &str) -> Value {
    T::record().get(field).unwrap_or_else(|| panic!("no field {field}")).render(Compat::V3_10)
}

#[derive(Schema, Debug, PartialEq, Clone, Copy)]
enum Mode {
    RoundRobin,
    #[schema(name = "LEAST")]
    Least,
}

#[derive(Schema, Debug, PartialEq)]
struct Inner {
    /// One line
    /// and another.
    #[schema(default = 5, between(0, 255))]
    count: u8,
}

#[derive(Schema)]
#[allow(dead_code)]
struct Everything {
    text: String,
    #[schema(len_min = 2, len_max = 4, matches = "^%a+$")]
    short: Option<String>,
    #[schema(len_eq = 3, matches("^x", err = "must begin with x"))]
    exact: Option<String>,
    #[schema(match_none("//", err = "no"), match_any(["^/", "^~/"], err = "or"), match_all("x", err = "all"))]
    patterns: Option<String>,
    #[schema(starts_with = "/", not_match = "%.%.", one_of("/a", "/b"), not_one_of("/c"))]
    path: Option<String>,
    #[schema(default = ["a", "b"], elements(one_of("a", "b", "c")))]
    list: Vec<String>,
    #[schema(elements(between(100, 599)), contains = 200)]
    set: Set<u16>,
    #[schema(keys(custom = typedefs::check_header_name), values(len_max = 9, referenceable))]
    map: IndexMap<String, String>,
    inner: Inner,
    #[schema(optional)]
    maybe: Option<Inner>,
    many: Vec<Inner>,
    mode: Mode,
    #[schema(foreign = "consumers", on_delete = "cascade", eq_null)]
    consumer: Option<ForeignKey>,
    #[schema(gt = 0.5, ne = 7)]
    number: Option<f64>,
    #[schema(default = true, default_3_15 = false)]
    flag: bool,
    anything: Value,
    #[schema(auto, uuid, unique)]
    id: String,
    #[schema(timestamp, immutable, indexed, transient, legacy, encrypted)]
    at: Option<i64>,
    #[schema(typedef = typedefs::port(), default = 80)]
    port: u16,
    #[schema(since = "3.15", default = 10)]
    later: u32,
    #[schema(name = "type")]
    kind: Option<String>,
    #[schema(is_regex, deprecated = "gone", err = "bad")]
    r#match: Option<String>,
}

#[test]
fn types_follow_from_types() {
    let kinds = |field: &str| published::<Everything>(field)["type"].as_str().unwrap().to_owned();
    let expected = [
        ("text", "string"),
        ("list", "array"),
        ("set", "set"),
        ("map", "map"),
        ("inner", "record"),
        ("mode", "string"),
        ("consumer", "foreign"),
        ("number", "number"),
        ("port", "integer"),
        ("flag", "boolean"),
        ("anything", "json"),
    ];
    for (field, kind) in expected {
        assert_eq!(kinds(field), kind, "{field}");
    }
}

#[test]
fn what_rust_cannot_do_without_is_required() {
    let required = |field: &str| published::<Everything>(field).get("required").cloned();
    assert_eq!(required("text"), Some(json!(true)));
    assert_eq!(required("mode"), Some(json!(true)));
    for field in ["short", "flag", "list", "inner", "id"] {
        assert_eq!(required(field), None, "{field}");
    }
    assert_eq!(required("maybe"), Some(json!(false)));
}

#[test]
fn rules_are_published() {
    let of = published::<Everything>;
    assert_eq!(of("short"), json!({"type": "string", "len_min": 2, "len_max": 4, "match": "^%a+$"}));
    assert_eq!(of("exact")["match_all"], json!([{"pattern": "^x", "err": "must begin with x"}]));
    assert_eq!(
        of("patterns"),
        json!({"type": "string", "len_min": 1, "match_none": [{"pattern": "//", "err": "no"}],
               "match_all": [{"pattern": "x", "err": "all"}],
               "match_any": {"patterns": ["^/", "^~/"], "err": "or"}})
    );
    assert_eq!(of("list")["elements"]["one_of"], json!(["a", "b", "c"]));
    assert_eq!(of("set")["elements"]["between"], json!([100, 599]));
    assert_eq!(of("map")["values"]["referenceable"], true);
    assert_eq!(of("mode")["one_of"], json!(["round_robin", "LEAST"]));
    assert_eq!(
        of("consumer"),
        json!({"type": "foreign", "reference": "consumers", "on_delete": "cascade", "eq": null})
    );
    assert_eq!(of("number"), json!({"type": "number", "gt": 0.5, "ne": 7}));
    assert_eq!(of("port"), json!({"type": "integer", "between": [0, 65535], "default": 80}));
    assert_eq!(of("later"), json!({"type": "integer"}), "defaults of later versions are not published");
    assert_eq!(of("inner")["fields"][0]["count"]["description"], "One line and another.");
    assert_eq!(of("match")["deprecation"]["message"], "gone");
    assert!(Everything::record().get("type").is_some());
}

#[test]
fn documents_become_values_and_missing_fields_their_defaults() {
    let value = Everything::from_value(&json!({
        "text": "t", "mode": "LEAST", "id": "i", "list": null, "set": [200, 200], "many": [{"count": 1}],
        "map": {"a": "b"}, "maybe": null, "consumer": null, "type": "k",
    }))
    .unwrap();
    assert_eq!(value.list, ["a", "b"]);
    assert_eq!(value.set.len(), 1);
    assert!(value.set.contains(&200));
    assert_eq!(value.many, [Inner { count: 1 }]);
    assert_eq!(value.inner, Inner { count: 5 });
    assert_eq!(value.maybe, None);
    assert_eq!(value.mode, Mode::Least);
    assert_eq!(value.mode.as_str(), "LEAST");
    assert_eq!(value.later, 10);
    assert_eq!(value.kind.as_deref(), Some("k"));
    assert!(value.flag);
}

#[test]
fn what_does_not_fit_is_named_by_path() {
    let error = Everything::from_value(&json!({"text": "t", "mode": "LEAST", "id": "i", "many": [{"count": 300}]}));
    assert_eq!(error.err().unwrap().to_string(), "many.1.count: 300 is out of range");
    let error = Mode::decode(&json!("x")).unwrap_err();
    assert_eq!(error.to_string(), "document: expected one of: round_robin, LEAST");
}

fn refuse(_: &Value) -> Result<(), String> {
    Err("refused as a whole".to_owned())
}

#[derive(Schema)]
#[schema(check = checks::at_least_one_of(&["a", "b"]), check = checks::distinct(&["a", "b"]))]
#[schema(plugin_check = checks::mutually_required(&["config.a", "config.b"]), custom = refuse)]
#[allow(dead_code)]
struct Checked {
    a: Option<String>,
    b: Option<String>,
}

#[test]
fn structs_carry_checks() {
    let record = Checked::record();
    assert_eq!((record.checks.len(), record.plugin_checks.len()), (2, 1));
    let config = gibbon_schema::Record::new().field("config", Field::record(record));
    let said = |config_value: Value| {
        config.validate(&json!({ "config": config_value }), Purpose::Whole).unwrap_err().to_json()["config"].clone()
    };
    assert_eq!(said(json!({"a": "x", "b": "y"})), "refused as a whole");
    assert_eq!(
        said(json!({"a": "x", "b": "x"})),
        json!({"@entity": ["values of these fields must be distinct: 'a', 'b'"]})
    );
}
