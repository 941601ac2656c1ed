//! Measures the memory an idle client costs a worker: resident size before and after so many connections, plain
//! and over TLS, divided. The clients live in a second process, so that only our side is counted.
//!
//!     cargo run --release -p gibbon-net --example idle_clients [clients]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;

use gibbon_net::{
    ConnectAddress, Connector, Counters, Inherited, ListenAddress, ListenSpec, Listener, Stream, Target, TlsArrival,
    TlsTarget, accept_tls, bind, raise_descriptor_limit,
};
use gibbon_tls::{
    Certificate, CertificateSource, ClientHello, ClientTls, ClientTlsSettings, KeyType, Protocols, ServerName,
    ServerTls, ServerTlsSettings, generate_default,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

struct One(Certificate);

impl CertificateSource for One {
    fn certificate(&self, _hello: &ClientHello) -> Option<Certificate> {
        Some(self.0.clone())
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Plain,
    Tls12,
    Tls13,
    /// Connected to the TLS port and silent since.
    HalfOpen,
}

fn main() {
    raise_descriptor_limit(None).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *words {
        ["clients", address, kind, count] => {
            local.block_on(&runtime, clients(address.parse().unwrap(), Kind::named(kind), count.parse().unwrap()));
        }
        // A process for each kind: memory one kind has given back must not serve the next.
        ["measure", kind, count] => {
            let bytes = local.block_on(&runtime, measure(Kind::named(kind), count.parse().unwrap()));
            println!("{kind}: {bytes} bytes per idle client");
        }
        _ => {
            for kind in ["plain", "tls1.2", "tls1.3", "half-open"] {
                let count = words.first().unwrap_or(&"2000");
                Command::new(std::env::current_exe().unwrap()).args(["measure", kind, count]).status().unwrap();
            }
        }
    }
}

impl Kind {
    fn named(name: &str) -> Self {
        match name {
            "plain" => Self::Plain,
            "tls1.2" => Self::Tls12,
            "tls1.3" => Self::Tls13,
            _ => Self::HalfOpen,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Tls12 => "tls1.2",
            Self::Tls13 => "tls1.3",
            Self::HalfOpen => "half-open",
        }
    }
}

async fn measure(kind: Kind, count: usize) -> usize {
    let bound = bind(&ListenSpec::tcp(([127, 0, 0, 1], 0).into()), 1, &mut Inherited::none()).unwrap().remove(0);
    let ListenAddress::Ip(address) = *bound.address() else { unreachable!("bound to an IP address") };
    let counters = Arc::new(Counters::default());
    let listener = Listener::new(bound, None, counters.clone()).unwrap();
    let (pem, key) = generate_default("a.test", KeyType::Ecdsa).unwrap();
    let certificate = Certificate::from_pem(pem.as_bytes(), key.as_bytes()).unwrap();
    let tls = ServerTls::new(&ServerTlsSettings::default(), Arc::new(One(certificate))).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["clients", &address.to_string(), kind.name(), &(count * 2).to_string()])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let (warm, _first) = hold(&listener, &tls, &counters, kind, count).await;
    let (full, _second) = hold(&listener, &tls, &counters, kind, count).await;
    drop(child.stdin.take());
    child.wait().unwrap();
    (full - warm) / count
}

/// Serves one small exchange on each of so many connections and leaves them idle, each in a task of its own.
async fn hold(
    listener: &Listener,
    tls: &ServerTls,
    counters: &Arc<Counters>,
    kind: Kind,
    count: usize,
) -> (usize, Vec<tokio::task::JoinHandle<()>>) {
    let mut tasks = Vec::with_capacity(count);
    let (done, mut all_done) = tokio::sync::mpsc::channel(count);
    for _ in 0..count {
        let socket = listener.accept().await.unwrap();
        let (tls, counters, done) = (tls.clone(), counters.clone(), done.clone());
        if kind == Kind::HalfOpen {
            done.send(()).await.unwrap();
        }
        tasks.push(tokio::task::spawn_local(async move {
            let mut stream = match kind {
                Kind::Plain => Stream::Plain(socket),
                _ => match accept_tls(socket, &tls, &counters).await {
                    Ok(TlsArrival::Tls(stream)) => stream,
                    Ok(TlsArrival::Plain(_)) => panic!("not TLS"),
                    // A half-open client that leaves.
                    Err(_) => return,
                },
            };
            let byte = stream.read_u8().await.unwrap();
            stream.write_all(&[byte]).await.unwrap();
            stream.flush().await.unwrap();
            done.send(()).await.unwrap();
            let _ = stream.read_u8().await;
        }));
    }
    for _ in 0..count {
        all_done.recv().await.unwrap();
    }
    tokio::task::yield_now().await;
    (resident(), tasks)
}

async fn clients(address: SocketAddr, kind: Kind, count: usize) {
    let protocols = Protocols { tls12: kind == Kind::Tls12, tls13: kind != Kind::Tls12 };
    let settings = ClientTlsSettings { protocols, remembered_sessions: 0, ..ClientTlsSettings::default() };
    let tls = ClientTls::new(&settings).unwrap();
    let (address, name) = (ConnectAddress::Ip(address), ServerName::parse("a.test").unwrap());
    let target = Target {
        address: &address,
        timeout: std::time::Duration::from_secs(60),
        tls: matches!(kind, Kind::Tls12 | Kind::Tls13).then_some(TlsTarget { tls: &tls, name: &name }),
        proxy_header: None,
    };
    let mut held = Vec::with_capacity(count);
    for _ in 0..count {
        let mut stream = Connector::default().connect(&target).await.unwrap();
        if kind != Kind::HalfOpen {
            stream.write_all(b"x").await.unwrap();
            assert_eq!(stream.read_u8().await.unwrap(), b'x');
        }
        held.push(stream);
    }
    // The parent closes our input when it has measured.
    std::io::read_to_string(std::io::stdin()).unwrap();
}

/// The resident size of this process in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
