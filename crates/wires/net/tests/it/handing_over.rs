//! Listening sockets go from one process to the next: this program starts itself as the successor.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};

use gibbon_net::{BoundSocket, HandOverError, Inherited, ListenAddress, ListenSpec, bind, receive, send};

use crate::{ip, loopback};

const PATH: &str = "HAND_OVER_PATH";

/// The successor: takes the sockets over and serves one connection on each worker's socket.
#[test]
#[ignore = "run by the test below"]
fn the_successor_in_its_own_process() {
    let path = std::env::var_os(PATH).expect("started by the test below");
    let mut inherited = receive(&mut UnixStream::connect(path).unwrap()).unwrap();
    assert_eq!(inherited.len(), 3);
    let spec = ListenSpec { reuseport: true, ..ListenSpec::tcp(loopback()) };
    let workers = bind(&spec, 2, &mut inherited).unwrap();
    let unix = std::env::var_os("HAND_OVER_UNIX").unwrap();
    assert_eq!(bind(&ListenSpec::unix(unix), 2, &mut inherited).unwrap().len(), 1);
    assert!(inherited.is_empty());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        use tokio::io::AsyncWriteExt;
        let mut listeners =
            workers.into_iter().map(|bound| gibbon_net::Listener::new(bound, None, std::sync::Arc::default()).unwrap());
        let (one, two) = (listeners.next().unwrap(), listeners.next().unwrap());
        for _ in 0..CLIENTS {
            let mut socket = tokio::select! {
                socket = one.accept() => socket.unwrap(),
                socket = two.accept() => socket.unwrap(),
            };
            socket.write_all(b"successor").await.unwrap();
        }
    });
}

const CLIENTS: usize = 8;

#[test]
fn connections_waiting_in_the_queue_are_served_by_the_successor() {
    let folder = tempfile::tempdir().unwrap();
    let (control, unix) = (folder.path().join("control"), folder.path().join("unix"));
    let spec = ListenSpec { reuseport: true, ..ListenSpec::tcp(loopback()) };
    let mut sockets = bind(&spec, 2, &mut Inherited::none()).unwrap();
    let address = ip(sockets[0].address());
    sockets.extend(bind(&ListenSpec::unix(&unix), 2, &mut Inherited::none()).unwrap());

    // These are connected as far as the kernel is concerned, and nobody has accepted them yet.
    let clients: Vec<TcpStream> = (0..CLIENTS).map(|_| TcpStream::connect(address).unwrap()).collect();

    let listener = UnixListener::bind(&control).unwrap();
    let successor = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "handing_over::the_successor_in_its_own_process", "--ignored"])
        .env(PATH, &control)
        .env("HAND_OVER_UNIX", &unix)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    send(&mut listener.accept().unwrap().0, &sockets).unwrap();
    drop(sockets);

    for mut client in clients {
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "successor");
    }
    let output = successor.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn many_sockets_go_in_several_messages_and_keep_their_names() {
    let sockets: Vec<BoundSocket> = (0..150)
        .flat_map(|number| {
            let spec = if number % 2 == 0 { ListenSpec::tcp(loopback()) } else { ListenSpec::udp(loopback()) };
            bind(&spec, 1, &mut Inherited::none()).unwrap()
        })
        .collect();
    let (mut here, mut there) = UnixStream::pair().unwrap();
    let sending = std::thread::spawn(move || {
        send(&mut here, &sockets).unwrap();
        sockets.iter().map(|socket| socket.address().clone()).collect::<Vec<ListenAddress>>()
    });
    let mut inherited = receive(&mut there).unwrap();
    let sent = sending.join().unwrap();
    assert_eq!(inherited.len(), 150);
    let claimed = bind(&ListenSpec::udp(loopback()), 1, &mut inherited).unwrap();
    assert_eq!(claimed.len(), 75);
    assert!(claimed.iter().all(|socket| sent.contains(socket.address())));
}

#[test]
fn a_stranger_to_the_protocol_is_refused() {
    let (mut here, mut there) = UnixStream::pair().unwrap();
    here.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert!(matches!(receive(&mut there), Err(HandOverError::Protocol(_))));
    let (here, mut there) = UnixStream::pair().unwrap();
    drop(here);
    assert!(matches!(receive(&mut there), Err(HandOverError::Protocol("closed early"))));
    let (mut here, mut there) = UnixStream::pair().unwrap();
    here.write_all(b"LSN1\0\0\0\x01").unwrap();
    assert!(receive(&mut there).unwrap_err().to_string().contains("descriptor is missing"));
}
