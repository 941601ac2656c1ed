//! Plugins that find out who is calling, and whether they may.
//!
//! One folder per plugin. What they have in common stands once: [`identity`] (the caller's headers, the anonymous
//! rule, refusals), [`authorization`] (schemes, passwords) and [`arguments`] (names and values in query and body). Credentials come from the directory, in
//! memory; only what has a time to live (sessions, OAuth 2 codes and tokens) goes through the store.

mod acl;
mod arguments;
mod authorization;
mod basic_auth;
mod cookies;
mod hmac_auth;
mod identity;
mod jwt;
mod key_auth;
mod oauth2;
mod session;

#[cfg(test)]
mod rig;

use gibbon_pdk::{Part, Protocol, Protocols};

/// The plugins of this family.
pub const PARTS: &[Part] =
    &[acl::PART, basic_auth::PART, hmac_auth::PART, jwt::PART, key_auth::PART, oauth2::PART, session::PART];

/// Where authentication by header can happen.
const HTTP_FAMILY: Protocols = Protocols::of(&[Protocol::Grpc, Protocol::Grpcs, Protocol::Http, Protocol::Https]);
