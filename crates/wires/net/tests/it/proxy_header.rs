//! The PROXY protocol between real peers.

use std::time::Duration;

use gibbon_net::{
    ConnectAddress, Connector, ProxyAddresses, ProxyHeader, ProxyHeaderError, ProxyVersion, Target, TlsArrival,
    TlsTarget, Transport, accept_tls, read_proxy_header,
};
use gibbon_tls::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::Instant;

use crate::certificates::SelfSigned;
use crate::{installed, listener};

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

#[tokio::test]
async fn curl_sends_a_header_that_is_understood() {
    if !installed("curl") {
        return;
    }
    let (listener, address, _) = listener();
    let serve = async {
        let mut socket = listener.accept().await.unwrap();
        read_proxy_header(&mut socket, soon()).await.unwrap();
        let ProxyAddresses::Ip { source, destination, .. } = socket.proxy_header().unwrap().addresses else {
            panic!("no addresses")
        };
        assert_eq!(Some(source.ip()), socket.peer().ip());
        assert_eq!(destination, address);
        let mut first = [0; 4];
        socket.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"GET ");
        socket.write_all(b"HTTP/1.0 200 OK\r\n\r\nhi").await.unwrap();
    };
    let mut curl = Command::new("curl");
    curl.args(["-s", "--haproxy-protocol"]).arg(format!("http://{address}/"));
    let (output, ()) = tokio::join!(curl.output(), serve);
    assert_eq!(output.unwrap().stdout, b"hi");
}

#[tokio::test]
async fn a_header_we_send_arrives_before_tls() {
    let own = SelfSigned::new("a.test");
    let client = own.trusting_client();
    for version in [ProxyVersion::V1, ProxyVersion::V2] {
        let (listener, address, counters) = listener();
        let (source, destination) = ("192.0.2.1:1111".parse().unwrap(), "198.51.100.2:443".parse().unwrap());
        let header = ProxyHeader::new(version, Transport::Stream, source, destination);
        let address = ConnectAddress::Ip(address);
        let name = ServerName::parse("a.test").unwrap();
        let target = Target {
            address: &address,
            timeout: Duration::from_secs(10),
            tls: Some(TlsTarget { tls: &client, name: &name }),
            proxy_header: Some(&header),
        };
        let serve = async {
            let mut socket = listener.accept().await.unwrap();
            read_proxy_header(&mut socket, soon()).await.unwrap();
            accept_tls(socket, &own.server(), &counters).await.unwrap()
        };
        let connector = Connector::default();
        let (connected, arrival) = tokio::join!(connector.connect(&target), serve);
        connected.unwrap();
        let TlsArrival::Tls(stream) = arrival else { panic!("that was TLS") };
        assert_eq!(stream.proxy_header(), Some(&header));
    }
}

#[tokio::test]
async fn a_connection_without_a_header_is_refused_where_one_is_expected() {
    let (listener, address, _) = listener();
    for (sent, expected) in [("GET / HTTP/1.1\r\n", "does not begin"), ("PROXY TCP4 1", "ended within")] {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(sent.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        let mut socket = listener.accept().await.unwrap();
        let error = read_proxy_header(&mut socket, soon()).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_header_must_come_in_time() {
    let (listener, address, _) = listener();
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"PROXY TCP4 ").await.unwrap();
    let mut socket = listener.accept().await.unwrap();
    let began = Instant::now();
    let error = read_proxy_header(&mut socket, began + Duration::from_secs(30)).await.unwrap_err();
    assert!(matches!(error, ProxyHeaderError::Timeout));
    assert_eq!(began.elapsed().as_secs(), 30);
}
