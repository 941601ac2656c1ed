//! Which route a request or connection belongs to, for all of Kong's router flavours.
//!
//! Routes are compiled into one immutable index: hosts (exact and wildcard) in a trie, below each host a radix
//! tree of path prefixes, in each leaf the few routes that share both, ordered by priority, with what remains
//! to be checked. So a look-up costs the same with one route and with a million. [`Router::updated`] shares all
//! that a change does not touch with the router it came from.
//!
//! What happens after the match (redirects to HTTPS, gRPC checks, answers) is left to the proxy; only the pure
//! computation of the upstream's path ([`upstream_uri`]) lives here too.

mod anchors;
mod authority;
mod compile;
mod conditions;
mod entry;
mod found;
mod index;
mod keys;
mod list;
mod pattern;
mod radix;
mod rank;
mod records;
mod router;
mod spec;
mod upstream_uri;
mod validate;
mod wording;

pub use found::{Captures, Found};
pub use router::{Change, RouteError, Router, Scratch};
pub use spec::{Address, Endpoint, Flavor, Protocol, Protocols, Query, RouteSpec, Subsystem};
pub use upstream_uri::{PathHandling, UriParts, upstream_uri};
pub use validate::validate;
