//! Chains of Wasm filters on a route or a service.

use gibbon_schema::{Field, Kind, OnDelete, Record, checks, typedefs};
use serde_json::{Value, json};

use crate::{entity::EntityDef, registry::RegistryOptions};

pub fn filter_chains(options: &RegistryOptions) -> EntityDef {
    let filter = Record::new()
        .field(
            "name",
            Field::string().required().one_of(options.filters.iter().map(String::as_str)).err("no such filter"),
        )
        .field("enabled", Field::boolean().required().default(true))
        .field("config", filter_config());
    let record = Record::new()
        .field("id", typedefs::id())
        .field("name", typedefs::utf8_name())
        .field("enabled", Field::boolean().required().default(true))
        .field("route", parent("routes"))
        .field("service", parent("services"))
        .field("filters", Field::array(Field::record(filter)).required().len_min(1))
        .field("created_at", typedefs::auto_timestamp())
        .field("updated_at", typedefs::auto_timestamp())
        .field("tags", typedefs::tags())
        .check(checks::mutually_exclusive(&["service", "route"]))
        .check(checks::at_least_one_of(&["service", "route"]))
        .check(filters_are_installed(options.filters.is_empty()));
    EntityDef::new("filter_chains", record)
        .endpoint_key("name")
        .cache_key(&["route", "service"])
        .paths("filter-chains", "filter-chains")
}

fn parent(entity: &'static str) -> Field {
    Field::foreign(entity).default(Value::Null).unique().on_delete(OnDelete::Cascade)
}

/// The form of a filter's configuration is a JSON schema that the filter brings; without one it is a text.
fn filter_config() -> Field {
    let schema = json!({
        "default": {"$schema": "http://json-schema.org/draft-04/schema#", "type": ["string", "null"]},
        "namespace": "proxy-wasm-filters",
        "optional": true,
        "parent_subschema_key": "name",
    });
    Field { kind: Kind::Json(Some(schema)), ..Field::json().optional() }
}

fn filters_are_installed(none: bool) -> gibbon_schema::checks::EntityCheck {
    checks::custom(
        "filters_are_installed",
        &["filters"],
        move |_| {
            if none { Err("no filters are installed") } else { Ok(()) }
        },
    )
    .run_with_invalid_fields()
}
