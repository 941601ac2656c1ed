//! Configurations as the gateway takes them: filled, checked, and refused in Kong's words.

use gibbon_model::{PluginSchema, PluginScopes};
use gibbon_pdk::{Part, Protocol};
use gibbon_schema::{Compat, Context, Field, Filler, Purpose, Sources};
use serde_json::{Value, json};

struct Fixed(u64);

impl Sources for Fixed {
    fn now(&mut self) -> f64 {
        1.7e9
    }

    fn uuid(&mut self) -> String {
        self.0 += 1;
        format!("00000000-0000-4000-8000-{:012}", self.0)
    }

    fn secret(&mut self) -> String {
        self.0 += 1;
        format!("secret{:026}", self.0)
    }
}

/// The schema of the plugin entity as the gateway has it.
pub(crate) fn schema(part: &Part) -> PluginSchema {
    let scopes = PluginScopes {
        route: part.scopes.route,
        service: part.scopes.service,
        consumer: part.scopes.consumer,
        consumer_group: part.scopes.consumer_group,
    };
    let protocols: Vec<&str> = part.protocols.iter().map(Protocol::as_str).collect();
    let field = Field::set(Field::string().one_of(protocols.clone())).required().default(json!(protocols));
    PluginSchema::new(part.name, (part.schema)(), field, scopes)
}

fn check(part: &Part, config: Value) -> Result<Value, Value> {
    let schema = schema(part);
    let record = schema.subschema();
    let mut document = json!({ "config": config });
    let fields = document.as_object_mut().expect("an object");
    let mut filler = Filler { context: Context::Insert, compat: Compat::default(), sources: &mut Fixed(0) };
    record.fill(fields, &mut filler).map_err(|faults| faults.to_json())?;
    record.validate(&document, Purpose::Whole).map_err(|faults| faults.to_json())?;
    Ok(document["config"].take())
}

/// The configuration with everything filled in.
///
/// # Panics
/// When it is refused; the message shows why.
#[must_use]
pub fn accepted(part: &Part, config: Value) -> Value {
    check(part, config).unwrap_or_else(|faults| panic!("{} refused: {faults}", part.name))
}

/// The faults of a configuration, as an answer of the Admin API shows them under `fields`.
///
/// # Panics
/// When it is accepted.
#[must_use]
pub fn refused(part: &Part, config: Value) -> Value {
    match check(part, config) {
        Err(faults) => faults,
        Ok(config) => panic!("{} accepted {config}", part.name),
    }
}
