//! `pre-function` and `post-function`: plugins whose code stands in their configuration. The schema is native, so that a
//! node without other Lua plugins starts no interpreter to read it.

use std::cell::RefCell;
use std::sync::Arc;

use gibbon_pdk::{Phase, Phases, Plugin, Protocol, Protocols, Scopes};
use gibbon_schema::checks::at_least_one_of;
use gibbon_schema::{Field, Record, Validator};
use mlua::Lua;
use serde_json::{Value, json};

use crate::code::Code;
use crate::handler_of;
use crate::shared::Shared;

const PHASES: [(&str, Phase); 6] = [
    ("certificate", Phase::Certificate),
    ("rewrite", Phase::Rewrite),
    ("access", Phase::Access),
    ("header_filter", Phase::HeaderFilter),
    ("body_filter", Phase::BodyFilter),
    ("log", Phase::Log),
];

const NAMES: [&str; 2] = ["pre-function", "post-function"];

thread_local! {
    /// Only parses; nothing is ever run in it.
    static PARSER: RefCell<Option<Lua>> = const { RefCell::new(None) };
}

/// Both plugins.
pub fn plugins(shared: &Arc<Shared>) -> Vec<Plugin> {
    let [before, after] = NAMES;
    [(before, 1_000_000), (after, -1000)].map(|(name, priority)| plugin(shared, name, priority)).into()
}

fn plugin(shared: &Arc<Shared>, name: &'static str, priority: i64) -> Plugin {
    let phases = Phases::of(&PHASES.map(|(_, phase)| phase));
    let code = Arc::new(Code::new(name.into(), phases, 0));
    let shared = Arc::clone(shared);
    Plugin {
        name: name.into(),
        priority,
        version: "3.10.0".into(),
        phases,
        protocols: Protocols::of(&Protocol::ALL),
        scopes: Scopes::NO_CONSUMER,
        schema: Arc::new(schema(name)),
        build: Arc::new(move |config, build| Ok(handler_of(&shared, &code, config, build))),
    }
}

/// The phases for which a configuration of these plugins brings no code; none of other plugins.
pub fn idle(plugin: &str, config: &Value) -> Phases {
    if !NAMES.contains(&plugin) {
        return Phases::NONE;
    }
    let empty = |phase: &str| config.get(phase).and_then(Value::as_array).is_none_or(Vec::is_empty);
    let idle: Vec<Phase> = PHASES.iter().filter(|(name, _)| empty(name)).map(|(_, phase)| *phase).collect();
    Phases::of(&idle)
}

fn schema(name: &'static str) -> Record {
    let mut record = Record::new();
    for (phase, _) in PHASES {
        let check = Validator::new("Lua that parses", move |value: &Value| parses(name, value));
        let field = Field::array(Field::string().optional().custom(check)).required().default(json!([]));
        record = record.field(phase, field);
    }
    let paths = &[
        "config.certificate",
        "config.rewrite",
        "config.access",
        "config.header_filter",
        "config.body_filter",
        "config.log",
    ];
    record.plugin_check(at_least_one_of(paths))
}

fn parses(plugin: &str, value: &Value) -> Result<(), String> {
    let error = value.as_str().and_then(syntax_error);
    error.map_or(Ok(()), |error| Err(format!("error parsing {plugin}: {error}")))
}

/// What is wrong with Lua in a configuration, if it does not parse. Nothing of it is run.
pub fn syntax_error(source: &str) -> Option<String> {
    PARSER.with(|parser| {
        let mut parser = parser.borrow_mut();
        let lua = parser.get_or_insert_with(Lua::new);
        let name = format!("=[string \"{}\"]", source.lines().next().unwrap_or_default());
        match lua.load(source).set_name(name).set_mode(mlua::chunk::ChunkMode::Text).into_function() {
            Ok(_) => None,
            Err(mlua::Error::SyntaxError { message, .. }) => Some(message),
            Err(error) => Some(error.to_string()),
        }
    })
}
