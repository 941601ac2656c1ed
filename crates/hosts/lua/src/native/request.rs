//! What the client sent, and changes to it on the way to the upstream.

use bytes::Bytes;
use gibbon_message::{Headers, Method, Scheme, Version, uri};
use gibbon_pdk::{Exchange, Protocol, RequestBody, SharedValues};
use mlua::{Lua, LuaString, Table, Value};

use super::{add, text};
use crate::current::with;
use crate::handler::Chunk;
use crate::json;

/// Header fields as a table: names in lower case, several values as a list; at most `max` fields (0 is all).
pub fn header_table(lua: &Lua, headers: &Headers, max: usize) -> mlua::Result<(Table, Option<&'static str>)> {
    let table = lua.create_table_with_capacity(0, headers.len())?;
    let most = if max == 0 { usize::MAX } else { max };
    for (name, value) in headers.iter().take(most) {
        let name = lua.create_string(name.to_ascii_lowercase())?;
        let value = Value::String(lua.create_string(value)?);
        match table.raw_get::<Value>(&name)? {
            Value::Nil => table.raw_set(name, value)?,
            Value::Table(list) => list.raw_push(value)?,
            first => {
                let list = lua.create_table()?;
                list.raw_push(first)?;
                list.raw_push(value)?;
                table.raw_set(name, list)?;
            }
        }
    }
    Ok((table, (headers.len() > most).then_some("truncated")))
}

/// Arguments as a table: a name without `=` is true, one given several times a list.
pub fn argument_table(lua: &Lua, query: &[u8], max: usize) -> mlua::Result<(Table, Option<&'static str>)> {
    let table = lua.create_table()?;
    let mut truncated = None;
    for (at, (name, value)) in uri::arguments(query).enumerate() {
        if max != 0 && at >= max {
            truncated = Some("truncated");
            break;
        }
        if name.is_empty() {
            continue;
        }
        let name = lua.create_string(&name)?;
        let value = match value {
            Some(value) => Value::String(lua.create_string(&value)?),
            None => Value::Boolean(true),
        };
        match table.raw_get::<Value>(&name)? {
            Value::Nil => table.raw_set(name, value)?,
            Value::Table(list) => list.raw_push(value)?,
            first => {
                let list = lua.create_table()?;
                list.raw_push(first)?;
                list.raw_push(value)?;
                table.raw_set(name, list)?;
            }
        }
    }
    Ok((table, truncated))
}

/// The protocol of the matched route's side, as `kong.client.get_protocol` names it.
pub fn protocol(x: &Exchange) -> &'static str {
    let secure = x.client.scheme == Scheme::Https;
    let grpc = x.route().is_some_and(|route| route.protocols.iter().any(Protocol::is_grpc));
    match (grpc && x.request.version >= Version::H2, secure) {
        (true, true) => "grpcs",
        (true, false) => "grpc",
        (false, true) => "https",
        (false, false) => "http",
    }
}

fn http_version(version: Version) -> f64 {
    match version {
        Version::Http10 => 1.0,
        Version::Http11 => 1.1,
        Version::H2 => 2.0,
        Version::H3 => 3.0,
    }
}

pub fn install(lua: &Lua, native: &Table) -> mlua::Result<()> {
    looks(lua, native)?;
    headers(lua, native)?;
    body(lua, native)?;
    chunk(lua, native)
}

#[allow(clippy::cast_precision_loss)] // times fit
fn looks(lua: &Lua, native: &Table) -> mlua::Result<()> {
    add(lua, native, "scheme", |_, ()| with(|x| x.client.scheme.as_str()))?;
    add(lua, native, "host", |_, ()| with(|x| x.host()))?;
    add(lua, native, "port", |_, ()| with(|x| x.client.local.port()))?;
    add(lua, native, "forwarded_scheme", |_, ()| with(|x| x.forwarded_scheme().to_owned()))?;
    add(lua, native, "forwarded_host", |_, ()| with(|x| x.forwarded_host()))?;
    add(lua, native, "forwarded_port", |_, ()| with(|x| x.forwarded_port()))?;
    add(lua, native, "forwarded_path", |lua, ()| {
        with(|x| match x.request.headers.get("x-forwarded-path").filter(|_| x.client.trusted) {
            Some(path) => lua.create_string(path),
            None => lua.create_string(x.request.path()),
        })?
    })?;
    add(lua, native, "forwarded_prefix", |lua, ()| {
        with(|x| match x.request.headers.get("x-forwarded-prefix").filter(|_| x.client.trusted) {
            Some(prefix) => text(lua, Some(prefix)),
            None => text(lua, x.stripped_prefix.as_deref()),
        })?
    })?;
    add(lua, native, "http_version", |_, ()| with(|x| http_version(x.request.version)))?;
    add(lua, native, "path", |lua, ()| with(|x| lua.create_string(uri::normalize(x.request.path())))?)?;
    add(lua, native, "path_with_query", |lua, ()| with(|x| lua.create_string(&x.request.target))?)?;
    add(lua, native, "query", |lua, ()| with(|x| lua.create_string(x.query().unwrap_or_default()))?)?;
    add(lua, native, "start_time", |_, ()| with(|x| x.started_ns as f64 / 1e9))?;
    add(lua, native, "start_time_ms", |_, ()| with(|x| (x.started_ns / 1_000_000) as f64))?;
    add(lua, native, "protocol", |_, ()| with(|x| protocol(x)))?;
    add(lua, native, "take_shared", |_, shared: Table| {
        let values = with(|x| x.slots.take::<SharedValues>())?.unwrap_or_default();
        values.0.into_iter().try_for_each(|(name, value)| shared.raw_set(name, &*value))
    })?;
    add(lua, native, "captures", |lua, ()| {
        let captures = with(|x| x.captures.clone())?;
        let (named, unnamed) = (lua.create_table()?, lua.create_table()?);
        for (name, value) in captures {
            match name.parse::<usize>() {
                Ok(number) => unnamed.raw_set(number, &*value)?,
                Err(_) => named.raw_set(&*name, &*value)?,
            }
        }
        let both = lua.create_table()?;
        both.raw_set("named", named)?;
        both.raw_set("unnamed", unnamed)?;
        Ok(both)
    })?;
    add(lua, native, "raw_header", |lua, without_line: Option<bool>| {
        let mut raw = Vec::new();
        with(|x| {
            if !without_line.unwrap_or(false) {
                raw.extend_from_slice(x.request.method.as_str().as_bytes());
                raw.push(b' ');
                raw.extend_from_slice(&x.request.target);
                raw.extend_from_slice(format!(" {}\r\n", x.request.version.protocol()).as_bytes());
            }
            for (name, value) in x.request.headers.iter() {
                raw.extend_from_slice(name);
                raw.extend_from_slice(b": ");
                raw.extend_from_slice(value);
                raw.extend_from_slice(b"\r\n");
            }
            raw.extend_from_slice(b"\r\n");
        })?;
        lua.create_string(raw)
    })?;
    add(lua, native, "decode_args", |lua, (query, max): (Option<LuaString>, usize)| match query {
        Some(query) => argument_table(lua, &query.as_bytes(), max),
        None => Ok((lua.create_table()?, None)),
    })
}

