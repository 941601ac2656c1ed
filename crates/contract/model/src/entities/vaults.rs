//! Vaults: where references such as `{vault://prefix/name}` are looked up.

use std::sync::Arc;

use gibbon_schema::{Field, Record, Subschemas, typedefs};
use indexmap::IndexMap;

use crate::{entity::EntityDef, registry::RegistryOptions};

/// The vault that needs nothing: environment variables.
pub fn built_in() -> IndexMap<String, Record> {
    let env = Record::new().field("prefix", Field::string().matches("^[%a_-][%a%d_-]*$"));
    IndexMap::from_iter([("env".to_owned(), env)])
}

pub fn vaults(options: &RegistryOptions) -> EntityDef {
    // A prefix may not hide a vault that can be addressed by its own name.
    let names: Vec<&str> = options.vaults.keys().map(String::as_str).collect();
    let schemas: IndexMap<String, Arc<Record>> = options
        .vaults
        .iter()
        .map(|(name, config)| {
            let subschema = Record::new().field("config", Field::record(config.clone())).require_records();
            (name.clone(), Arc::new(subschema))
        })
        .collect();
    let record = Record::new()
        .field("id", typedefs::id())
        .field(
            "prefix",
            Field::string()
                .required()
                .unique()
                .unique_across_ws()
                .matches("^[a-z][a-z%d-]-[a-z%d]+$")
                .not_one_of(names),
        )
        .field("name", Field::string().required())
        .field("description", Field::string())
        .field("config", Field::record(Record::new()).is_abstract())
        .field("created_at", typedefs::auto_timestamp())
        .field("updated_at", typedefs::auto_timestamp())
        .field("tags", typedefs::tags())
        .subschemas(Subschemas {
            key: "name".into(),
            error: Some("vault '%s' is not installed".into()),
            lookup: Arc::new(move |name| schemas.get(name).map(Arc::clone)),
        });
    EntityDef::new("vaults", record).endpoint_key("prefix").cache_key(&["prefix"])
}
