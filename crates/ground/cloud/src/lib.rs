//! Showing a cloud who calls: addresses, AWS signatures, and how temporary keys are asked for and read. Everything is a
//! description: whoever owns the sockets sends it, keeps the keys, and asks again before they expire.

mod address;
pub mod aws;
pub mod sigv4;
pub mod time;
mod token;

pub use address::{Address, AddressError, encode};
pub use token::{TokenError, TokenRequest, form, form_header};
