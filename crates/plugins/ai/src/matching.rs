//! Rules on who asks for what: consumer, group, header, address, path, model, provider.

use std::net::IpAddr;

use gibbon_pdk::Exchange;
use gibbon_schema::Schema;

/// What a rule looks at.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    Consumer,
    ConsumerGroup,
    Header,
    Ip,
    Model,
    Path,
    Provider,
}

/// What is known of a call when rules are asked.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub x: &'a Exchange,
    pub model: Option<&'a str>,
    pub provider: Option<&'a str>,
}

/// The value of a subject; the first of several. A header needs its name in `key`.
pub fn value(asked: &Asked<'_>, subject: Subject, key: Option<&str>) -> Option<String> {
    values(asked, subject, key).into_iter().next()
}

/// All values of a subject: a consumer has an id and names, and may be in several groups.
fn values(asked: &Asked<'_>, subject: Subject, key: Option<&str>) -> Vec<String> {
    let x = asked.x;
    match subject {
        Subject::Consumer => x
            .consumer
            .iter()
            .flat_map(|c| {
                let names = [c.username.as_deref(), c.custom_id.as_deref()];
                names.into_iter().flatten().map(str::to_owned).chain([c.id.to_string()])
            })
            .collect(),
        Subject::ConsumerGroup => x
            .consumer_groups
            .iter()
            .flat_map(|g| g.iter())
            .flat_map(|g| [g.name.to_string(), g.id.to_string()])
            .collect(),
        Subject::Header => x.request.headers.get_str(key.unwrap_or_default()).map(str::to_owned).into_iter().collect(),
        Subject::Ip => vec![x.client.ip.to_string()],
        Subject::Path => vec![String::from_utf8_lossy(x.request.path()).into_owned()],
        Subject::Model => asked.model.map(str::to_owned).into_iter().collect(),
        Subject::Provider => asked.provider.map(str::to_owned).into_iter().collect(),
    }
}

/// Whether a subject has one of the values. Addresses may be networks; a path matches with what lies below it.
pub fn is_one_of(asked: &Asked<'_>, subject: Subject, key: Option<&str>, wanted: &[String]) -> bool {
    let have = values(asked, subject, key);
    wanted.iter().any(|want| match subject {
        Subject::Ip => in_network(asked.x.client.ip, want),
        Subject::Path => have.iter().any(|path| {
            path.strip_prefix(want.trim_end_matches('/')).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }),
        _ => have.contains(want),
    })
}

/// `10.0.0.0/8`, or an address alone.
fn in_network(ip: IpAddr, network: &str) -> bool {
    let (address, length) = network.split_once('/').map_or((network, None), |(a, l)| (a, Some(l)));
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    let bits = |ip: IpAddr| match ip {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    };
    if address.is_ipv4() != ip.is_ipv4() {
        return false;
    }
    let ((have, width), (want, _)) = (bits(ip), bits(address));
    let length = length.map_or(Some(width), |l| l.parse::<u32>().ok().filter(|l| *l <= width));
    length.is_some_and(|length| length == 0 || (have ^ want) >> (128 - length) == 0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_compared_as_what_they_are() {
        let x = gibbon_rig::request("POST /v1/chat/completions", &[("X-Team", "a")]);
        let asked = Asked { x: &x, model: Some("gpt"), provider: Some("openai") };
        let is = |subject, key, wanted: &str| is_one_of(&asked, subject, key, &[wanted.to_owned()]);
        assert!(is(Subject::Header, Some("x-team"), "a") && !is(Subject::Header, Some("x-team"), "b"));
        assert!(is(Subject::Ip, None, "10.0.0.0/8") && is(Subject::Ip, None, "10.0.0.1"));
        assert!(!is(Subject::Ip, None, "10.0.1.0/24") && !is(Subject::Ip, None, "nothing"));
        assert!(is(Subject::Path, None, "/v1") && !is(Subject::Path, None, "/v1/chatty"));
        assert!(is(Subject::Model, None, "gpt") && is(Subject::Provider, None, "openai"));
        assert!(!is(Subject::Consumer, None, "anybody"));
    }
}
