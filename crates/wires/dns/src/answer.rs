//! What a name resolved to.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gibbon_balance::{DnsRecord, RecordKind, Resolution, Wheel};

/// One address of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where to connect.
    pub ip: IpAddr,
    /// Port of an SRV record; 0 for the other kinds.
    pub port: u16,
    /// Weight of an SRV record; 0 for the other kinds.
    pub weight: u16,
    /// Priority of an SRV record; all records of an answer have the lowest there was.
    pub priority: u16,
    /// Name an SRV record points at.
    pub name: Option<Arc<str>>,
}

/// The records of a name, all of one kind, and until when they hold. Never empty.
#[derive(Debug)]
pub struct Answer {
    /// Kind of the records.
    pub kind: RecordKind,
    /// The records, in the order of the server.
    pub records: Box<[Record]>,
    /// When it expires, in milliseconds of the resolver's clock. A stale answer lies behind it.
    pub expires_at: u64,
    turns: Option<Wheel>,
    pointer: AtomicUsize,
}

impl Answer {
    pub(crate) fn new(kind: RecordKind, records: Vec<Record>, expires_at: u64) -> Self {
        // Weight 0 means "hardly ever", not "never".
        let turns = (kind == RecordKind::Srv)
            .then(|| Wheel::new(&records.iter().map(|record| u32::from(record.weight.max(1))).collect::<Vec<_>>()));
        Self { kind, records: records.into(), expires_at, turns, pointer: AtomicUsize::new(0) }
    }

    /// Goes on where an answer that this one replaces had got to, so that short-lived answers do not favour their
    /// first record.
    pub(crate) fn continuing(self, before: &Answer) -> Self {
        self.pointer.store(before.pointer.load(Ordering::Relaxed), Ordering::Relaxed);
        self
    }

    /// The next record in turn; SRV records by weight. All workers share the turn.
    pub fn next(&self) -> Option<&Record> {
        let turn = self.pointer.fetch_add(1, Ordering::Relaxed);
        let position = match &self.turns {
            Some(wheel) => wheel.at(turn)?,
            None => turn.checked_rem(self.records.len())?,
        };
        self.records.get(position)
    }

    /// The answer as a balancer wants it.
    pub fn to_resolution(&self) -> Resolution {
        let record = |record: &Record| DnsRecord {
            ip: record.ip,
            port: record.port,
            weight: record.weight,
            name: record.name.clone(),
        };
        Resolution::Records(self.kind, self.records.iter().map(record).collect())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn record(last: u8, weight: u16) -> Record {
        Record { ip: [10, 0, 0, last].into(), port: 80, weight, priority: 1, name: None }
    }

    fn turns(answer: &Answer, count: usize) -> Vec<String> {
        (0..count).map(|_| answer.next().unwrap().ip.to_string()).collect()
    }

    #[test]
    fn addresses_take_turns_beginning_with_the_first() {
        let answer = Answer::new(RecordKind::A, vec![record(1, 0), record(2, 0)], 0);
        assert_eq!(turns(&answer, 3), ["10.0.0.1", "10.0.0.2", "10.0.0.1"]);
        let renewed = Answer::new(RecordKind::A, vec![record(1, 0), record(2, 0)], 0).continuing(&answer);
        assert_eq!(turns(&renewed, 1), ["10.0.0.2"]);
    }

    #[test]
    fn services_take_turns_by_weight_and_zero_is_hardly_ever() {
        let answer = Answer::new(RecordKind::Srv, vec![record(1, 3), record(2, 0)], 0);
        let turns = turns(&answer, 40);
        assert_eq!(turns.iter().filter(|ip| *ip == "10.0.0.1").count(), 30);
    }
}
