//! Showing a cloud who calls: addresses, AWS signatures, and how temporary keys and tokens are asked for, read and kept.
//! Everything is a description; whoever owns sockets, files and the clock lends them as a [`World`].

mod address;
pub mod aws;
pub mod azure;
pub mod google;
mod request;
pub mod sigv4;
pub mod time;
mod token;
mod world;

pub use address::{Address, AddressError, encode};
pub use request::{TokenError, TokenRequest, form, form_header};
pub use token::{Token, TokenSource, Tokens, read_oauth};
pub use world::{IdentityError, Reply, Said, World};
