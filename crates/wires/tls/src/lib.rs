//! TLS for both sides of a proxy: certificates, listener settings, upstream settings, and streams
//! over any byte transport.
//!
//! The TLS library appears nowhere in this crate's face, so that it can be exchanged. Sockets belong to
//! `wires/net`; which certificate answers which name is the caller's to decide (see [`CertificateSource`]).

mod certificate;
mod cipher;
mod client;
mod client_trust;
mod direct;
mod error;
mod generate;
mod greeting;
mod hello;
mod identity;
mod info;
mod names;
mod server;
mod signature;
mod stream;
mod ticket;
mod trust;
mod verify;

pub use certificate::{Certificate, CertificatePair, KeyType, PemError};
pub use cipher::{CipherProfile, Ciphers, Notice, Protocol, Protocols};
pub use client::{ClientTls, ClientTlsCache, ClientTlsSettings, IpSubject, ServerName, Verify};
pub use client_trust::{ClientDistrust, ClientRule, ClientTrust, ClientVerdict};
pub use error::{HandshakeError, HandshakeFailure, SettingsError};
pub use generate::{GenerateError, generate_default};
pub use hello::{ClientHello, HELLO_LIMIT, Peeked, client_hello};
pub use identity::{CertificateDetails, describe};
pub use info::TlsInfo;
pub use names::ServerNames;
pub use server::{
    Accepted, CertificateSource, ClientCertificates, Departure, Greeted, ServerTls, ServerTlsSettings, SessionTickets,
    Started,
};
pub use stream::{ClientStream, ServerStream};
pub use trust::{TrustError, TrustStore};
