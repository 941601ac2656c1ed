//! Questions and answers of the protocol, and what an answer says about a name.

use std::net::IpAddr;
use std::sync::Arc;

use gibbon_balance::RecordKind;
use hickory_proto::op::{Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, RecordType};

use crate::{DnsError, Record};

/// Longest chain of aliases followed within one answer.
const MAX_ALIASES: usize = 16;
/// Most records taken from one answer.
const MAX_RECORDS: usize = 512;

/// What to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    Kind(RecordKind),
    Cname,
}

impl Question {
    pub fn record_type(self) -> RecordType {
        match self {
            Self::Kind(RecordKind::A) => RecordType::A,
            Self::Kind(RecordKind::Aaaa) => RecordType::AAAA,
            Self::Kind(RecordKind::Srv) => RecordType::SRV,
            Self::Cname => RecordType::CNAME,
        }
    }
}

/// An answer to one question, aliases followed as far as it goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Records, and the shortest life time on the way to them in seconds.
    Found { records: Vec<Record>, ttl: u32, glue: Vec<(Arc<str>, IpAddr)> },
    /// The name is an alias for one that the answer does not go on about.
    Alias { target: String, ttl: u32 },
}

/// A question as bytes to send, with a random id.
pub(crate) fn question(name: &str, question: Question) -> Result<(Message, Vec<u8>), DnsError> {
    let mut message = Message::query();
    let name = Name::from_ascii(format!("{name}.")).map_err(|_| DnsError::BadName)?;
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name, question.record_type()));
    let bytes = message.to_vec().map_err(|_| DnsError::BadName)?;
    Ok((message, bytes))
}

/// Whether bytes from the network are the answer to a question. Anything else is ignored: on UDP anybody can send
/// anything, and the id and the echoed question are what tells the server from the rest (RFC 5452, section 9).
pub(crate) fn answer_to(question: &Message, bytes: &[u8]) -> Option<Message> {
    let message = Message::from_vec(bytes).ok()?;
    let asked = question.queries.first()?;
    let echoed = message.queries.first();
    let same_question = match echoed {
        Some(echoed) => echoed.name().eq_ignore_root(asked.name()) && echoed.query_type() == asked.query_type(),
        // Servers that cannot parse a question need not echo it.
        None => message.metadata.response_code != ResponseCode::NoError,
    };
    let fits = message.metadata.id == question.metadata.id
        && message.metadata.message_type == MessageType::Response
        && same_question;
    fits.then_some(message)
}

/// Reads an answer. `Empty` if the name exists without such records.
pub(crate) fn read(message: &Message, name: &str, question: Question) -> Result<Reply, DnsError> {
    let code = message.metadata.response_code;
    if code != ResponseCode::NoError {
        return Err(DnsError::Server { code: u16::from(code) });
    }
    let mut owner = Name::from_ascii(format!("{name}.")).map_err(|_| DnsError::BadName)?;
    let mut ttl = u32::MAX;
    let mut aliased = false;
    for _ in 0..MAX_ALIASES {
        let here = || message.answers.iter().filter(|r| r.dns_class == DNSClass::IN && r.name.eq_ignore_root(&owner));
        let mut records = Vec::new();
        for found in here().filter(|record| record.record_type() == question.record_type()).take(MAX_RECORDS) {
            match &found.data {
                RData::CNAME(target) => return Ok(alias(target, ttl.min(found.ttl))),
                data => records.extend(record(data)),
            }
            ttl = ttl.min(found.ttl);
        }
        if !records.is_empty() {
            return Ok(Reply::Found { records: most_preferred(records), ttl, glue: glue(message) });
        }
        let next = here().find_map(|record| match &record.data {
            RData::CNAME(target) => Some((target.0.clone(), record.ttl)),
            _ => None,
        });
        match next {
            Some((target, alias_ttl)) => {
                owner = target;
                ttl = ttl.min(alias_ttl);
                aliased = true;
            }
            None if aliased => return Ok(Reply::Alias { target: text(&owner), ttl }),
            None => return Err(DnsError::Empty),
        }
    }
    Err(DnsError::Recursion)
}

fn alias(target: &hickory_proto::rr::rdata::CNAME, ttl: u32) -> Reply {
    Reply::Alias { target: text(&target.0), ttl }
}

fn record(data: &RData) -> Option<Record> {
    let plain = |ip| Record { ip, port: 0, weight: 0, priority: 0, name: None };
    match data {
        RData::A(ip) => Some(plain(IpAddr::V4(ip.0))),
        RData::AAAA(ip) => Some(plain(IpAddr::V6(ip.0))),
        RData::SRV(srv) => Some(Record {
            // Filled in once the target's address is known.
            ip: IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
            port: srv.port,
            weight: srv.weight,
            priority: srv.priority,
            name: Some(text(&srv.target).into()),
        }),
        _ => None,
    }
}

/// Only the records of the lowest priority take traffic.
fn most_preferred(mut records: Vec<Record>) -> Vec<Record> {
    let lowest = records.iter().map(|record| record.priority).min().unwrap_or(0);
    records.retain(|record| record.priority == lowest);
    records
}

/// Addresses that the server added without being asked, as it does for the targets of SRV records.
fn glue(message: &Message) -> Vec<(Arc<str>, IpAddr)> {
    let address = |record: &hickory_proto::rr::Record| {
        let ip = match &record.data {
            RData::A(ip) => IpAddr::V4(ip.0),
            RData::AAAA(ip) => IpAddr::V6(ip.0),
            _ => return None,
        };
        Some((Arc::from(text(&record.name)), ip))
    };
    message.additionals.iter().take(MAX_RECORDS).filter_map(address).collect()
}

/// A name as text: lower case, without the final dot.
fn text(name: &Name) -> String {
    let mut text = name.to_ascii().to_ascii_lowercase();
    if text.ends_with('.') {
        text.pop();
    }
    text
}
