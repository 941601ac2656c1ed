//! The phases of an exchange, by Kong's names.

/// A point of the request path at which handlers run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    InitWorker,
    Configure,
    Certificate,
    Rewrite,
    Access,
    Response,
    HeaderFilter,
    BodyFilter,
    Log,
    Preread,
}

impl Phase {
    pub const ALL: [Phase; 10] = [
        Phase::InitWorker,
        Phase::Configure,
        Phase::Certificate,
        Phase::Rewrite,
        Phase::Access,
        Phase::Response,
        Phase::HeaderFilter,
        Phase::BodyFilter,
        Phase::Log,
        Phase::Preread,
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Phase::InitWorker => "init_worker",
            Phase::Configure => "configure",
            Phase::Certificate => "certificate",
            Phase::Rewrite => "rewrite",
            Phase::Access => "access",
            Phase::Response => "response",
            Phase::HeaderFilter => "header_filter",
            Phase::BodyFilter => "body_filter",
            Phase::Log => "log",
            Phase::Preread => "preread",
        }
    }
}

/// A set of phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Phases(u16);

impl Phases {
    pub const NONE: Phases = Phases(0);

    #[must_use]
    pub const fn of(phases: &[Phase]) -> Phases {
        let mut bits = 0;
        let mut rest = phases;
        while let [first, tail @ ..] = rest {
            bits |= 1 << *first as u16;
            rest = tail;
        }
        Phases(bits)
    }

    #[must_use]
    pub const fn contains(self, phase: Phase) -> bool {
        self.0 & (1 << phase as u16) != 0
    }

    #[must_use]
    pub const fn union(self, other: Phases) -> Phases {
        Phases(self.0 | other.0)
    }

    /// These but for the others.
    #[must_use]
    pub const fn without(self, others: Phases) -> Phases {
        Phases(self.0 & !others.0)
    }

    pub fn iter(self) -> impl Iterator<Item = Phase> {
        Phase::ALL.into_iter().filter(move |phase| self.contains(*phase))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_it_was_made_of() {
        const SET: Phases = Phases::of(&[Phase::Access, Phase::Log]);
        assert!(SET.contains(Phase::Access) && SET.contains(Phase::Log) && !SET.contains(Phase::Rewrite));
        assert_eq!(SET.iter().map(Phase::name).collect::<Vec<_>>(), ["access", "log"]);
    }
}
