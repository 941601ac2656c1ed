//! What a listener does: which certificate it shows, what it refuses, and what it learns of the client.

use std::sync::Arc;
use std::time::Duration;

use gibbon_tls::{
    Accepted, CertificatePair, Ciphers, ClientCertificates, ClientTlsSettings, Greeted, HandshakeFailure, KeyType,
    Protocols, ServerTls, ServerTlsSettings, TrustStore,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::authority::Authority;
use crate::{Source, always, client, handshake, name, server};

fn presented(stream: &gibbon_tls::ClientStream<tokio::io::DuplexStream>) -> Vec<u8> {
    stream.info().peer_certificates().next().unwrap().to_vec()
}

fn leaf(certificate: &gibbon_tls::Certificate) -> Vec<u8> {
    certificate.chain().next().unwrap().to_vec()
}

#[tokio::test]
async fn the_source_sees_the_name_in_lower_case_and_its_certificate_is_shown() {
    let root = Authority::root("root");
    let (one, other) = (root.issue(&["one.test"]), root.issue(&["other.test"]));
    let answers = (one.clone(), other.clone());
    let source = Source::new(move |hello| match hello.sni.as_deref() {
        Some("one.test") => Some(answers.0.clone()),
        _ => Some(answers.1.clone()),
    });
    let tls = ServerTls::new(&ServerTlsSettings::default(), source.clone()).unwrap();
    let client = client(ClientTlsSettings::default());

    let (accepted, connected) = handshake(&tls, &client, &name("ONE.test")).await;
    assert_eq!(presented(&connected.unwrap()), leaf(&one));
    assert_eq!(accepted.unwrap().info().sni, Some("one.test"));

    let (accepted, connected) = handshake(&tls, &client, &name("127.0.0.1")).await;
    assert_eq!(presented(&connected.unwrap()), leaf(&other));
    assert_eq!(accepted.unwrap().info().sni, None);

    let names: Vec<_> = source.greetings.lock().unwrap().iter().map(|hello| hello.sni.clone()).collect();
    assert_eq!(names, [Some("one.test".to_owned()), None]);
}

#[tokio::test]
async fn without_a_certificate_the_handshake_ends_with_that_reason() {
    let tls = ServerTls::new(&ServerTlsSettings::default(), Source::new(|_| None)).unwrap();
    let (accepted, connected) = handshake(&tls, &client(ClientTlsSettings::default()), &name("a.test")).await;
    assert_eq!(accepted.err().unwrap().failure, HandshakeFailure::NoCertificate);
    assert_eq!(connected.err().unwrap().failure, HandshakeFailure::PeerAlert);
}

#[tokio::test]
async fn a_pair_gives_the_elliptic_certificate_to_clients_that_can_verify_it() {
    let root = Authority::root("root");
    let (rsa, elliptic) = (root.issue_rsa(&["a.test"]), root.issue(&["a.test"]));
    for pair in [
        CertificatePair::new(rsa.clone(), Some(elliptic.clone())),
        CertificatePair::new(elliptic.clone(), Some(rsa.clone())),
    ] {
        let tls =
            ServerTls::new(&ServerTlsSettings::default(), Source::new(move |hello| Some(pair.choose(hello).clone())))
                .unwrap();
        let (_, connected) = handshake(&tls, &client(ClientTlsSettings::default()), &name("a.test")).await;
        assert_eq!(presented(&connected.unwrap()), leaf(&elliptic));

        // A client of TLS 1.2 that offers suites for RSA only.
        let (ciphers, _) = Ciphers::parse("ECDHE-RSA-AES128-GCM-SHA256");
        let protocols = Protocols { tls12: true, tls13: false };
        let settings = ClientTlsSettings { ciphers, protocols, ..ClientTlsSettings::default() };
        let (_, connected) = handshake(&tls, &client(settings), &name("a.test")).await;
        let connected = connected.unwrap();
        assert_eq!(presented(&connected), leaf(&rsa));
        assert_eq!(connected.info().cipher, "ECDHE-RSA-AES128-GCM-SHA256");
        assert_eq!(connected.info().version, "TLSv1.2");
    }
}

#[tokio::test]
async fn an_ed25519_certificate_serves_too() {
    let certificate = Authority::root("root").issue_ed25519(&["a.test"]);
    assert_eq!(certificate.key_type(), KeyType::Ed25519);
    let (_, connected) = handshake(&server(&certificate), &client(ClientTlsSettings::default()), &name("a.test")).await;
    assert_eq!(presented(&connected.unwrap()), leaf(&certificate));
}

#[tokio::test]
async fn a_client_of_a_disabled_version_is_refused() {
    let certificate = Authority::root("root").issue(&["a.test"]);
    let protocols = Protocols { tls12: false, tls13: true };
    let settings = ServerTlsSettings { protocols, ..ServerTlsSettings::default() };
    let tls = ServerTls::new(&settings, always(&certificate)).unwrap();
    let old = ClientTlsSettings { protocols: Protocols { tls12: true, tls13: false }, ..ClientTlsSettings::default() };
    let (accepted, connected) = handshake(&tls, &client(old), &name("a.test")).await;
    assert_eq!(accepted.err().unwrap().failure, HandshakeFailure::NothingShared);
    assert_eq!(connected.err().unwrap().failure, HandshakeFailure::PeerAlert);
}

#[tokio::test]
async fn our_first_shared_application_protocol_is_chosen_and_none_shared_is_refused() {
    let tls = server(&Authority::root("root").issue(&["a.test"]));
    let offering = |protocols: &[&str]| {
        let alpn = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        client(ClientTlsSettings { alpn, ..ClientTlsSettings::default() })
    };
    let (accepted, _) = handshake(&tls, &offering(&["http/1.1", "h2"]), &name("a.test")).await;
    assert_eq!(accepted.unwrap().info().alpn, Some(b"h2".as_slice()));
    let (accepted, _) = handshake(&tls, &offering(&[]), &name("a.test")).await;
    assert_eq!(accepted.unwrap().info().alpn, None);
    let (accepted, connected) = handshake(&tls, &offering(&["foo"]), &name("a.test")).await;
    assert_eq!(accepted.err().unwrap().failure, HandshakeFailure::NoApplicationProtocol);
    assert_eq!(connected.err().unwrap().failure, HandshakeFailure::PeerAlert);
}

#[tokio::test]
async fn plain_http_is_told_apart_with_what_was_read() {
    let tls = server(&Authority::root("root").issue(&["a.test"]));
    let (near, mut far) = tokio::io::duplex(1024);
    far.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    match tls.accept(near).await.unwrap() {
        Accepted::Plain { mut io, read } => {
            assert_eq!(read, b"GET / HTTP/1.1\r\n\r\n");
            io.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        }
        Accepted::Tls(_) => panic!("that was no TLS"),
    }
    let mut answer = Vec::new();
    far.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 400"));
}

#[tokio::test]
async fn a_bad_record_is_answered_with_an_alert_and_its_reason() {
    let tls = server(&Authority::root("root").issue(&["a.test"]));
    for garbage in [
        b"\x16\x03\x01\x00\x05hello".as_slice(),
        b"\x16\xff\xff\xff\xff\xff\xff\xff".as_slice(),
        b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10".as_slice(),
    ] {
        let (near, mut far) = tokio::io::duplex(1024);
        far.write_all(garbage).await.unwrap();
        let error = tls.accept(near).await.err().unwrap();
        assert_eq!(error.failure, HandshakeFailure::BadRecord, "{error}");
        let mut answer = Vec::new();
        far.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer.first(), Some(&21), "an alert record");
    }
}

