//! The built gateway judged from outside. Each module asks one question; all of them start real processes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod client_certificates;
mod clients;
mod conformance;
mod ending;
mod examples;
mod floods;
mod grpc;
mod life_cycle;
mod logs;
mod nodes;
mod request_debug;
mod upgrade;
mod vaults;
mod walkthrough;
