//! Plugins: what is done to requests, and where.

use std::sync::Arc;

use gibbon_schema::{Field, OnDelete, Record, Subschemas, Validator, typedefs};
use serde_json::Value;

use crate::{entity::EntityDef, registry::RegistryOptions};

const HTTP: [&str; 4] = ["grpc", "grpcs", "http", "https"];

pub fn plugins(options: &RegistryOptions) -> EntityDef {
    let schemas = Arc::clone(&options.plugins);
    let record = Record::new()
        .field("id", typedefs::id())
        .field("name", Field::string().required())
        .field("instance_name", typedefs::utf8_name())
        .field("created_at", typedefs::auto_timestamp())
        .field("updated_at", typedefs::auto_timestamp())
        .field("route", scope("routes"))
        .field("service", scope("services"))
        .field("consumer", scope("consumers"))
        .field("consumer_group", scope("consumer_groups").since("3.11"))
        .field("config", Field::record(Record::new()).is_abstract())
        .field("protocols", Field::set(typedefs::protocol()).required().default(HTTP.map(Value::from).to_vec()))
        .field("enabled", Field::boolean().required().default(true))
        .field("tags", typedefs::tags())
        .field("ordering", Field::record(ordering()).optional().since("3.11"))
        .field("partials", Field::array(Field::record(partial_link())).since("3.11"))
        .field("condition", condition().since("3.13"))
        .subschemas(Subschemas {
            key: "name".into(),
            error: Some("plugin '%s' not enabled; add it to the 'plugins' configuration property".into()),
            lookup: Arc::new(move |name| schemas.schema(name).map(|schema| Arc::clone(schema.subschema()))),
        });
    EntityDef::new("plugins", record).endpoint_key("instance_name").cache_key(&[
        "name",
        "route",
        "service",
        "consumer",
        "consumer_group",
    ])
}

fn scope(entity: &'static str) -> Field {
    Field::foreign(entity).default(Value::Null).on_delete(OnDelete::Cascade)
}

/// Plugins this one runs before or after, whatever their priorities.
fn ordering() -> Record {
    let phase = || Field::record(Record::new().field("access", Field::array(Field::string()))).optional();
    Record::new().field("before", phase()).field("after", phase())
}

/// Must hold of a request for the plugin to run on it: an expression in the language of routes.
fn condition() -> Field {
    let check = |value: &Value| {
        let text = value.as_str().unwrap_or_default();
        gibbon_expr::compile(text, gibbon_expr::Schema::Http).map(|_| ()).map_err(|error| error.to_string())
    };
    Field::string().len_max(1024).custom(Validator::new("plugin_condition", check))
}

/// A shared piece of configuration, and the place in `config` it stands in for.
fn partial_link() -> Record {
    Record::new().field("id", Field::string()).field("name", Field::string()).field("path", Field::string())
}