#[tokio::test]
async fn a_greeting_that_never_ends_is_cut_off() {
    let tls = server(&Authority::root("root").issue(&["a.test"]));
    let (near, mut far) = tokio::io::duplex(64 * 1024);
    // A greeting of 60 KiB, announced and sent in whole records.
    let mut endless = b"\x16\x03\x01\x10\x04\x01\x00\xf0\x00".to_vec();
    endless.extend_from_slice(&[0; 0x1000]);
    for _ in 0..14 {
        endless.extend_from_slice(b"\x16\x03\x01\x10\x00");
        endless.extend_from_slice(&[0; 0x1000]);
    }
    far.write_all(&endless).await.unwrap();
    assert_eq!(tls.accept(near).await.err().unwrap().failure, HandshakeFailure::BadRecord);
    let mut left = Vec::new();
    far.read_to_end(&mut left).await.unwrap();
    assert_eq!(left.first(), Some(&21));
}

#[tokio::test]
async fn above_the_bound_of_unfinished_handshakes_new_ones_are_refused() {
    let certificate = Authority::root("root").issue(&["a.test"]);
    let settings = ServerTlsSettings { unfinished_handshakes: 2, ..ServerTlsSettings::default() };
    let tls = ServerTls::new(&settings, always(&certificate)).unwrap();
    let half_open = || {
        let (near, far) = tokio::io::duplex(64);
        let tls = tls.clone();
        (tokio::spawn(async move { tls.accept(near).await.is_ok() }), far)
    };
    let (first, second) = (half_open(), half_open());
    tokio::task::yield_now().await;
    let client = client(ClientTlsSettings::default());
    let (accepted, _) = handshake(&tls, &client, &name("a.test")).await;
    assert_eq!(accepted.err().unwrap().failure, HandshakeFailure::TooManyUnfinished);
    drop(first.1);
    assert!(!first.0.await.unwrap());
    let (accepted, _) = handshake(&tls, &client, &name("a.test")).await;
    accepted.unwrap();
    drop(second);
}

