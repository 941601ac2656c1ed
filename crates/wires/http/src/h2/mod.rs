//! HTTP/2: the `h2` crate does frames, streams and flow control; here its streams become exchanges, its
//! header maps heads, and floods it does not bound itself are bounded.

mod convert;
mod exchange;
mod frames;
mod meter;
mod receive;
mod send;
mod server;

pub(crate) use convert::{fields_from, fields_to, request_parts, response_from};
pub(crate) use exchange::{Answer, Body};
pub(crate) use meter::Meter;
pub(crate) use receive::Inflow;
pub(crate) use send::{Outflow, Pace, StreamCell, wire_error};
pub(crate) use server::serve;