fn headers(lua: &Lua, native: &Table) -> mlua::Result<()> {
    add(lua, native, "request_headers", |lua, max: usize| {
        let headers = with(|x| x.request.headers.clone())?;
        header_table(lua, &headers, max)
    })?;
    add(lua, native, "set_method", |_, name: LuaString| {
        let method = Method::parse(&name.as_bytes());
        with(|x| {
            if let Some(method) = method {
                x.request.method = method;
            }
        })
    })
}

fn body(lua: &Lua, native: &Table) -> mlua::Result<()> {
    add(lua, native, "body_unread", |_, ()| with(|x| x.body.is_unread()))?;
    add(lua, native, "body", |lua, max: Option<usize>| {
        let body = with(|x| x.body.clone())?;
        match body {
            RequestBody::Spooled(spooled) => match max {
                // A caller that allows for it gets the file's text, in one piece.
                Some(max) if max == 0 || spooled.len <= max as u64 => match read_whole(&spooled) {
                    Ok(bytes) => Ok((text(lua, Some(bytes))?, None)),
                    Err(error) => Ok((Value::Nil, Some(error.to_string()))),
                },
                Some(max) => Ok((Value::Nil, Some(format!("request body file too big: {} > {max}", spooled.len)))),
                None => Ok((
                    Value::Nil,
                    Some(
                        "request body did not fit into client body buffer, consider raising 'client_body_buffer_size'"
                            .to_owned(),
                    ),
                )),
            },
            other => Ok((text(lua, Some(other.bytes().unwrap_or_default()))?, None)),
        }
    })?;
    add(lua, native, "set_body", |_, bytes: LuaString| {
        let bytes = Bytes::copy_from_slice(&bytes.as_bytes());
        with(|x| {
            x.request.headers.remove("transfer-encoding");
            x.request.headers.set("Content-Length", bytes.len().to_string());
            x.body = RequestBody::Whole(bytes);
        })
    })?;
    add(lua, native, "json_encode", |lua, value: Value| match json::from_lua(lua, &value) {
        Ok(document) => Ok((text(lua, Some(document.to_string()))?, None)),
        Err(error) => Ok((Value::Nil, Some(error))),
    })?;
    add(lua, native, "json_decode", |lua, (bytes, marked): (LuaString, Option<bool>)| {
        let parsed = serde_json::from_slice::<serde_json::Value>(&bytes.as_bytes());
        match parsed {
            Ok(document) if marked.unwrap_or(false) => Ok((json::to_lua_marked(lua, &document)?, None)),
            Ok(document) => Ok((json::to_lua(lua, &document, json::Nulls::Kept)?, None)),
            Err(error) => Ok((Value::Nil, Some(format!("Expected value but found invalid token: {error}")))),
        }
    })
}

/// Reads a spooled body: page-cache reads of a file that was just written.
fn read_whole(spooled: &gibbon_pdk::SpooledBody) -> std::io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let mut bytes = vec![0; usize::try_from(spooled.len).unwrap_or(0)];
    spooled.file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

fn chunk(lua: &Lua, native: &Table) -> mlua::Result<()> {
    add(lua, native, "chunk", |lua, ()| {
        with(|x| match x.slots.get::<Chunk>() {
            Some(chunk) => text(lua, Some(&chunk.data)),
            None => Ok(Value::Nil),
        })?
    })?;
    add(lua, native, "chunk_is_last", |_, ()| with(|x| x.slots.get::<Chunk>().is_some_and(|chunk| chunk.last)))?;
    add(lua, native, "set_chunk", |_, data: Option<LuaString>| {
        with(|x| {
            if let Some(chunk) = x.slots.get_mut::<Chunk>() {
                chunk.data = data.map(|data| data.as_bytes().to_vec()).unwrap_or_default();
            }
        })
    })
}
