//! One look-up from beginning to end: record types in their order, each over the search domains, aliases and
//! services followed to addresses. No cache here.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use gibbon_balance::RecordKind;
use tokio::task::JoinSet;

use crate::exchange::Servers;
use crate::message::{Question, Reply, read};
use crate::search::full_names;
use crate::statistics::Statistics;
use crate::{Clock, DnsError, OrderStep, Record, Settings};

/// Longest chain of aliases followed over several answers.
const MAX_DEPTH: u8 = 8;
/// Most services of one name whose addresses are looked up.
const MAX_SERVICES: usize = 64;

/// Everything a look-up needs; shared with the tasks it starts.
pub(crate) struct Asker {
    pub settings: Settings,
    pub servers: Servers,
    pub statistics: Statistics,
    pub clock: Arc<dyn Clock>,
}

/// Addresses, and how long they hold in seconds.
#[derive(Debug)]
pub(crate) struct Found {
    pub kind: RecordKind,
    pub records: Vec<Record>,
    pub ttl: u32,
}

type Finding<'a> = Pin<Box<dyn Future<Output = Result<Found, DnsError>> + Send + 'a>>;

impl Asker {
    /// Looks up a name; `last` is the type it resolved to the last time.
    pub async fn find(self: &Arc<Self>, name: &str, last: Option<RecordKind>) -> Result<Found, DnsError> {
        self.find_in_order(name, &self.questions(last), 0).await
    }

    /// The address of a literal or a name of the hosts file.
    pub fn without_asking(&self, name: &str) -> Option<(RecordKind, IpAddr)> {
        if let Some(literal) = literal(name) {
            return Some(literal);
        }
        let entry = self.settings.hosts.get(name.strip_suffix('.').unwrap_or(name))?;
        self.settings.order.iter().find_map(|step| match step {
            OrderStep::Kind(RecordKind::A) => entry.v4.map(|ip| (RecordKind::A, ip.into())),
            OrderStep::Kind(RecordKind::Aaaa) => entry.v6.map(|ip| (RecordKind::Aaaa, ip.into())),
            _ => None,
        })
    }

    fn questions(&self, last: Option<RecordKind>) -> Vec<Question> {
        let mut questions = Vec::new();
        for step in &self.settings.order {
            let question = match step {
                OrderStep::Last => last.map(Question::Kind),
                OrderStep::Kind(kind) => Some(Question::Kind(*kind)),
                OrderStep::Cname => Some(Question::Cname),
            };
            questions.extend(question.filter(|question| !questions.contains(question)));
        }
        questions
    }

    /// Questions whose answers are addresses: what the target of a service is asked for.
    fn address_questions(&self) -> Vec<Question> {
        let mut questions = self.questions(None);
        questions.retain(|question| *question != Question::Kind(RecordKind::Srv));
        questions
    }