#[tokio::test]
async fn a_client_that_leaves_early_counts_as_closed() {
    let tls = server(&Authority::root("root").issue(&["a.test"]));
    for sent in [b"".as_slice(), b"\x16\x03\x01\x02\x00\x01\x00".as_slice()] {
        let (near, mut far) = tokio::io::duplex(1024);
        far.write_all(sent).await.unwrap();
        drop(far);
        assert_eq!(tls.accept(near).await.err().unwrap().failure, HandshakeFailure::Closed);
    }
}

/// Paused time: the clock jumps to the next timer once everybody waits.
#[tokio::test(start_paused = true)]
async fn a_half_open_handshake_ends_at_its_deadline_however_the_bytes_trickle() {
    let certificate = Authority::root("root").issue(&["a.test"]);
    let settings = ServerTlsSettings { handshake_timeout: Duration::from_secs(10), ..ServerTlsSettings::default() };
    let tls = ServerTls::new(&settings, always(&certificate)).unwrap();

    let (near, _far) = tokio::io::duplex(1024);
    let began = Instant::now();
    assert_eq!(tls.accept(near).await.err().unwrap().failure, HandshakeFailure::Timeout);
    assert_eq!(began.elapsed().as_secs(), 10);

    let (near, mut far) = tokio::io::duplex(1024);
    let trickle = async {
        far.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").await.unwrap();
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if far.write_all(b"\0").await.is_err() {
                break;
            }
        }
    };
    let began = Instant::now();
    let (accepted, ()) = tokio::join!(async { tls.accept(near).await.err().unwrap().failure }, trickle);
    assert_eq!(accepted, HandshakeFailure::Timeout);
    assert!(began.elapsed().as_secs() <= 11);
}

#[tokio::test]
async fn a_client_certificate_is_kept_and_not_judged() {
    let root = Authority::root("root");
    let stranger = Authority::root("stranger").issue(&["client.test"]);
    let request = |authorities| {
        let client_certificates = ClientCertificates::Request { authorities };
        ServerTlsSettings { client_certificates, ..ServerTlsSettings::default() }
    };
    for (settings, protocols) in [
        (request(root.trust()), Protocols { tls12: true, tls13: false }),
        (request(TrustStore::empty()), Protocols { tls12: false, tls13: true }),
    ] {
        let tls = ServerTls::new(&settings, always(&root.issue(&["a.test"]))).unwrap();
        let with = ClientTlsSettings { identity: Some(stranger.clone()), protocols, ..ClientTlsSettings::default() };
        let (accepted, _connected) = handshake(&tls, &client(with), &name("a.test")).await;
        let accepted = accepted.unwrap();
        let chain: Vec<_> = accepted.info().peer_certificates().collect();
        assert_eq!(chain, [leaf(&stranger)]);

        let without = ClientTlsSettings { protocols, ..ClientTlsSettings::default() };
        let (accepted, _connected) = handshake(&tls, &client(without), &name("a.test")).await;
        assert_eq!(accepted.unwrap().info().peer_certificates().count(), 0);
    }
}

#[tokio::test]
async fn between_greeting_and_answer_another_certificate_can_be_chosen() {
    let root = Authority::root("root");
    let (usual, special) = (root.issue(&["a.test"]), root.issue(&["a.test"]));
    let tls = server(&usual);
    let (near, far) = tokio::io::duplex(64 * 1024);
    let accept = async {
        match tls.start(near).await.unwrap() {
            Greeted::Tls(started) => {
                assert_eq!(started.hello().sni.as_deref(), Some("a.test"));
                started.finish_with(&tls, &special).await.unwrap()
            }
            Greeted::Plain { .. } => panic!("that was TLS"),
        }
    };
    let client = client(ClientTlsSettings::default());
    let host = name("a.test");
    let (_accepted, connected) = tokio::join!(accept, client.connect(&host, far));
    assert_eq!(presented(&connected.unwrap()), leaf(&special));
}

#[tokio::test]
async fn bytes_go_both_ways_and_a_goodbye_is_seen() {
    let tls = server(&Authority::root("root").issue(&["a.test"]));
    let (accepted, connected) = handshake(&tls, &client(ClientTlsSettings::default()), &name("a.test")).await;
    let (mut accepted, mut connected) = (accepted.unwrap(), connected.unwrap());
    let sent: Arc<[u8]> = (0..200_000).map(|number: u32| number as u8).collect();
    let (writing, mut received) = (sent.clone(), Vec::new());
    let (written, read) = tokio::join!(
        async {
            connected.write_all(&writing).await?;
            connected.shutdown().await
        },
        accepted.read_to_end(&mut received)
    );
    written.unwrap();
    assert_eq!(read.unwrap(), sent.len());
    assert_eq!(received, *sent);
    // The other direction is still open.
    accepted.write_all(b"still here").await.unwrap();
    accepted.shutdown().await.unwrap();
    let mut answer = String::new();
    connected.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "still here");
}
