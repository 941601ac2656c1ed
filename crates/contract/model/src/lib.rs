//! The entities: services, routes, consumers, plugins, upstreams, certificates and the rest, and what plugins bring.
//!
//! An [`EntityDef`] is a schema with the facts that surround it: keys, paths, references, whether it is exported. All
//! of them stand in a [`Registry`], which Lua plugins extend at load. Surfaces, stores and the declarative reader are
//! written against the registry and name no entity.
//!
//! Left to others: storage, uniqueness and the existence of what is referred to (they need all entities), the
//! compilation of entities into what the request path uses, and the configurations of single plugins, which come in
//! through [`PluginSchemas`].

mod cache_key;
mod entities;
mod entity;
mod jwk;
pub mod partials;
mod plugin;
mod registry;
mod target;
mod transforms;
mod x509;

pub use entities::routes::{ExpressionCheck, RouterFlavor};
pub use entities::vaults::built_in as built_in_vaults;
pub use entity::{EntityDef, Transform, Write};
pub use plugin::{NoPlugins, PluginSchema, PluginSchemas, PluginScopes, protocols_match};
pub use registry::{Registry, RegistryOptions};
pub use target::{DEFAULT_PORT as DEFAULT_TARGET_PORT, normalise_target};
pub use transforms::{is_token, token_ident};
pub use x509::certificate_digest;

/// The identifier of the only workspace where no other is made.
pub const DEFAULT_WORKSPACE_ID: &str = "0dc6f45b-8f8d-40d2-a504-473544ee190b";
