//! Limits that a node keeps for all its workers at once: exact under any number of threads, bounded in memory, and
//! without allocation for a key that is already known.
//!
//! - [`FixedWindows`]: calendar periods (second to year), as the rate-limiting plugin counts.
//! - [`RollingWindows`]: windows of any length, fixed or weighted with their predecessor.
//! - [`TokenBuckets`]: a steady rate with a burst, and how long to wait for the next token.
//! - [`WaitingRoom`]: how many requests may be waiting.
//!
//! Left to others: what a key is made of, which headers show the result, counters shared between nodes, waiting
//! itself, and the clock: every call is told the time.

mod bucket;
mod calendar;
mod fixed;
mod rolling;
mod table;
mod waiting;

pub use bucket::{Bucket, Rate, Taken, TokenBuckets};
pub use calendar::Period;
pub use fixed::{Admission, Decision, FixedWindows, Limits, Summary, Usage};
pub use rolling::{RollingDecision, RollingUsage, RollingWindows, WindowKind, WindowLimit};
pub use waiting::{Seat, WaitingRoom};
