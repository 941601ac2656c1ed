//! Vaults over HTTP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod aws;
mod azure;
mod gcp;
mod hcv;
mod openbao;
mod rig;
