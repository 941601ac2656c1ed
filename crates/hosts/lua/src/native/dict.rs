//! Shared dictionaries, by name and key.

use std::rc::Rc;

use mlua::{Lua, LuaString, Table, Value};

use super::{add, lossy, text};
use crate::dict::{Condition, Entry, Scalar};
use crate::machine::Ports;

fn scalar(value: &Value) -> Option<Scalar> {
    #[allow(clippy::cast_precision_loss)] // Lua's numbers are doubles
    match value {
        Value::Boolean(flag) => Some(Scalar::Flag(*flag)),
        Value::Integer(number) => Some(Scalar::Number(*number as f64)),
        Value::Number(number) => Some(Scalar::Number(*number)),
        Value::String(text) => Some(Scalar::Text(text.as_bytes().to_vec())),
        _ => None,
    }
}

fn value(lua: &Lua, scalar: Option<Scalar>) -> mlua::Result<Value> {
    match scalar {
        None => Ok(Value::Nil),
        Some(Scalar::Text(bytes)) => text(lua, Some(bytes)),
        Some(Scalar::Number(number)) => Ok(Value::Number(number)),
        Some(Scalar::Flag(flag)) => Ok(Value::Boolean(flag)),
    }
}

/// The moment that lies so many seconds ahead; 0 is never.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // saturates
fn ahead(now: u64, seconds: f64) -> u64 {
    if seconds > 0.0 { now.saturating_add((seconds * 1e9) as u64) } else { 0 }
}

#[allow(clippy::cast_precision_loss, clippy::too_many_lines)] // a list of operations
pub fn install(lua: &Lua, native: &Table, ports: &Rc<Ports>) -> mlua::Result<()> {
    let names: Vec<String> = ports.shared.dicts.names().map(str::to_owned).collect();
    add(lua, native, "dict_names", move |_, ()| Ok(names.clone()))?;
    let known = Rc::clone(ports);
    add(lua, native, "dict_exists", move |_, name: LuaString| Ok(known.shared.dicts.get(&lossy(&name)).is_some()))?;
    let reading = Rc::clone(ports);
    add(lua, native, "dict_get", move |lua, (name, key, stale): (LuaString, LuaString, Option<bool>)| {
        let Some(dict) = reading.shared.dicts.get(&lossy(&name)) else { return Ok((Value::Nil, None, None)) };
        let now = reading.clock.monotonic_ns();
        let found = dict.get(&key.as_bytes(), now);
        Ok(match found {
            Some((_, _, true)) if !stale.unwrap_or(false) => (Value::Nil, None, None),
            Some((scalar, flags, old)) => {
                (value(lua, Some(scalar))?, (flags != 0).then_some(flags), stale.map(|_| old))
            }
            None => (Value::Nil, None, None),
        })
    })?;
    let writing = Rc::clone(ports);
    type Write = (LuaString, LuaString, Value, f64, i64, LuaString, bool);
    add(lua, native, "dict_set", move |_, (name, key, given, ttl, flags, when, evict): Write| {
        let Some(dict) = writing.shared.dicts.get(&lossy(&name)) else {
            return Ok((false, Some("no such shared dictionary"), false));
        };
        let Some(scalar) = scalar(&given) else { return Ok((false, Some("bad value type"), false)) };
        let now = writing.clock.monotonic_ns();
        let when = match &*when.as_bytes() {
            b"absent" => Condition::Absent,
            b"present" => Condition::Present,
            _ => Condition::Always,
        };
        Ok(
            match dict.set(&key.as_bytes(), Entry { value: scalar, flags, expires: ahead(now, ttl) }, when, evict, now)
            {
                Ok(written) => (true, None, written.forced),
                Err(error) => (false, Some(error), false),
            },
        )
    })?;
    let counting = Rc::clone(ports);
    type Increment = (LuaString, LuaString, f64, Option<f64>, f64);
    add(lua, native, "dict_incr", move |_, (name, key, by, initial, ttl): Increment| {
        let Some(dict) = counting.shared.dicts.get(&lossy(&name)) else {
            return Ok((None, Some("no such shared dictionary"), false));
        };
        let now = counting.clock.monotonic_ns();
        Ok(match dict.increment(&key.as_bytes(), by, initial.map(|start| (start, ahead(now, ttl))), now) {
            Ok((number, forced)) => (Some(number), None, forced),
            Err(error) => (None, Some(error), false),
        })
    })?;
    by_key(lua, native, ports)?;
    let lists = Rc::clone(ports);
    add(lua, native, "dict_push", move |_, (name, key, given, left): (LuaString, LuaString, Value, bool)| {
        let (Some(dict), Some(scalar)) = (lists.shared.dicts.get(&lossy(&name)), scalar(&given)) else {
            return Ok((None, Some("bad value type")));
        };
        Ok(match dict.push(&key.as_bytes(), scalar, left) {
            Ok(length) => (Some(length), None),
            Err(error) => (None, Some(error)),
        })
    })?;
    let lists = Rc::clone(ports);
    add(lua, native, "dict_pop", move |lua, (name, key, left): (LuaString, LuaString, bool)| {
        value(lua, lists.shared.dicts.get(&lossy(&name)).and_then(|dict| dict.pop(&key.as_bytes(), left)))
    })?;
    Ok(())
}

