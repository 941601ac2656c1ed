//! A DNS client whose cache is the node's: many single-threaded workers ask it at once, a name that is being looked
//! up is looked up once, and while an answer is being renewed the old one serves.
//!
//! [`Resolver::cached`] answers from memory without waiting; [`Resolver::lookup`] asks the servers if it must. The
//! texts of errors are those that operators of Kong search their logs for.
//!
//! Left to others: which name is a service and which an upstream, what becomes of the answer, and logging.

mod answer;
mod cache;
mod clock;
mod error;
mod exchange;
mod hosts;
mod lookup;
mod message;
mod resolver;
mod search;
mod settings;
mod statistics;

pub use answer::{Answer, Record};
pub use clock::{Clock, SystemClock};
pub use error::DnsError;
pub use gibbon_balance::RecordKind;
pub use hosts::Hosts;
pub use resolver::Resolver;
pub use settings::{OrderStep, Settings, SettingsError};
pub use statistics::NameStatistics;
