//! Lists the plugins that the settings let in, in the order in which they run on a request.

use std::fmt::Write as _;

use gibbon_pdk::{Phase, Plugin, Protocol};
use serde_json::{Value, json};

use crate::cli::Where;
use crate::exit::Outcome;
use crate::machine;
use crate::output::Output;

/// Prints a table, or with `as_json` a list of objects.
pub fn list(place: &Where, as_json: bool, out: &Output) -> Outcome {
    let loaded = machine::load(place, out, true)?;
    let mut plugins: Vec<Plugin> = gibbon_assembly::loaded(&loaded.settings).into_values().collect();
    plugins.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| b.name.cmp(&a.name)));
    if as_json {
        let rows: Vec<Value> = plugins.iter().map(described).collect();
        out.say(serde_json::to_string_pretty(&rows)?);
    } else {
        out.say(table(&plugins).trim_end());
    }
    Ok(())
}

fn phases(plugin: &Plugin) -> Vec<&'static str> {
    plugin.phases.iter().map(Phase::name).collect()
}

fn described(plugin: &Plugin) -> Value {
    let protocols: Vec<&str> = plugin.protocols.iter().map(|protocol: Protocol| protocol.as_str()).collect();
    json!({
        "name": &*plugin.name,
        "priority": plugin.priority,
        "version": &*plugin.version,
        "phases": phases(plugin),
        "protocols": protocols,
    })
}

fn table(plugins: &[Plugin]) -> String {
    let widest = plugins.iter().map(|plugin| plugin.name.len()).max().unwrap_or_default();
    let mut text = format!("{:widest$}  {:>8}  {:8}  PHASES\n", "NAME", "PRIORITY", "VERSION");
    for plugin in plugins {
        let phases = phases(plugin).join(" ");
        let _ = writeln!(text, "{:widest$}  {:>8}  {:8}  {phases}", plugin.name, plugin.priority, plugin.version);
    }
    text
}