#[allow(clippy::cast_precision_loss)] // nanoseconds as seconds
fn by_key(lua: &Lua, native: &Table, ports: &Rc<Ports>) -> mlua::Result<()> {
    let with_dict = |name: &'static str, act: fn(&crate::dict::Dict, &[u8], u64) -> Option<f64>| {
        let ports = Rc::clone(ports);
        add(lua, native, name, move |_, (name, key): (LuaString, Option<LuaString>)| {
            let key = key.map(|key| key.as_bytes().to_vec()).unwrap_or_default();
            Ok(ports.shared.dicts.get(&lossy(&name)).and_then(|dict| act(dict, &key, ports.clock.monotonic_ns())))
        })
    };
    with_dict("dict_ttl", |dict, key, now| dict.ttl(key, now).map(|ns| ns as f64 / 1e9))?;
    with_dict("dict_length", |dict, key, _| Some(dict.length(key) as f64))?;
    with_dict("dict_capacity", |dict, _, _| Some(dict.capacity() as f64))?;
    with_dict("dict_free", |dict, _, _| Some(dict.free() as f64))?;
    with_dict("dict_clear", |dict, _, _| {
        dict.clear();
        None
    })?;
    with_dict("dict_delete", |dict, key, _| {
        dict.delete(key);
        None
    })?;
    let expiring = Rc::clone(ports);
    add(lua, native, "dict_expire", move |_, (name, key, ttl): (LuaString, LuaString, f64)| {
        let now = expiring.clock.monotonic_ns();
        let dict = expiring.shared.dicts.get(&lossy(&name));
        Ok(dict.is_some_and(|dict| dict.expire(&key.as_bytes(), ahead(now, ttl), now)))
    })?;
    let flushing = Rc::clone(ports);
    add(lua, native, "dict_flush_expired", move |_, (name, most): (LuaString, usize)| {
        let now = flushing.clock.monotonic_ns();
        Ok(flushing.shared.dicts.get(&lossy(&name)).map_or(0, |dict| dict.flush_expired(most, now)))
    })?;
    let listing = Rc::clone(ports);
    add(lua, native, "dict_keys", move |lua, (name, most): (LuaString, usize)| {
        let now = listing.clock.monotonic_ns();
        let keys = listing.shared.dicts.get(&lossy(&name)).map(|dict| dict.keys(most, now)).unwrap_or_default();
        keys.iter().map(|key| lua.create_string(key)).collect::<mlua::Result<Vec<_>>>()
    })
}
