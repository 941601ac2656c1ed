//! Lists of networks (`10.0.0.0/8`, `::1`), for `kong.ip` and `resty.ipmatcher`.

use std::net::IpAddr;

use ipnet::IpNet;
use mlua::{AnyUserData, Lua, Table, Value};

use super::add;

struct Networks(Vec<IpNet>);

/// An address alone is the network of itself.
fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

pub fn install(lua: &Lua, native: &Table) -> mlua::Result<()> {
    // Nothing and the entry that is none of both.
    add(lua, native, "networks", |lua, list: Vec<String>| {
        let mut networks = Vec::with_capacity(list.len());
        for text in list {
            match network(text.trim()) {
                Some(network) => networks.push(network),
                None => return Ok((Value::Nil, Some(text))),
            }
        }
        Ok((Value::UserData(lua.create_any_userdata(Networks(networks))?), None))
    })?;
    // The place of the first network with this address; false if none has it, nil if it is no address.
    add(lua, native, "networks_find", |_, (networks, address): (AnyUserData, String)| {
        let Ok(address) = address.parse::<IpAddr>() else { return Ok(Value::Nil) };
        let networks = networks.borrow::<Networks>()?;
        let found = networks.0.iter().position(|network| network.contains(&address.to_canonical()));
        #[allow(clippy::cast_precision_loss)] // a place in a list
        Ok(found.map_or(Value::Boolean(false), |at| Value::Number((at + 1) as f64)))
    })?;
    add(lua, native, "address_family", |_, address: String| {
        Ok(address.parse::<IpAddr>().ok().map(|address| if address.is_ipv4() { 4 } else { 6 }))
    })?;
    add(lua, native, "address_of_bytes", |_, bytes: mlua::LuaString| {
        let bytes = bytes.as_bytes();
        let four = <[u8; 4]>::try_from(&*bytes).map(IpAddr::from);
        Ok(four.or_else(|_| <[u8; 16]>::try_from(&*bytes).map(IpAddr::from)).ok().map(|address| address.to_string()))
    })
}
