//! From a list of changes to an immutable plan.
//!
//! The compiler is pure: no clock, no socket, no database. Publishing a plan to the workers is
//! left to `proxy`, keeping entities to `store`.

mod certificate;
mod chain;
mod change;
mod compile;
mod condition;
mod content;
mod directory;
mod entity;
mod funnel;
mod plan;
mod publish;
mod sharded;
mod upstream;

pub use certificate::{AuthorityCertificate, Certificate};
pub use chain::{Binding, Chain, Collected, Instance, Place, Step, rank};
pub use change::Change;
pub use compile::{
    BuildScope, Builder, CompileError, Compiler, Plugins, binding_of, document_id, in_order_of_reference,
};
pub use condition::Condition;
pub use directory::Directories;
pub use entity::check_route;
pub use funnel::Funnel;
pub use plan::{Instances, Plan, Sni};
pub use publish::Publisher;
pub use upstream::{HashSource, Probe, Target, Upstream};
