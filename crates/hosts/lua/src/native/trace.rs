//! Spans that plugins describe themselves (`kong.tracing`). They lie in the exchange's record and are sent with it; where
//! nobody traces the exchange there are none.

use std::rc::Rc;
use std::sync::Arc;

use gibbon_pdk::{Attribute, SpanEvent};
use mlua::{Lua, LuaString, Table, Value};

use super::{add, lossy};
use crate::current::with;
use crate::machine::Ports;

/// Attributes of a span and events of it, at most.
const MOST: usize = 128;

pub fn install(lua: &Lua, native: &Table, ports: &Rc<Ports>) -> mlua::Result<()> {
    let clock = Arc::clone(&ports.clock);
    add(lua, native, "span_begin", move |_, (name, parent, at): (LuaString, Option<u16>, Option<f64>)| {
        let start = moment(at, clock.wall_ns(), clock.monotonic_ns());
        with(|x| x.trace.begin_described(lossy(&name), parent, start))
    })?;
    let clock = Arc::clone(&ports.clock);
    add(lua, native, "span_end", move |_, (number, at): (u16, Option<f64>)| {
        let end = moment(at, clock.wall_ns(), clock.monotonic_ns());
        with(|x| {
            if let Some((_, end_ns)) = x.trace.described(number) {
                *end_ns = end;
            }
        })
    })?;
    add(lua, native, "span_attribute", |_, (number, name, value): (u16, LuaString, Value)| {
        let (name, value) = (lossy(&name), attribute(&value));
        with(|x| {
            let Some((described, _)) = x.trace.described(number) else { return };
            described.attributes.retain(|(known, _)| *known != name);
            if let Some(value) = value.filter(|_| described.attributes.len() < MOST) {
                described.attributes.push((name.into(), value));
            }
        })
    })?;
    let clock = Arc::clone(&ports.clock);
    add(lua, native, "span_event", move |_, (number, name, pairs, at): (u16, LuaString, Table, Option<f64>)| {
        let time_ns = moment(at, clock.wall_ns(), clock.monotonic_ns());
        let mut attributes = Vec::new();
        for pair in pairs.pairs::<LuaString, Value>().take(MOST) {
            let (name, value) = pair?;
            attributes.extend(attribute(&value).map(|value| (lossy(&name).into(), value)));
        }
        let event = SpanEvent { name: lossy(&name).into(), time_ns, attributes };
        with(|x| {
            if let Some((described, _)) = x.trace.described(number)
                && described.events.len() < MOST
            {
                described.events.push(event);
            }
        })
    })?;
    add(lua, native, "span_failed", |_, (number, failed): (u16, bool)| {
        with(|x| {
            if let Some((described, _)) = x.trace.described(number) {
                described.failed = failed;
            }
        })
    })?;
    add(lua, native, "is_traced", |_, ()| with(|x| x.trace.is_on()))?;
    add(lua, native, "is_sampled", |_, ()| with(|x| x.trace.context.map(|context| context.sampled)))
}

/// A time since the epoch as one of the monotonic clock; now, if none is given.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // saturates
fn moment(at: Option<f64>, wall: u64, monotonic: u64) -> u64 {
    at.map_or(monotonic, |at| monotonic.saturating_sub(wall.saturating_sub(at as u64)))
}

#[allow(clippy::cast_precision_loss)] // numbers of Lua are no more precise
fn attribute(value: &Value) -> Option<Attribute> {
    Some(match value {
        Value::String(text) => Attribute::Text(lossy(text).into()),
        Value::Boolean(flag) => Attribute::Flag(*flag),
        Value::Integer(number) => Attribute::Number(*number as f64),
        Value::Number(number) => Attribute::Number(*number),
        _ => return None,
    })
}
