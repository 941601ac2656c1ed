//! Regular expressions with Perl's semantics (PCRE2). Compiled ones are kept per worker, bounded; a limit of steps keeps
//! a hostile subject from holding the worker up.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use mlua::{Lua, LuaString, Table, Value};
use pcre2::bytes::{Regex, RegexBuilder};

use super::add;
use crate::machine::Ports;

/// Expressions kept; above it all are forgotten, which costs compiling anew and nothing else.
const MOST: usize = 4096;

/// Pattern and options.
type Key = (Vec<u8>, Vec<u8>);

struct Cache {
    limit: u32,
    compiled: RefCell<HashMap<Key, Rc<Regex>>>,
}

impl Cache {
    fn get(&self, pattern: &[u8], options: &[u8]) -> Result<Rc<Regex>, String> {
        let key = (pattern.to_vec(), options.to_vec());
        if let Some(regex) = self.compiled.borrow().get(&key) {
            return Ok(Rc::clone(regex));
        }
        let regex = Rc::new(self.compile(pattern, options)?);
        let mut compiled = self.compiled.borrow_mut();
        if compiled.len() >= MOST {
            compiled.clear();
        }
        compiled.insert(key, Rc::clone(&regex));
        Ok(regex)
    }

    fn compile(&self, pattern: &[u8], options: &[u8]) -> Result<Regex, String> {
        let has = |option: u8| options.contains(&option);
        let text = std::str::from_utf8(pattern).map_err(|_| "pattern is not valid UTF-8".to_owned())?;
        let anchored = if has(b'a') { "\\G" } else { "" };
        let limited = format!("(*LIMIT_MATCH={})(*LIMIT_DEPTH={}){anchored}{text}", self.limit, self.limit);
        let mut builder = RegexBuilder::new();
        builder
            .caseless(has(b'i'))
            .multi_line(has(b'm'))
            .dotall(has(b's'))
            .extended(has(b'x'))
            .utf(has(b'u') || has(b'U'))
            .ucp(has(b'u'));
        builder.jit_if_available(true);
        builder.build(&limited).map_err(|error| format!("pcre2_compile() failed: {error} in \"{text}\""))
    }
}

pub fn install(lua: &Lua, native: &Table, ports: &Rc<Ports>) -> mlua::Result<()> {
    let cache = Rc::new(Cache { limit: ports.shared.settings.regex_match_limit, compiled: RefCell::default() });
    let checking = Rc::clone(&cache);
    add(lua, native, "re_check", move |_, (pattern, options): (LuaString, LuaString)| {
        Ok(match checking.get(&pattern.as_bytes(), &options.as_bytes()) {
            Ok(_) => (true, None),
            Err(error) => (false, Some(error)),
        })
    })?;
    // Captures, first and last byte (from 1) of the whole match or of one group.
    type Given = (LuaString, LuaString, LuaString, usize, Option<usize>);
    add(lua, native, "re_match", move |lua, (subject, pattern, options, from, group): Given| {
        let regex = match cache.get(&pattern.as_bytes(), &options.as_bytes()) {
            Ok(regex) => regex,
            Err(error) => return Ok((Value::Nil, Value::String(lua.create_string(error)?), None)),
        };
        find(lua, &regex, &subject.as_bytes(), from, group)
    })
}

fn find(
    lua: &Lua,
    regex: &Regex,
    subject: &[u8],
    from: usize,
    group: Option<usize>,
) -> mlua::Result<(Value, Value, Option<usize>)> {
    let start = from.saturating_sub(1);
    if start > subject.len() {
        return Ok((Value::Nil, Value::Nil, None));
    }
    let mut locations = regex.capture_locations();
    match regex.captures_read_at(&mut locations, subject, start) {
        Ok(Some(_)) => {}
        Ok(None) => return Ok((Value::Nil, Value::Nil, None)),
        Err(error) => {
            let text = format!("pcre2_match() failed: {error}");
            return Ok((Value::Nil, Value::String(lua.create_string(text)?), None));
        }
    }
    let whole = locations.get(group.unwrap_or(0));
    let Some((begin, end)) = whole else { return Ok((Value::Nil, Value::Nil, None)) };
    let captures = match group {
        // Only the place is asked for.
        Some(_) => Value::Boolean(true),
        None => Value::Table(captures(lua, regex, subject, &locations)?),
    };
    let begin_value = i64::try_from(begin + 1).map(Value::Integer).unwrap_or(Value::Nil);
    Ok((captures, begin_value, Some(end)))
}

fn captures(
    lua: &Lua,
    regex: &Regex,
    subject: &[u8],
    locations: &pcre2::bytes::CaptureLocations,
) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    for (at, name) in regex.capture_names().iter().enumerate() {
        let value = match locations.get(at).and_then(|(begin, end)| subject.get(begin..end)) {
            Some(bytes) => Value::String(lua.create_string(bytes)?),
            None => Value::Boolean(false),
        };
        if let Some(name) = name {
            table.raw_set(name.as_str(), value.clone())?;
        }
        table.raw_set(at, value)?;
    }
    Ok(table)
}
