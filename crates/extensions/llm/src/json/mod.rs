//! Reading JSON bodies: field by field with paths in errors ([`Fields`]), or by scanning the text
//! without building anything ([`scan`], and [`watch`] while it passes by), and changing top-level fields in place ([`patch`]).

pub mod patch;
pub mod scan;
mod take;
pub mod watch;

pub use take::{Fields, Path};
