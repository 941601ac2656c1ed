//! Where the request goes, and who asks: destination, consumer, credential, route, service.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use gibbon_message::uri;
use gibbon_pdk::{CertificatePem, Consumer, Credential, Exchange, Protocol, Target, Timeouts, UpstreamTls};
use mlua::{Function, Lua, LuaString, Table, Value};
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::{add, lossy, text};
use crate::current::with;
use crate::json::{self, Nulls};
use crate::machine::Ports;

pub fn install(lua: &Lua, native: &Table, ports: &Rc<Ports>) -> mlua::Result<()> {
    destination(lua, native)?;
    addresses(lua, native)?;
    identity(lua, native, ports)?;
    add(lua, native, "route", |lua, ()| {
        let document = with(|x| x.route().map(|route| route.document.value()))?;
        document.map_or(Ok(Value::Nil), |document| json::to_lua(lua, &document, Nulls::Dropped))
    })?;
    add(lua, native, "service", |lua, ()| {
        let document = with(|x| x.service().map(|service| service.document.value()))?;
        document.map_or(Ok(Value::Nil), |document| json::to_lua(lua, &document, Nulls::Dropped))
    })
}

/// TLS of this request to its upstream, which begins as the service has it.
fn tls(x: &mut Exchange) -> &mut UpstreamTls {
    if x.destination.tls.is_none() {
        x.destination.tls = Some(x.service().map(|service| service.tls.clone()).unwrap_or_default());
    }
    x.destination.tls.get_or_insert_default()
}

fn destination(lua: &Lua, native: &Table) -> mlua::Result<()> {
    add(lua, native, "set_upstream", |_, name: LuaString| {
        let name = lossy(&name);
        with(|x| x.destination.upstream = Some(name.into()))?;
        Ok(true)
    })?;
    add(lua, native, "set_target", |_, (host, port): (LuaString, u16)| {
        let host = lossy(&host).into_boxed_str();
        with(|x| {
            // As in Kong, the target's name is the Host header, without the port.
            x.destination.host_header = Some(one_line(host.as_bytes()));
            x.destination.target = Some(Target { host, port });
        })
    })?;
    add(lua, native, "set_retries", |_, retries: u16| with(|x| x.destination.retries = Some(retries)))?;
    add(lua, native, "set_timeouts", |_, (connect, write, read): (u64, u64, u64)| {
        let ms = Duration::from_millis;
        with(|x| {
            x.destination.timeouts = Some(Timeouts { connect: ms(connect), write: ms(write), read: ms(read) });
        })
    })?;
    add(lua, native, "set_tls_verify", |_, on: bool| with(|x| tls(x).verify = Some(on)))?;
    add(lua, native, "set_tls_verify_depth", |_, depth: u8| with(|x| tls(x).verify_depth = Some(depth)))?;
    add(lua, native, "set_tls_presented", |_, (cert, key): (String, String)| {
        with(|x| tls(x).presented = Some(Arc::new(CertificatePem { cert, key })))
    })?;
    add(lua, native, "set_tls_trusted", |_, pem: String| with(|x| tls(x).trusted = Some(pem.into())))?;
    add(lua, native, "set_retry_callback", |lua, (callback, plugin): (Function, Option<Table>)| {
        crate::retry::ask(lua, callback, plugin)
    })?;
    add(lua, native, "set_upstream_scheme", |_, scheme: LuaString| {
        let protocol = Protocol::parse(&lossy(&scheme));
        with(|x| {
            // gRPC stays gRPC: what changes is whether it goes over TLS.
            x.destination.protocol = protocol;
        })
    })?;
    add(lua, native, "set_upstream_path", |_, path: LuaString| {
        let mut escaped = Vec::new();
        uri::escape_into(&mut escaped, &path.as_bytes());
        with(|x| x.destination.path = escaped)
    })?;
    add(lua, native, "set_query", |_, query: LuaString| {
        let query = one_line(&query.as_bytes());
        with(|x| x.destination.query = Some(query))
    })?;
    add(lua, native, "enable_buffering", |_, ()| with(|x| x.buffer_response = true))
}

/// Bytes that cannot end a request line or a header: a plugin may hand on what a client sent (request smuggling, RFC 9112
/// 11.2).
pub fn one_line(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            0..=0x20 | 0x7f => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
            _ => out.push(*byte),
        }
    }
    out
}

