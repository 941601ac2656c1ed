//! The list of parts: every family of plugins that this binary has. Nothing registers itself.

use std::sync::Arc;

use gibbon_pdk::{AdminRoot, Part, Plugin};
use gibbon_plan::Plugins;

use crate::ports::Ports;

/// The families; each is the list that its crate exports.
const FAMILIES: &[&[Part]] = &[
    gibbon_ai::PARTS,
    gibbon_auth::PARTS,
    gibbon_observe::PARTS,
    gibbon_security::PARTS,
    gibbon_traffic::PARTS,
    gibbon_transform::PARTS,
];

/// The bundled plugins that the `plugins` setting lets in.
#[must_use]
pub fn loaded(settings: &gibbon_conf::Settings) -> Plugins {
    bundled().into_iter().filter(|(name, _)| settings.plugins.includes(name, true)).collect()
}

/// All bundled plugins by name.
#[must_use]
pub fn bundled() -> Plugins {
    FAMILIES.iter().flat_map(|family| family.iter()).map(|part| (Arc::from(part.name), Plugin::from(part))).collect()
}

/// Paths that plugins add to the Admin API.
pub fn admin_paths(ports: &Ports) -> Vec<AdminRoot> {
    let mut paths = gibbon_traffic::admin_paths(&*ports.state, Arc::clone(&ports.clock));
    paths.extend(gibbon_security::admin_paths(&*ports.state));
    paths
}