    fn find_in_order<'a>(self: &'a Arc<Self>, name: &'a str, questions: &'a [Question], depth: u8) -> Finding<'a> {
        Box::pin(async move {
            if depth > MAX_DEPTH {
                return Err(DnsError::Recursion);
            }
            let names = full_names(name, &self.settings.search, self.settings.ndots);
            let mut last_error = DnsError::Empty;
            for question in questions {
                for full in &names {
                    match self.find_one(full, *question, questions, depth).await {
                        Ok(found) => return Ok(found),
                        // No answer at all: another type might answer and be wrong for this name.
                        Err(error) if !error.is_an_answer() => return Err(error),
                        Err(error) => last_error = error,
                    }
                }
            }
            Err(last_error)
        })
    }

    async fn find_one(
        self: &Arc<Self>,
        name: &str,
        question: Question,
        questions: &[Question],
        depth: u8,
    ) -> Result<Found, DnsError> {
        match (self.ask(name, question).await?, question) {
            (Reply::Found { records, ttl, glue }, Question::Kind(RecordKind::Srv)) => {
                self.find_services(name, records, ttl, &glue).await
            }
            (Reply::Found { records, ttl, .. }, Question::Kind(kind)) => Ok(Found { kind, records, ttl }),
            (Reply::Found { .. }, Question::Cname) => Err(DnsError::Empty),
            (Reply::Alias { target, ttl }, _) => {
                let same = [question];
                let questions = if question == Question::Cname { questions } else { &same };
                // Complete as it stands: search domains are for names that people wrote.
                let complete = format!("{target}.");
                let found = self.find_in_order(&complete, questions, depth + 1).await?;
                Ok(Found { ttl: found.ttl.min(ttl), ..found })
            }
        }
    }

    /// Finds the addresses of services. Those without any are left out, unless none has any.
    async fn find_services(
        self: &Arc<Self>,
        name: &str,
        services: Vec<Record>,
        mut ttl: u32,
        glue: &[(Arc<str>, IpAddr)],
    ) -> Result<Found, DnsError> {
        // Some clusters answer every name with a service that points back at it; the name has addresses instead.
        if services.iter().all(|service| service.name.as_deref() == Some(name)) {
            return Err(DnsError::Recursion);
        }
        let mut tasks = JoinSet::new();
        let mut resolved: Vec<(usize, Result<Found, DnsError>)> = Vec::new();
        for (position, service) in services.iter().take(MAX_SERVICES).enumerate() {
            let target = service.name.clone().unwrap_or_default();
            let given = self.addresses_given(&target, glue);
            if !given.is_empty() {
                resolved.push((position, Ok(Found { kind: RecordKind::A, records: given, ttl: u32::MAX })));
                continue;
            }
            let asker = self.clone();
            tasks.spawn(async move {
                let questions = asker.address_questions();
                (position, asker.find_in_order(&format!("{target}."), &questions, 1).await)
            });
        }
        while let Some(finished) = tasks.join_next().await {
            resolved.push(finished.map_err(|_| DnsError::Interrupted)?);
        }
        resolved.sort_by_key(|(position, _)| *position);
        let mut records = Vec::new();
        let mut error = DnsError::Empty;
        for (position, result) in resolved {
            match (result, services.get(position)) {
                (Ok(found), Some(service)) => {
                    ttl = ttl.min(found.ttl);
                    records.extend(found.records.iter().map(|address| Record { ip: address.ip, ..service.clone() }));
                }
                (Err(failed), _) => error = failed,
                (Ok(_), None) => {}
            }
        }
        if records.is_empty() { Err(error) } else { Ok(Found { kind: RecordKind::Srv, records, ttl }) }
    }

    /// Addresses of a service's target that are known without another question.
    fn addresses_given(&self, target: &str, glue: &[(Arc<str>, IpAddr)]) -> Vec<Record> {
        let plain = |ip| Record { ip, port: 0, weight: 0, priority: 0, name: None };
        if let Some((_, ip)) = self.without_asking(target) {
            return vec![plain(ip)];
        }
        let wanted = |ip: &IpAddr| {
            let kind = if ip.is_ipv4() { RecordKind::A } else { RecordKind::Aaaa };
            self.settings.order.contains(&OrderStep::Kind(kind))
        };
        glue.iter().filter(|(name, ip)| **name == *target && wanted(ip)).map(|(_, ip)| plain(*ip)).collect()
    }

    async fn ask(&self, name: &str, question: Question) -> Result<Reply, DnsError> {
        let began_ms = self.clock.now_ms();
        let answer = self.servers.ask(name, question, began_ms).await;
        let took_ms = self.clock.now_ms().saturating_sub(began_ms);
        let reply = answer.and_then(|message| read(&message, name, question));
        let outcome = match &reply {
            Ok(_) => "query_succ".to_owned(),
            Err(error) if error.is_an_answer() => format!("query_fail:{}", error.short()),
            Err(_) => "query_fail_nameserver".to_owned(),
        };
        self.statistics.question(name, &question.record_type().to_string(), took_ms, &outcome);
        reply
    }
}

/// The address that a name spells out, IPv6 with or without brackets.
pub(crate) fn literal(name: &str) -> Option<(RecordKind, IpAddr)> {
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let ip = bare.parse::<IpAddr>().ok()?;
    Some((if ip.is_ipv4() { RecordKind::A } else { RecordKind::Aaaa }, ip))
}
