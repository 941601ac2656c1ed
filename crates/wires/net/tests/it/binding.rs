//! Opening, adopting and refusing listening addresses.

use std::time::Duration;

use gibbon_net::{BoundSocket, Inherited, Keepalive, ListenAddress, ListenSpec, bind};
use tokio::net::{TcpStream, UnixStream};

use crate::{bind_one, ip, loopback};

#[test]
fn with_reuseport_each_worker_gets_its_own_socket_on_one_port() {
    let spec = ListenSpec { reuseport: true, ..ListenSpec::tcp(loopback()) };
    let sockets = bind(&spec, 3, &mut Inherited::none()).unwrap();
    assert_eq!(sockets.len(), 3);
    let ports: Vec<_> = sockets.iter().map(|socket| ip(socket.address()).port()).collect();
    assert!(ports[0] != 0 && ports.iter().all(|port| *port == ports[0]));
}

#[test]
fn without_reuseport_the_workers_share_one_socket() {
    let sockets = bind(&ListenSpec::tcp(loopback()), 3, &mut Inherited::none()).unwrap();
    assert_eq!(sockets.len(), 1);
    let shared = sockets[0].try_clone().unwrap();
    assert_eq!(shared.address(), sockets[0].address());
}

#[test]
fn an_address_in_use_says_so() {
    let first = bind_one(&ListenSpec::tcp(loopback()));
    let error = bind(&ListenSpec::tcp(ip(first.address())), 1, &mut Inherited::none()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot listen on {}: another process listens there; stop it or choose another port", first.address())
    );
}

#[test]
fn every_option_is_accepted_by_the_system() {
    let spec = ListenSpec {
        reuseport: true,
        deferred: true,
        backlog: 16_384,
        fastopen: Some(32),
        receive_buffer: Some(64 * 1024),
        send_buffer: Some(64 * 1024),
        keepalive: Keepalive::On {
            idle: Some(Duration::from_secs(60)),
            interval: Some(Duration::from_secs(10)),
            count: Some(3),
        },
        ..ListenSpec::tcp(loopback())
    };
    bind_one(&spec);
    bind_one(&ListenSpec { keepalive: Keepalive::Off, ..spec });
    bind_one(&ListenSpec { reuseport: true, ..ListenSpec::udp(loopback()) });
}

#[test]
fn an_ipv6_wildcard_leaves_ipv4_alone_unless_told_otherwise() {
    let any6 = "[::]:0".parse().unwrap();
    let Ok(only6) = bind(&ListenSpec::tcp(any6), 1, &mut Inherited::none()) else {
        eprintln!("skipped: no IPv6");
        return;
    };
    let port = ip(only6[0].address()).port();
    bind_one(&ListenSpec::tcp(([0, 0, 0, 0], port).into()));
    let both = bind_one(&ListenSpec { ipv6only: false, ..ListenSpec::tcp(any6) });
    let taken = ListenSpec::tcp(([0, 0, 0, 0], ip(both.address()).port()).into());
    assert!(bind(&taken, 1, &mut Inherited::none()).is_err());
}

#[tokio::test]
async fn a_reload_adopts_the_sockets_it_finds_and_adds_what_is_missing() {
    let spec = ListenSpec { reuseport: true, ..ListenSpec::tcp(loopback()) };
    let running = bind(&spec, 2, &mut Inherited::none()).unwrap();
    let address = running[0].address().clone();
    let second_handles = |sockets: &[BoundSocket]| sockets.iter().map(|socket| socket.try_clone().unwrap()).collect();

    let mut inherited: Inherited = second_handles(&running);
    let more = bind(&spec, 3, &mut inherited).unwrap();
    assert!(inherited.is_empty());
    assert_eq!(more.iter().map(BoundSocket::address).collect::<Vec<_>>(), [&address; 3]);

    let mut inherited: Inherited = second_handles(&running);
    let fewer = bind(&spec, 1, &mut inherited).unwrap();
    assert_eq!(fewer.len(), 2, "each may hold waiting connections");

    let mut inherited: Inherited = second_handles(&running);
    bind_one(&ListenSpec::tcp(loopback()));
    bind(&ListenSpec::udp(loopback()), 1, &mut inherited).unwrap();
    assert_eq!(inherited.len(), 2, "other addresses and kinds claim nothing");

    // With every other handle gone the adopted one still answers.
    drop((running, more, inherited));
    TcpStream::connect(ip(&address)).await.unwrap();
}

#[tokio::test]
async fn an_abandoned_unix_socket_is_replaced_and_a_used_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("listener");
    let spec = ListenSpec::unix(&path);
    drop(bind_one(&spec));
    assert!(path.exists(), "the file outlives its socket");
    let used = bind_one(&spec);
    assert_eq!(*used.address(), ListenAddress::Unix(path.clone()));
    UnixStream::connect(&path).await.unwrap();
    assert!(bind(&spec, 1, &mut Inherited::none()).unwrap_err().to_string().contains("another process"));

    let file = folder.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    bind(&ListenSpec::unix(&file), 1, &mut Inherited::none()).unwrap_err();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
}
