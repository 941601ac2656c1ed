//! The kinds of entities of this node: the core ones, with the schemas of the plugins that are loaded.

use std::sync::Arc;

use gibbon_conf::{Origin, Settings, Values};
use gibbon_model::{EntityDef, PluginSchema, PluginSchemas, PluginScopes, Registry, RegistryOptions, RouterFlavor};
use gibbon_pdk::{Plugin, Protocol};
use gibbon_plan::Plugins;
use gibbon_schema::{Field, Record};
use indexmap::IndexMap;
use serde_json::Value;

/// Schemas of the loaded plugins, in the form the entity model asks for.
struct Loaded(Vec<PluginSchema>);

impl PluginSchemas for Loaded {
    fn schema(&self, name: &str) -> Option<&PluginSchema> {
        self.0.iter().find(|schema| schema.name == name)
    }

    fn names(&self) -> Vec<String> {
        self.0.iter().map(|schema| schema.name.to_string()).collect()
    }
}

/// Builds the registry for the plugins that the settings let in, with the kinds of entities that some bring.
#[must_use]
pub fn registry(settings: &Settings, plugins: &Plugins, brought: &[EntityDef]) -> Arc<Registry> {
    let mut schemas: Vec<PluginSchema> = plugins.values().map(schema).collect();
    schemas.sort_by(|a, b| a.name.cmp(&b.name));
    let flavor = crate::node::flavor(settings);
    let mut registry = Registry::new(&RegistryOptions {
        expression_check: Some(Arc::new(move |route| gibbon_plan::check_route(flavor, &Value::Object(route.clone())))),
        router_flavor: match settings.router_flavor {
            gibbon_conf::RouterFlavor::TraditionalCompatible => RouterFlavor::TraditionalCompatible,
            gibbon_conf::RouterFlavor::Expressions => RouterFlavor::Expressions,
            gibbon_conf::RouterFlavor::Traditional => RouterFlavor::Traditional,
        },
        plugins: Arc::new(Loaded(schemas)),
        vaults: vaults(settings),
        ..RegistryOptions::default()
    });
    for def in brought {
        registry.add(def.clone());
    }
    Arc::new(registry)
}

/// The vaults that the `vaults` setting lets in.
fn vaults(settings: &Settings) -> IndexMap<String, Record> {
    gibbon_model::built_in_vaults().into_iter().filter(|(name, _)| settings.vaults.includes(name, true)).collect()
}

/// Refuses names of vaults that there are not.
///
/// # Errors
/// The first such name, with where it was given.
pub fn refuse_unknown_vaults(settings: &Settings, values: &Values) -> anyhow::Result<()> {
    let known = gibbon_model::built_in_vaults();
    let Some(unknown) = settings.vaults.names.iter().find(|name| !known.contains_key(name.as_str())) else {
        return Ok(());
    };
    let names: Vec<&str> = known.keys().map(String::as_str).collect();
    let place = match values.origin("vaults") {
        Origin::Default => String::new(),
        origin => format!("{origin}; "),
    };
    anyhow::bail!(
        "vaults: {unknown} vault is enabled but not installed [{place}valid: bundled, off, {}]",
        names.join(", ")
    )
}

fn schema(plugin: &Plugin) -> PluginSchema {
    let scopes = PluginScopes {
        route: plugin.scopes.route,
        service: plugin.scopes.service,
        consumer: plugin.scopes.consumer,
        consumer_group: plugin.scopes.consumer_group,
    };
    PluginSchema::new(plugin.name.to_string(), (*plugin.schema).clone(), protocols(plugin), scopes)
}

/// Plugins that run for more than HTTP's family unless told otherwise, as Kong's do.
const WIDER: &[(&str, &[&str])] = &[("ip-restriction", &["http", "https", "tcp", "tls", "grpc", "grpcs"])];

/// The `protocols` field of a plugin: what it knows, and of that, HTTP's family by default.
fn protocols(plugin: &Plugin) -> Field {
    let known: Vec<&str> = sorted(plugin.protocols.iter().map(Protocol::as_str));
    let http: Vec<&str> = sorted(["grpc", "grpcs", "http", "https"].into_iter().filter(|p| known.contains(p)));
    let wider = WIDER.iter().find(|(name, _)| *name == &*plugin.name).map(|(_, protocols)| protocols.to_vec());
    let default = wider.unwrap_or(if http.is_empty() { known.clone() } else { http });
    Field::set(Field::string().one_of(known)).required().default(serde_json::json!(default))
}

fn sorted<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names
}
