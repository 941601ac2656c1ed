//! Datagram sessions.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use gibbon_net::{ListenSpec, UdpListener, UdpSessionLimits, UdpSessionTotals, UdpTarget};
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::task::LocalSet;

use crate::{bind_one, loopback};

/// A proxy before an upstream that answers each datagram in upper case, `answers` times.
struct Setting {
    proxy: Rc<UdpListener>,
    ended: Rc<RefCell<Vec<UdpSessionTotals>>>,
    told: Rc<Notify>,
}

impl Setting {
    async fn new(answers: usize, sessions: usize, target: impl Fn(SocketAddr) -> Option<UdpTarget> + 'static) -> Self {
        Self::at(loopback(), answers, sessions, target).await
    }

    async fn at(
        listen: SocketAddr,
        answers: usize,
        sessions: usize,
        target: impl Fn(SocketAddr) -> Option<UdpTarget> + 'static,
    ) -> Self {
        let upstream = UdpSocket::bind(loopback()).await.unwrap();
        let upstream_address = upstream.local_addr().unwrap();
        tokio::task::spawn_local(async move {
            let mut buffer = [0; 2048];
            loop {
                let (length, from) = upstream.recv_from(&mut buffer).await.unwrap();
                for _ in 0..answers {
                    upstream.send_to(&buffer[..length].to_ascii_uppercase(), from).await.unwrap();
                }
            }
        });
        let proxy = Rc::new(UdpListener::new(bind_one(&ListenSpec::udp(listen))).unwrap());
        let (ended, told): (Rc<RefCell<Vec<_>>>, Rc<Notify>) = Default::default();
        let (serving, list, notify) = (proxy.clone(), ended.clone(), told.clone());
        tokio::task::spawn_local(async move {
            let target = Rc::new(target);
            serving
                .serve(
                    UdpSessionLimits { sessions },
                    move |_start| {
                        let target = target.clone();
                        async move { target(upstream_address) }
                    },
                    move |totals| {
                        list.borrow_mut().push(totals);
                        notify.notify_one();
                    },
                )
                .await
                .unwrap();
        });
        Self { proxy, ended, told }
    }

    async fn client(&self) -> UdpSocket {
        let client = UdpSocket::bind(loopback()).await.unwrap();
        client.connect(self.proxy.local()).await.unwrap();
        client
    }
}

async fn ask(client: &UdpSocket, question: &[u8]) -> Vec<u8> {
    client.send(question).await.unwrap();
    let mut buffer = [0; 2048];
    let length = client.recv(&mut buffer).await.unwrap();
    buffer[..length].to_vec()
}

fn lasting(idle: u64, responses: Option<u64>) -> impl Fn(SocketAddr) -> Option<UdpTarget> {
    move |address| Some(UdpTarget { address, idle: Duration::from_secs(idle), responses })
}

#[tokio::test]
async fn each_client_has_its_own_session() {
    LocalSet::new()
        .run_until(async {
            let setting = Setting::new(1, 10, lasting(60, None)).await;
            let (one, two) = (setting.client().await, setting.client().await);
            assert_eq!(ask(&one, b"one").await, b"ONE");
            assert_eq!(ask(&two, b"two").await, b"TWO");
            assert_eq!(ask(&one, b"again").await, b"AGAIN");
            assert_eq!(setting.proxy.open_sessions(), 2);
        })
        .await;
}

#[tokio::test]
async fn the_expected_answers_end_a_session() {
    LocalSet::new()
        .run_until(async {
            let setting = Setting::new(2, 10, lasting(60, Some(2))).await;
            let client = setting.client().await;
            assert_eq!(ask(&client, b"abc").await, b"ABC");
            setting.told.notified().await;
            let totals = setting.ended.borrow()[0];
            assert_eq!((totals.datagrams_in, totals.bytes_in), (1, 3));
            assert_eq!((totals.datagrams_out, totals.bytes_out), (2, 6));
            assert_eq!(totals.client, client.local_addr().unwrap());
            assert_eq!(setting.proxy.open_sessions(), 0);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn silence_ends_a_session() {
    LocalSet::new()
        .run_until(async {
            let setting = Setting::new(0, 10, lasting(30, None)).await;
            let client = setting.client().await;
            client.send(b"anybody?").await.unwrap();
            let began = tokio::time::Instant::now();
            setting.told.notified().await;
            assert_eq!(began.elapsed().as_secs(), 30);
            assert_eq!(setting.ended.borrow()[0].datagrams_out, 0);
        })
        .await;
}

#[tokio::test]
async fn further_clients_are_dropped_while_all_sessions_are_taken() {
    LocalSet::new()
        .run_until(async {
            let setting = Setting::new(1, 1, lasting(60, None)).await;
            let (first, second) = (setting.client().await, setting.client().await);
            assert_eq!(ask(&first, b"one").await, b"ONE");
            second.send(b"two").await.unwrap();
            assert_eq!(ask(&first, b"still").await, b"STILL");
            assert_eq!((setting.proxy.open_sessions(), setting.proxy.refused()), (1, 1));
        })
        .await;
}

#[tokio::test]
async fn a_client_without_a_route_gets_no_session() {
    LocalSet::new()
        .run_until(async {
            let setting = Setting::new(1, 10, |_| None).await;
            let client = setting.client().await;
            client.send(b"lost").await.unwrap();
            setting.told.notified().await;
            assert_eq!(setting.ended.borrow()[0].target, None);
            assert_eq!(setting.proxy.open_sessions(), 0);
        })
        .await;
}

#[tokio::test]
async fn a_wildcard_listener_answers_from_the_address_it_was_asked_at() {
    for (wildcard, asked) in [("0.0.0.0:0", "127.0.0.3"), ("[::]:0", "::1")] {
        if std::net::UdpSocket::bind((asked, 0)).is_err() {
            eprintln!("skipped: no {asked}");
            continue;
        }
        LocalSet::new()
            .run_until(async {
                let setting = Setting::at(wildcard.parse().unwrap(), 1, 10, lasting(60, Some(1))).await;
                let asked = SocketAddr::new(asked.parse().unwrap(), setting.proxy.local().port());
                let client = UdpSocket::bind((asked.ip(), 0)).await.unwrap();
                // A connected socket takes answers from this address only.
                client.connect(asked).await.unwrap();
                assert_eq!(ask(&client, b"where?").await, b"WHERE?");
                setting.told.notified().await;
                assert_eq!(setting.ended.borrow()[0].local, asked);
            })
            .await;
    }
}

#[tokio::test]
async fn a_target_where_nobody_listens_ends_the_session() {
    LocalSet::new()
        .run_until(async {
            let gone = UdpSocket::bind(loopback()).await.unwrap().local_addr().unwrap();
            let setting = Setting::new(1, 10, move |_| lasting(60, None)(gone)).await;
            let client = setting.client().await;
            client.send(b"anybody?").await.unwrap();
            setting.told.notified().await;
            assert_eq!(setting.ended.borrow()[0].datagrams_out, 0);
        })
        .await;
}