fn addresses(lua: &Lua, native: &Table) -> mlua::Result<()> {
    add(lua, native, "peer_ip", |_, ()| with(|x| x.client.peer_ip.to_string()))?;
    add(lua, native, "peer_port", |_, ()| with(|x| x.client.peer_port))?;
    add(lua, native, "client_ip", |_, ()| with(|x| x.client.ip.to_string()))?;
    add(lua, native, "client_port", |_, ()| with(|x| x.client.port))?;
    add(lua, native, "request_client_certificate", |_, ()| {
        with(|x| {
            let secure = x.client.tls.is_some();
            x.handshake.client_certificate |= secure;
            secure
        })
    })?;
    add(lua, native, "set_client_verify", |_, result: LuaString| {
        let result = lossy(&result);
        with(|x| {
            if let Some(tls) = &mut x.client.tls {
                Rc::make_mut(tls).client_verify = result.into();
            }
        })
    })?;
    add(lua, native, "disable_session_reuse", |_, ()| {
        with(|x| {
            let secure = x.client.tls.is_some();
            x.handshake.no_resumption |= secure;
            secure
        })
    })?;
    add(lua, native, "client_chain", |lua, ()| {
        let chain = with(|x| x.client.tls.as_ref().map(|tls| tls.client_chain.clone()).unwrap_or_default())?;
        if chain.is_empty() {
            return Ok(Value::Nil);
        }
        let pem: String = chain.iter().map(|der| super::text::pem("CERTIFICATE", der)).collect();
        text(lua, Some(pem))
    })
}

fn consumer_document(consumer: &Consumer) -> Json {
    let mut fields = Map::new();
    fields.insert("id".into(), json!(consumer.id.to_string()));
    fields.insert("username".into(), json!(consumer.username));
    fields.insert("custom_id".into(), json!(consumer.custom_id));
    if !consumer.tags.is_empty() {
        fields.insert("tags".into(), json!(consumer.tags.to_vec()));
    }
    fields.insert("created_at".into(), json!(consumer.created_at));
    fields.insert("updated_at".into(), json!(consumer.updated_at));
    Json::Object(fields)
}

fn credential_document(credential: &Credential) -> Json {
    if let Some(document) = &credential.document {
        return (**document).clone();
    }
    let mut fields = Map::new();
    fields.insert("id".into(), json!(credential.id.to_string()));
    fields.insert("key".into(), json!(credential.key));
    if let Some(consumer) = credential.consumer {
        fields.insert("consumer".into(), json!({ "id": consumer.to_string() }));
    }
    for (name, value) in &credential.fields {
        fields.insert((*name).to_owned(), json!(value));
    }
    Json::Object(fields)
}

fn field<'a>(document: &'a Json, name: &str) -> Option<&'a str> {
    document.get(name).and_then(Json::as_str)
}

fn uuid_of(document: &Json) -> Uuid {
    field(document, "id").and_then(|id| Uuid::parse_str(id).ok()).unwrap_or_default()
}

fn identity(lua: &Lua, native: &Table, ports: &Rc<Ports>) -> mlua::Result<()> {
    add(lua, native, "is_uuid", |_, id: LuaString| Ok(Uuid::parse_str(&lossy(&id)).is_ok()))?;
    add(lua, native, "consumer", |lua, ()| {
        let document = with(|x| x.consumer.as_deref().map(consumer_document))?;
        document.map_or(Ok(Value::Nil), |document| json::to_lua(lua, &document, Nulls::Dropped))
    })?;
    add(lua, native, "credential", |lua, ()| {
        let document = with(|x| x.credential.as_deref().map(credential_document))?;
        document.map_or(Ok(Value::Nil), |document| json::to_lua(lua, &document, Nulls::Dropped))
    })?;
    let people = Rc::clone(ports);
    add(lua, native, "load_consumer", move |lua, (id, by_username): (LuaString, bool)| {
        let id = lossy(&id);
        let workspace = with(|x| x.workspace)?;
        let found = Uuid::parse_str(&id).ok().and_then(|id| people.directory.consumer(id));
        let found = match found {
            None if by_username => people.directory.consumer_by_username(workspace, &id),
            found => found,
        };
        found.map_or(Ok(Value::Nil), |found| json::to_lua(lua, &consumer_document(&found), Nulls::Dropped))
    })?;
    let people = Rc::clone(ports);
    add(lua, native, "authenticate", move |lua, (consumer, credential): (Value, Value)| {
        let consumer = json::from_lua(lua, &consumer).ok().filter(Json::is_object);
        let credential = json::from_lua(lua, &credential).ok().filter(Json::is_object);
        let consumer = consumer.map(|document| {
            let id = uuid_of(&document);
            people.directory.consumer(id).unwrap_or_else(|| {
                Arc::new(Consumer {
                    id,
                    username: field(&document, "username").map(Into::into),
                    custom_id: field(&document, "custom_id").map(Into::into),
                    tags: smallvec::SmallVec::new(),
                    created_at: 0,
                    updated_at: 0,
                })
            })
        });
        let groups = consumer.as_ref().and_then(|consumer| people.directory.groups_of(consumer.id));
        let credential = credential.map(|document| {
            Arc::new(Credential {
                id: uuid_of(&document),
                consumer: consumer.as_ref().map(|consumer| consumer.id),
                key: field(&document, "key").unwrap_or_default().into(),
                fields: smallvec::SmallVec::new(),
                expires_at: None,
                document: Some(Arc::new(document)),
            })
        });
        with(|x| {
            x.consumer = consumer;
            x.consumer_groups = groups;
            x.credential = credential;
        })
    })
}
