//! Schemas as data: one description of a configuration, many readers.
//!
//! A [`Record`] lists fields with their types, defaults and rules. The same record fills in defaults ([`Record::fill`]),
//! reports every fault of a document at once ([`Record::validate`]), lays changes over a stored document
//! ([`Record::merge`]) and is published in Kong's form ([`Record::render`]). Schemas of native plugins come from
//! `derive(Schema)`, those of entities are written by hand with the methods of [`Field`], those of Lua and external
//! plugins are built at load; all are the same type. Documents are `serde_json::Value`.
//!
//! This crate knows no entity and no plugin, reads no clock and makes no random numbers (see [`Sources`]).
//!
//! # Writing the configuration of a plugin
//!
//! ```
//! use gibbon_schema::{Compat, Context, Filler, Purpose, Schema, Sources, checks, typedefs};
//! use indexmap::IndexMap;
//! use serde_json::{Value, json};
//!
//! /// Which counter a request is charged to.
//! #[derive(Schema, Debug, PartialEq)]
//! enum LimitBy {
//!     Consumer,
//!     Ip,
//!     #[schema(name = "header")]
//!     HeaderValue,
//! }
//!
//! #[derive(Schema, Debug)]
//! struct Redis {
//!     /// Where the server listens.
//!     #[schema(custom = typedefs::check_host)]
//!     host: Option<String>,
//!     /// The port of the server.
//!     #[schema(default = 6379, between(0, 65535))]
//!     port: u16,
//!     /// May be a vault reference.
//!     #[schema(referenceable, encrypted, len_min = 0)]
//!     password: Option<String>,
//! }
//!
//! #[derive(Schema, Debug)]
//! #[schema(plugin_check = checks::at_least_one_of(&["config.second", "config.minute"]))]
//! #[schema(shorthands = old_names)]
//! struct Config {
//!     /// Requests per second.
//!     #[schema(gt = 0)]
//!     second: Option<f64>,
//!     /// Requests per minute.
//!     #[schema(gt = 0)]
//!     minute: Option<f64>,
//!     /// What is counted.
//!     #[schema(default = "consumer")]
//!     limit_by: LimitBy,
//!     /// The body of a refusal.
//!     #[schema(default = "API rate limit exceeded")]
//!     error_message: String,
//!     /// Paths that are not counted.
//!     #[schema(default = ["/health"], elements(starts_with = "/"))]
//!     skip: Vec<String>,
//!     /// Headers added to a refusal.
//!     #[schema(keys(custom = typedefs::check_header_name), values(len_max = 100))]
//!     headers: IndexMap<String, String>,
//!     redis: Redis,
//!     /// Not known to Kong: absent while unset.
//!     #[schema(ours)]
//!     grace: Option<u32>,
//! }
//!
//! fn old_names() -> Vec<gibbon_schema::Shorthand> {
//!     vec![gibbon_schema::Shorthand::replaced_with(
//!         "redis_host",
//!         gibbon_schema::Field::string(),
//!         &["redis", "host"],
//!         "redis_host is deprecated, please use redis.host instead",
//!     )]
//! }
//!
//! struct Fixed;
//! impl Sources for Fixed {
//!     fn now(&mut self) -> f64 { 1.7e9 }
//!     fn uuid(&mut self) -> String { "00000000-0000-4000-8000-000000000000".into() }
//!     fn secret(&mut self) -> String { "x".repeat(32) }
//! }
//!
//! let record = Config::record().require_records();
//! let mut document = json!({"minute": 5, "redis_host": "cache.test"});
//! let Value::Object(fields) = &mut document else { unreachable!() };
//! record.fill(fields, &mut Filler { context: Context::Insert, compat: Compat::default(), sources: &mut Fixed }).unwrap();
//! record.validate(&document, Purpose::Whole).unwrap();
//! assert_eq!(document["redis"], json!({"host": "cache.test", "port": 6379, "password": null}));
//!
//! let config = Config::from_value(&document).unwrap();
//! assert_eq!(config.limit_by, LimitBy::Consumer);
//! assert_eq!(config.redis.host.as_deref(), Some("cache.test"));
//!
//! // All faults at once, in Kong's words:
//! let faults = record.validate(&json!({"minute": 0, "limit_by": "moon", "skip": ["x"]}), Purpose::Whole).unwrap_err();
//! assert_eq!(faults.to_json(), json!({
//!     "limit_by": "expected one of: consumer, ip, header",
//!     "minute": "value must be greater than 0",
//!     "redis": "required field missing",
//!     "skip": ["should start with: /"],
//! }));
//! ```
//!
//! ## Attributes of fields
//!
//! The doc comment is the description. The Rust type gives the type: `String` string; integers integer; `f64`, `f32`
//! number; `bool` boolean; `Vec<T>` array; [`Set<T>`] set; `IndexMap<String, T>` map; a struct with `derive(Schema)`
//! record; a unit enum with `derive(Schema)` a string that is one of its variants (in snake case, or as
//! `#[schema(name = "…")]` says); `Value` json; [`ForeignKey`] foreign; `Option<T>` may be null. A text, number, boolean
//! or enum that is not optional and has neither a default nor `auto` is required.
//!
//! `required` · `optional` · `default = …` · `default_3_15 = …` · `auto` · `eq = …` · `eq_null` · `ne = …` ·
//! `one_of(…)` · `also_one_of(…)` · `not_one_of(…)` · `gt = 0` · `between(0, 255)` · `len_eq = 1` · `len_min = 1` · `len_max = 9` ·
//! `starts_with = "/"` · `matches = "lua pattern"` · `matches("pattern", err = "…")` · `not_match = "pattern"` ·
//! `match_none("pattern", err = "…")` · `match_all("pattern", err = "…")` · `match_any(["a", "b"], err = "…")` ·
//! `contains = …` · `uuid` · `timestamp` · `is_regex` · `unique` · `referenceable` · `encrypted` · `immutable` ·
//! `indexed` · `transient` · `legacy` · `custom = path::to::check` (a `fn(&Value) -> Result<(), String>`; see
//! [`typedefs`]) · `typedef = typedefs::host()` (start from that field instead of the one of the type) ·
//! `elements(…)`, `keys(…)`, `values(…)` with the same attributes · `foreign = "services"` · `on_delete = "cascade"` ·
//! `deprecated = "message"` · `err = "message"` · `since = "3.15"` · `ours` · `name = "kong_name"` ·
//! `flatten`, alone: the fields of that struct stand in this record.
//!
//! ## Attributes of structs
//!
//! `check = checks::…` for checks across fields; `plugin_check = checks::…` for those that Kong reports at the plugin
//! (paths start with `config.`); `shorthands = path::to::fn` for a function returning `Vec<Shorthand>`;
//! `custom = path::to::check` for a rule over the whole record. `check` and `plugin_check` may be repeated.

