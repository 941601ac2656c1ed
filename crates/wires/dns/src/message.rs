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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use hickory_proto::op::OpCode;
    use hickory_proto::rr::Record as Resource;
    use hickory_proto::rr::rdata::{A, CNAME, SRV};
    use proptest::prelude::*;

    use super::*;

    const A_QUESTION: Question = Question::Kind(RecordKind::A);

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn answer(asked: &Message, records: &[(&str, u32, RData)]) -> Message {
        let mut message = Message::response(asked.metadata.id, OpCode::Query);
        message.add_query(asked.queries.first().unwrap().clone());
        let record = |(owner, ttl, data): &(&str, u32, RData)| Resource::from_rdata(name(owner), *ttl, data.clone());
        message.add_answers(records.iter().map(record));
        message
    }

    fn a(ip: [u8; 4]) -> RData {
        RData::A(A(ip.into()))
    }

    fn cname(target: &str) -> RData {
        RData::CNAME(CNAME(name(target)))
    }

    #[test]
    fn records_of_other_names_in_an_answer_are_ignored() {
        let (asked, _) = question("web.test", A_QUESTION).unwrap();
        let message = answer(&asked, &[("evil.test.", 5, a([6, 6, 6, 6])), ("WEB.test.", 9, a([10, 0, 0, 1]))]);
        let Ok(Reply::Found { records, ttl, .. }) = read(&message, "web.test", A_QUESTION) else { panic!("found") };
        assert_eq!((records.len(), ttl), (1, 9));
    }

    #[test]
    fn an_alias_without_its_end_says_where_to_go_on() {
        let (asked, _) = question("www.test", A_QUESTION).unwrap();
        let message = answer(&asked, &[("www.test.", 5, cname("Web.Test."))]);
        let expected = Reply::Alias { target: "web.test".into(), ttl: 5 };
        assert_eq!(read(&message, "www.test", A_QUESTION), Ok(expected));
    }

    #[test]
    fn aliases_in_a_circle_within_one_answer_end() {
        let (asked, _) = question("a.test", A_QUESTION).unwrap();
        let message = answer(&asked, &[("a.test.", 5, cname("b.test.")), ("b.test.", 5, cname("a.test."))]);
        assert_eq!(read(&message, "a.test", A_QUESTION), Err(DnsError::Recursion));
    }

    proptest! {
        #[test]
        fn no_bytes_from_the_network_do_any_harm(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
            cut in any::<prop::sample::Index>(),
            noise in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            let srv = Question::Kind(RecordKind::Srv);
            let (asked, _) = question("api.test", srv).unwrap();
            let service = RData::SRV(SRV::new(1, 2, 3, name("one.test.")));
            let mut bytes =
                answer(&asked, &[("api.test.", 5, cname("x.test.")), ("x.test.", 7, service)]).to_vec().unwrap();
            for (place, value) in changes {
                // The id stays, so that the answer is read and not only refused.
                if let Some(byte) = bytes.iter_mut().skip(2).nth(place.index(60)) {
                    *byte = value;
                }
            }
            bytes.truncate(bytes.len() - cut.index(bytes.len() / 2));
            bytes.extend(noise);
            if let Some(message) = answer_to(&asked, &bytes) {
                let _ = read(&message, "api.test", srv);
            }
        }
    }
}
