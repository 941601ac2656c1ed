//! Connecting, and telling apart why it failed.

use std::time::Duration;

use gibbon_net::{ConnectAddress, ConnectFailure, Connector, ListenSpec, PeerAddress, Target, TlsTarget, accept_tls};
use gibbon_tls::{ClientTls, ClientTlsSettings, HandshakeFailure, ServerName};
use tokio::io::AsyncReadExt;
use tokio::net::UnixListener;

use crate::certificates::SelfSigned;
use crate::{bind_one, ip, listener, loopback};

const PATIENCE: Duration = Duration::from_secs(10);

fn plain(address: &ConnectAddress) -> Target<'_> {
    Target { address, timeout: PATIENCE, tls: None, proxy_header: None }
}

async fn failure(connector: &Connector, target: &Target<'_>) -> ConnectFailure {
    connector.connect(target).await.err().unwrap().failure()
}

#[tokio::test]
async fn a_connection_comes_from_the_local_address_asked_for() {
    let (listener, address, _) = listener();
    let local = "127.0.0.2".parse().unwrap();
    let connector = Connector { local_address: Some(local), keepalive: Some(Duration::from_secs(60)) };
    let stream = connector.connect(&plain(&ConnectAddress::Ip(address))).await.unwrap();
    assert_eq!(stream.peer(), PeerAddress::Ip(address));
    assert_eq!(stream.local().ip(), Some(local));
    assert_eq!(listener.accept().await.unwrap().peer().ip(), Some(local));
}

#[tokio::test]
async fn unix_sockets_can_be_connected_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let missing = ConnectAddress::Unix(path.clone());
    assert_eq!(failure(&Connector::default(), &plain(&missing)).await, ConnectFailure::Refused);
    let _listener = UnixListener::bind(&path).unwrap();
    Connector::default().connect(&plain(&missing)).await.unwrap();
}

#[tokio::test]
async fn a_closed_port_refuses() {
    let port = ip(bind_one(&ListenSpec::tcp(loopback())).address());
    assert_eq!(failure(&Connector::default(), &plain(&ConnectAddress::Ip(port))).await, ConnectFailure::Refused);
}

#[tokio::test]
async fn a_foreign_local_address_is_our_own_fault() {
    let (_listener, address, _) = listener();
    let connector = Connector { local_address: Some("192.0.2.1".parse().unwrap()), keepalive: None };
    assert_eq!(failure(&connector, &plain(&ConnectAddress::Ip(address))).await, ConnectFailure::Local);
}

/// The upstream takes the connection and says nothing: the handshake never ends.
#[tokio::test(start_paused = true)]
async fn one_timeout_covers_the_handshake_too() {
    let (_listener, address, _) = listener();
    let tls = ClientTls::new(&ClientTlsSettings::default()).unwrap();
    let (address, name) = (ConnectAddress::Ip(address), ServerName::parse("a.test").unwrap());
    let target = Target { tls: Some(TlsTarget { tls: &tls, name: &name }), ..plain(&address) };
    let began = tokio::time::Instant::now();
    assert_eq!(failure(&Connector::default(), &target).await, ConnectFailure::Timeout);
    assert_eq!(began.elapsed(), PATIENCE);
}

#[tokio::test]
async fn a_refused_certificate_differs_from_a_broken_handshake() {
    let own = SelfSigned::new("a.test");
    let client = own.trusting_client();
    let (listener, address, counters) = listener();
    let address = ConnectAddress::Ip(address);
    for (host, expected) in [("a.test", None), ("b.test", Some(ConnectFailure::TlsVerification))] {
        let name = ServerName::parse(host).unwrap();
        let target = Target { tls: Some(TlsTarget { tls: &client, name: &name }), ..plain(&address) };
        let tls = own.server();
        let serve = async { accept_tls(listener.accept().await.unwrap(), &tls, &counters).await };
        let connector = Connector::default();
        let (connected, _served) = tokio::join!(connector.connect(&target), serve);
        assert_eq!(connected.err().map(|error| error.failure()), expected);
    }
    // A server that does not speak TLS.
    let name = ServerName::parse("a.test").unwrap();
    let target = Target { tls: Some(TlsTarget { tls: &client, name: &name }), ..plain(&address) };
    let serve = async {
        let mut socket = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut socket, b"220 smtp.test ready\r\n").await.unwrap();
        let _ = socket.read_to_end(&mut Vec::new()).await;
    };
    let connector = Connector::default();
    let (failed, ()) = tokio::join!(failure(&connector, &target), serve);
    assert_eq!(failed, ConnectFailure::Tls(HandshakeFailure::BadRecord));
}
