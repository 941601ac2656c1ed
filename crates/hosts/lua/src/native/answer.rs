//! The answer: its head, what a plugin gives in its place, and what the log says of it.

use bytes::Bytes;
use gibbon_pdk::{Reply, ReplyBody, ResponseSource, log_entry};
use mlua::{Lua, LuaString, Table, Value};
use serde_json::Value as Json;

use super::light::response_headers as headers;
use super::request::header_table;
use super::{add, lossy, text};
use crate::current::{self, with};
use crate::json::{self, Nulls};

pub fn install(lua: &Lua, native: &Table) -> mlua::Result<()> {
    head(lua, native)?;
    replies(lua, native)?;
    logs(lua, native)
}

fn head(lua: &Lua, native: &Table) -> mlua::Result<()> {
    add(lua, native, "set_status", |_, status: u16| {
        with(|x| {
            if (100..=999).contains(&status) {
                x.response.status = status;
            }
        })
    })?;
    add(lua, native, "response_header", |lua, name: LuaString| {
        let name = lossy(&name);
        let headers = with(|x| headers(x).get_all(&name).map(<[u8]>::to_vec).collect::<Vec<_>>())?;
        match headers.as_slice() {
            [] => Ok(Value::Nil),
            [one] => text(lua, Some(one)),
            many => {
                let list = lua.create_table()?;
                for one in many {
                    list.raw_push(lua.create_string(one)?)?;
                }
                Ok(Value::Table(list))
            }
        }
    })?;
    add(lua, native, "response_headers", |lua, max: usize| {
        let headers = with(|x| headers(x).clone())?;
        header_table(lua, &headers, max)
    })?;
    add(lua, native, "source", |_, ()| with(|x| x.response_source.as_str()))?;
    add(lua, native, "upstream_status", |_, ()| {
        with(|x| {
            let by_upstream = x.response_source == ResponseSource::Service && x.upstream_status != 0;
            by_upstream.then_some(x.upstream_status)
        })
    })?;
    add(lua, native, "upstream_body", |lua, ()| with(|x| text(lua, x.response_body.as_ref()))?)?;
    add(lua, native, "replace_body", |_, body: LuaString| {
        let body = Bytes::copy_from_slice(&body.as_bytes());
        with(|x| x.replacement_body = Some(body))
    })
}

/// Pairs of name and value.
fn pairs(reply: &mut Reply, list: &Table) -> mlua::Result<()> {
    for pair in list.sequence_values::<Table>() {
        let pair = pair?;
        let (name, value): (LuaString, LuaString) = (pair.raw_get(1)?, pair.raw_get(2)?);
        if gibbon_message::is_token(&name.as_bytes()) {
            reply.headers.append(name.as_bytes(), value.as_bytes());
        }
    }
    Ok(())
}

fn replies(lua: &Lua, native: &Table) -> mlua::Result<()> {
    add(lua, native, "exit", |_, (status, body, headers): (u16, Option<LuaString>, Table)| {
        let mut reply = Reply::new(status);
        pairs(&mut reply, &headers)?;
        if let Some(body) = body {
            let mut bytes = Bytes::copy_from_slice(&body.as_bytes());
            // A length that the plugin gave itself cuts the body.
            let given = reply.headers.get_str("content-length").and_then(|length| length.trim().parse().ok());
            if let Some(length) = given.filter(|length| *length < bytes.len()) {
                bytes.truncate(length);
            }
            reply.headers.remove("content-length");
            reply.body = ReplyBody::Bytes(bytes);
        }
        current::set_reply(reply);
        Ok(())
    })?;
    add(lua, native, "reply", |_, (status, body): (u16, Option<LuaString>)| {
        let mut reply = Reply::new(status);
        if let Some(body) = body {
            reply.body = ReplyBody::Bytes(Bytes::copy_from_slice(&body.as_bytes()));
        }
        current::set_reply(reply);
        Ok(())
    })?;
    add(lua, native, "error_page", |_, (status, message, headers): (u16, Option<LuaString>, Table)| {
        let mut reply = Reply::error(status);
        pairs(&mut reply, &headers)?;
        if let Some(message) = message {
            reply.body = ReplyBody::Error(Some(lossy(&message).into()));
        }
        current::set_reply(reply);
        Ok(())
    })
}

fn logs(lua: &Lua, native: &Table) -> mlua::Result<()> {
    add(lua, native, "serialize", |lua, ()| {
        let entry = with(|x| log_entry(x))?;
        json::to_lua(lua, &entry, Nulls::Dropped)
    })?;
    add(lua, native, "set_log_value", |lua, (key, value, mode): (LuaString, Value, LuaString)| {
        let value = match json::from_lua(lua, &value) {
            Ok(value) => value,
            Err(error) => return Ok((false, Some(error))),
        };
        let (key, mode) = (lossy(&key), lossy(&mode));
        with(|x| {
            if mode != "set" {
                let there = at(&log_entry(x), &key).is_some();
                if (mode == "add") == there {
                    return;
                }
            }
            x.log_values.push((key.into(), value));
        })?;
        Ok((true, None))
    })
}

fn at<'a>(entry: &'a Json, path: &str) -> Option<&'a Json> {
    path.split('.').try_fold(entry, |value, name| value.get(name))
}
