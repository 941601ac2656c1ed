//! Sessions are resumed when they may be, and not otherwise.

use std::time::Duration;

use gibbon_tls::{
    ClientCertificates, ClientTls, ClientTlsSettings, Departure, Protocols, ServerTls, ServerTlsSettings,
    SessionTickets, TrustStore,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::authority::Authority;
use crate::{always, client, handshake, name};

const TLS12: Protocols = Protocols { tls12: true, tls13: false };
const TLS13: Protocols = Protocols { tls12: false, tls13: true };

/// One whole connection; whether it resumed an earlier one.
async fn connect(tls: &ServerTls, client: &ClientTls) -> bool {
    converse(tls, client).await.0
}

/// One whole connection; whether it resumed an earlier one, on which both sides must agree, and how many certificates the
/// client showed.
async fn converse(tls: &ServerTls, client: &ClientTls) -> (bool, usize) {
    let (accepted, connected) = handshake(tls, client, &name("a.test")).await;
    let (mut accepted, mut connected) = (accepted.unwrap(), connected.unwrap());
    // TLS 1.3 sends tickets after the handshake: they arrive with the first bytes.
    accepted.write_all(b"x").await.unwrap();
    accepted.shutdown().await.unwrap();
    let mut read = Vec::new();
    connected.read_to_end(&mut read).await.unwrap();
    let resumed = connected.info().resumed;
    assert_eq!(resumed, accepted.info().resumed);
    (resumed, accepted.info().peer_certificates().count())
}

async fn second_resumes(server: &ServerTlsSettings, protocols: Protocols) -> bool {
    let certificate = Authority::root("root").issue(&["a.test"]);
    let tls = ServerTls::new(server, always(&certificate)).unwrap();
    let client = client(ClientTlsSettings { protocols, ..ClientTlsSettings::default() });
    assert!(!connect(&tls, &client).await, "the first is a full handshake");
    connect(&tls, &client).await
}

#[tokio::test]
async fn tickets_resume_sessions() {
    let settings = ServerTlsSettings { session_cache: 0, ..ServerTlsSettings::default() };
    assert!(second_resumes(&settings, TLS12).await);
    assert!(second_resumes(&settings, TLS13).await);
}

#[tokio::test]
async fn without_tickets_the_cache_resumes_sessions() {
    let settings =
        ServerTlsSettings { tickets: SessionTickets::Off, session_cache: 100, ..ServerTlsSettings::default() };
    assert!(second_resumes(&settings, TLS12).await);
    assert!(second_resumes(&settings, TLS13).await);
}

#[tokio::test]
async fn with_neither_every_handshake_is_a_full_one() {
    let settings = ServerTlsSettings { tickets: SessionTickets::Off, session_cache: 0, ..ServerTlsSettings::default() };
    assert!(!second_resumes(&settings, TLS12).await);
    assert!(!second_resumes(&settings, TLS13).await);
}

#[tokio::test]
async fn a_session_past_its_lifetime_is_not_resumed() {
    for tickets in [SessionTickets::On, SessionTickets::Off] {
        let settings = ServerTlsSettings { tickets, session_lifetime: Duration::ZERO, ..ServerTlsSettings::default() };
        assert!(!second_resumes(&settings, TLS12).await);
        assert!(!second_resumes(&settings, TLS13).await);
    }
}

#[tokio::test]
async fn listeners_do_not_resume_each_others_sessions() {
    let certificate = Authority::root("root").issue(&["a.test"]);
    let plain = ServerTls::new(&ServerTlsSettings::default(), always(&certificate)).unwrap();
    let client_certificates = ClientCertificates::Request { authorities: TrustStore::empty() };
    let asking = ServerTlsSettings { client_certificates, ..ServerTlsSettings::default() };
    let asking = ServerTls::new(&asking, always(&certificate)).unwrap();
    let identity = Some(Authority::root("clients").issue(&["me.test"]));
    let client = client(ClientTlsSettings { identity, ..ClientTlsSettings::default() });
    assert!(!connect(&plain, &client).await);
    assert!(!connect(&asking, &client).await, "or the client would never be asked for its certificate");
}

#[tokio::test]
async fn a_resumed_session_still_knows_the_client_certificate() {
    let certificate = Authority::root("root").issue(&["a.test"]);
    let client_certificates = ClientCertificates::Request { authorities: TrustStore::empty() };
    let settings = ServerTlsSettings { client_certificates, ..ServerTlsSettings::default() };
    let tls = ServerTls::new(&settings, always(&certificate)).unwrap();
    let identity = Some(Authority::root("clients").issue(&["me.test"]));
    let client = client(ClientTlsSettings { identity, ..ClientTlsSettings::default() });
    assert!(!connect(&tls, &client).await);
    let (accepted, connected) = handshake(&tls, &client, &name("a.test")).await;
    assert!(connected.unwrap().info().resumed);
    assert_eq!(accepted.unwrap().info().peer_certificates().count(), 1);
}

#[tokio::test]
async fn a_handshake_may_ask_for_a_certificate_though_the_listener_does_not() {
    let certificate = Authority::root("root").issue(&["a.test"]);
    for protocols in [TLS12, TLS13] {
        let tls = ServerTls::new(&ServerTlsSettings::default(), always(&certificate)).unwrap();
        let asking = || tls.departing(Departure { ask_client: true, ..Departure::default() });
        let identity = Some(Authority::root("clients").issue(&["me.test"]));
        let client = client(ClientTlsSettings { identity, protocols, ..ClientTlsSettings::default() });
        assert!(!connect(&tls, &client).await);
        assert_eq!(converse(&asking(), &client).await, (false, 1), "not the session that began without the question");
        assert_eq!(converse(&asking(), &client).await, (true, 1));
    }
}

#[tokio::test]
async fn a_handshake_may_be_one_that_is_not_resumed() {
    let certificate = Authority::root("root").issue(&["a.test"]);
    for (tickets, protocols) in [
        (SessionTickets::On, TLS12),
        (SessionTickets::On, TLS13),
        (SessionTickets::Off, TLS12),
        (SessionTickets::Off, TLS13),
    ] {
        let settings = ServerTlsSettings { tickets, ..ServerTlsSettings::default() };
        let tls = ServerTls::new(&settings, always(&certificate)).unwrap();
        let once = || tls.departing(Departure { no_resumption: true, ..Departure::default() });
        let client = client(ClientTlsSettings { protocols, ..ClientTlsSettings::default() });
        assert!(!connect(&once(), &client).await);
        assert!(!connect(&once(), &client).await);
        assert!(!connect(&tls, &client).await, "nor by a usual one");
        assert!(connect(&tls, &client).await);
    }
}
