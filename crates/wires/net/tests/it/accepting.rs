//! Accepting under limits and without descriptors.

use std::sync::Arc;

use gibbon_net::{ConnectionLimits, Counters, ListenSpec, Listener, PeerAddress};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::{bind_one, ip, listener, loopback};

#[tokio::test]
async fn an_accepted_socket_knows_both_ends_and_carries_bytes() {
    let (listener, address, counters) = listener();
    let mut client = TcpStream::connect(address).await.unwrap();
    let mut socket = listener.accept().await.unwrap();
    assert_eq!(socket.peer(), PeerAddress::Ip(client.local_addr().unwrap()));
    assert_eq!(socket.local(), PeerAddress::Ip(address));
    assert_eq!(counters.totals().active, 1);

    client.write_all(b"ping").await.unwrap();
    let mut read = [0; 4];
    socket.read_exact(&mut read).await.unwrap();
    socket.write_all(b"pong").await.unwrap();
    drop(socket);
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert_eq!((&read, answer.as_str()), (b"ping", "pong"));
    assert_eq!((counters.totals().accepted, counters.totals().active), (1, 0));
}

#[tokio::test]
async fn unread_bytes_come_first_again() {
    let (listener, address, _) = listener();
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"world").await.unwrap();
    client.shutdown().await.unwrap();
    let mut socket = listener.accept().await.unwrap();
    while socket.ahead().len() < 5 {
        assert!(socket.read_ahead().await.unwrap() > 0);
    }
    socket.unread(b"hello ");
    let mut text = String::new();
    socket.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "hello world");
}

#[test]
fn a_fresh_connection_can_move_to_another_worker() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let limits = ConnectionLimits::new(Some(1), None);
    let (here, there) = (Arc::new(Counters::default()), Arc::new(Counters::default()));
    let (detached, mut client) = runtime().block_on(async {
        let bound = bind_one(&ListenSpec::tcp(loopback()));
        let address = ip(bound.address());
        let listener = Listener::new(bound, Some(limits.clone()), here.clone()).unwrap();
        let mut client = std::net::TcpStream::connect(address).unwrap();
        std::io::Write::write_all(&mut client, b"read ahead, ").unwrap();
        let mut socket = listener.accept().await.unwrap();
        socket.read_ahead().await.unwrap();
        (socket.detach().unwrap(), client)
    });
    assert_eq!(here.totals().active, 0);
    assert!(limits.admit(None).is_err(), "it still counts for the node");
    let counters = there.clone();
    let other = std::thread::spawn(move || {
        runtime().block_on(async {
            let mut socket = detached.attach(&counters).unwrap();
            assert_eq!(counters.totals().active, 1);
            let mut text = String::new();
            socket.read_to_string(&mut text).await.unwrap();
            text
        })
    });
    std::io::Write::write_all(&mut client, b"read later").unwrap();
    drop(client);
    assert_eq!(other.join().unwrap(), "read ahead, read later");
    assert_eq!(there.totals().active, 0);
    limits.admit(None).unwrap();
}

#[tokio::test]
async fn unix_sockets_are_accepted_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let bound = bind_one(&ListenSpec::unix(&path));
    let listener = Listener::new(bound, Some(ConnectionLimits::new(None, Some(1))), Arc::default()).unwrap();
    let _clients = (UnixStream::connect(&path).await.unwrap(), UnixStream::connect(&path).await.unwrap());
    let first = listener.accept().await.unwrap();
    assert_eq!(first.peer(), PeerAddress::Unix);
    // The limit per address does not concern them.
    listener.accept().await.unwrap();
}

/// Reads to the end: nothing but the end, or a reset, may come.
async fn closed(mut client: TcpStream) {
    let read = client.read(&mut [0; 1]).await;
    assert!(!matches!(read, Ok(1..)), "{read:?}");
}

#[tokio::test]
async fn connections_above_a_limit_are_closed_and_counted_until_one_goes() {
    for (limits, per_address) in
        [(ConnectionLimits::new(Some(2), None), false), (ConnectionLimits::new(None, Some(2)), true)]
    {
        let counters = Arc::new(Counters::default());
        let bound = bind_one(&ListenSpec::tcp(loopback()));
        let address = ip(bound.address());
        let listener = Listener::new(bound, Some(limits), counters.clone()).unwrap();
        let connect = || async { TcpStream::connect(address).await.unwrap() };

        let _waiting = (connect().await, connect().await);
        let held = (listener.accept().await.unwrap(), listener.accept().await.unwrap());
        let refused = connect().await;
        // Whoever comes after the refused one is admitted once there is room.
        let next = async {
            closed(refused).await;
            drop(held.0);
            connect().await
        };
        let (accepted, _next) = tokio::join!(listener.accept(), next);
        accepted.unwrap();
        let totals = counters.totals();
        assert_eq!(totals.refused_per_address, u64::from(per_address));
        assert_eq!(totals.refused_total, u64::from(!per_address));
        assert_eq!(totals.accepted, 4);
    }
}

#[test]
fn ipv6_clients_are_counted_by_network_and_mapped_ones_as_ipv4() {
    let limits = ConnectionLimits::new(None, Some(1));
    let admit = |text: &str| limits.admit(Some(text.parse().unwrap()));
    let _held = admit("2001:db8::1").unwrap();
    assert!(admit("2001:db8::ffff").is_err());
    let _other = admit("2001:db8:0:1::1").unwrap();
    let _four = admit("192.0.2.1").unwrap();
    assert!(admit("::ffff:192.0.2.1").is_err());
}

#[test]
fn a_refused_address_gives_back_its_share_of_the_whole() {
    let limits = ConnectionLimits::new(Some(2), Some(1));
    let address = Some("192.0.2.1".parse().unwrap());
    let _held = limits.admit(address).unwrap();
    for _ in 0..10 {
        assert!(limits.admit(address).is_err());
    }
    limits.admit(Some("192.0.2.2".parse().unwrap())).unwrap();
}

/// Run by the test below in a process of its own, which it leaves without descriptors.
#[test]
#[ignore = "run by the test below"]
fn without_descriptors_in_its_own_process() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let (listener, address, counters) = listener();
        let client = TcpStream::connect(address).await.unwrap();
        let mut hoard = Vec::new();
        while let Ok(file) = std::fs::File::open("/dev/null") {
            hoard.push(file);
        }
        let relief = async {
            // Time is paused: this passes as soon as the listener waits.
            tokio::time::sleep(std::time::Duration::from_secs(3)).await;
            hoard.clear();
        };
        let (accepted, ()) = tokio::join!(listener.accept(), relief);
        accepted.unwrap();
        let errors = counters.totals().accept_errors;
        assert!((5..20).contains(&errors), "{errors} attempts in three seconds: it must neither spin nor sleep on");
        drop(client);
    });
}

#[test]
fn without_descriptors_accepting_waits_and_goes_on() {
    let this = std::env::current_exe().unwrap();
    let command = format!(
        "ulimit -n 64; exec '{}' --exact accepting::without_descriptors_in_its_own_process --ignored",
        this.display()
    );
    let output = std::process::Command::new("sh").args(["-c", &command]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