mod decode;
mod document;
mod errors;
mod field;
mod fill;
mod lua_text;
mod merge;
mod record;
mod references;
mod render;
mod validate;

pub mod checks;
pub mod host;
pub mod lua_pattern;
pub mod regex_syntax;
pub mod typedefs;
pub mod validators;

pub use decode::{DecodeError, ForeignKey, SchemaType, Set, decode_field, record_fields};
pub use document::{at, is_empty};
pub use errors::{ErrorTree, Faults};
pub use field::{Deprecation, Field, Foreign, Kind, OnDelete, PatternRule, PatternSet, Validator, is_vault_reference};
pub use fill::{Compat, Context, Filler, Sources};
pub use gibbon_schema_derive::Schema;
pub use lua_text::{compact as lua_compact, indented as lua_indented, value as lua_value};
pub use record::{Record, Shorthand, SubschemaLookup, Subschemas};
pub use references::has_references;
pub use validate::{Purpose, is_uuid, validate_field};

/// For the code `derive(Schema)` writes.
#[doc(hidden)]
pub use serde_json;

use serde_json::Value;

/// A Rust type with a schema. Derive it.
pub trait Schema: Sized {
    /// The schema.
    fn record() -> Record;

    /// The value a filled and validated document stands for. Absent fields take their defaults, also those that
    /// documents leave out (`since`, `ours`).
    ///
    /// # Errors
    /// Where the document does not fit the type, which means it was not validated.
    fn from_value(document: &Value) -> Result<Self, DecodeError>;
}
