//! Values as written become typed values; what the grammar lets through may still be wrong.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The whole number `digits` in `radix`, with its sign.
pub(crate) fn int(digits: &str, radix: u32, negative: bool) -> Result<i64, String> {
    let value = i64::from_str_radix(digits, radix).map_err(|e| e.to_string())?;
    Ok(if negative { -value } else { value })
}

pub(crate) fn ipv4(text: &str) -> Result<IpAddr, String> {
    text.parse::<Ipv4Addr>().map(IpAddr::V4).map_err(|e| e.to_string())
}

pub(crate) fn ipv6(text: &str) -> Result<IpAddr, String> {
    text.parse::<Ipv6Addr>().map(IpAddr::V6).map_err(|e| e.to_string())
}

pub(crate) fn cidr(text: &str, family: &'static str) -> Result<IpNet, String> {
    let (address, length) = text.split_once('/').unwrap_or((text, ""));
    let address = if family == "Ipv4" { ipv4(address) } else { ipv6(address) }
        .map_err(|e| format!("couldn't parse address in network: {e}"))?;
    let length: u8 = length.parse().map_err(|e| format!("couldn't parse length in network: {e}"))?;
    let max = if family == "Ipv4" { 32 } else { 128 };
    if length > max {
        return Err(format!(
            "invalid length for network: Network length {length} is too long for {family} (maximum: {max})"
        ));
    }
    let network = match address {
        IpAddr::V4(v4) => Ipv4Net::new(v4, length).map(IpNet::V4),
        IpAddr::V6(v6) => Ipv6Net::new(v6, length).map(IpNet::V6),
    }
    .map_err(|e| e.to_string())?;
    if network.trunc() != network {
        return Err("host part of address was not zero".into());
    }
    Ok(network)
}
