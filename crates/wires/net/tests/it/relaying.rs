//! Bytes in both directions, and how it ends.

use std::time::Duration;

use gibbon_net::{BufferPool, RelayEnd, RelayLimits, Side, Stream, Totals, relay};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::TcpStream;

use crate::listener;

const OPEN: RelayLimits = RelayLimits { idle: None, half_close: true };

fn pool() -> BufferPool {
    BufferPool::new(4096, 8)
}

/// Client, relay and server over memory; what the two ends do is up to `ends`.
async fn relayed<F>(limits: RelayLimits, ends: impl FnOnce(DuplexStream, DuplexStream) -> F) -> Totals
where
    F: Future<Output = ()>,
{
    let ((client, mut a), (mut b, server)) = (duplex(1024), duplex(1024));
    let pool = pool();
    let run = async {
        let totals = relay(&mut a, &mut b, limits, &pool).await;
        drop((a, b));
        totals
    };
    tokio::join!(run, ends(client, server)).0
}

#[tokio::test]
async fn with_half_close_the_answer_may_come_after_the_question_ended() {
    let totals = relayed(OPEN, |mut client, mut server| async move {
        let asking = async {
            client.write_all(&[7; 100_000]).await.unwrap();
            client.shutdown().await.unwrap();
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.unwrap();
            assert_eq!(answer, b"100000");
        };
        let answering = async {
            let mut question = Vec::new();
            server.read_to_end(&mut question).await.unwrap();
            server.write_all(question.len().to_string().as_bytes()).await.unwrap();
            server.shutdown().await.unwrap();
        };
        tokio::join!(asking, answering);
    })
    .await;
    assert_eq!((totals.a_to_b, totals.b_to_a), (100_000, 6));
    assert!(matches!(totals.end, RelayEnd::Closed(Side::A)));
}

#[tokio::test]
async fn without_half_close_the_first_end_ends_it_after_delivery() {
    let totals = relayed(RelayLimits { half_close: false, ..OPEN }, |client, mut server| async move {
        server.write_all(b"goodbye").await.unwrap();
        server.shutdown().await.unwrap();
        let mut client = client;
        let mut read = String::new();
        client.read_to_string(&mut read).await.unwrap();
        assert_eq!(read, "goodbye");
        assert_eq!(server.read(&mut [0; 1]).await.unwrap(), 0);
    })
    .await;
    assert_eq!(totals.b_to_a, 7);
    assert!(matches!(totals.end, RelayEnd::Closed(Side::B)));
}

#[tokio::test]
async fn a_side_that_is_gone_is_named() {
    let totals = relayed(OPEN, |mut client, server| async move {
        drop(server);
        // The first write tells; depending on timing the end is seen by reading or by writing.
        let _ = client.write_all(b"anybody?").await;
        let _ = client.read_to_end(&mut Vec::new()).await;
        drop(client);
    })
    .await;
    assert!(matches!(totals.end, RelayEnd::Closed(Side::B) | RelayEnd::Failed(Side::B, _)), "{:?}", totals.end);
}

#[tokio::test(start_paused = true)]
async fn a_silent_relay_ends_and_a_busy_one_does_not() {
    let limits = RelayLimits { idle: Some(Duration::from_secs(60)), half_close: true };
    let began = tokio::time::Instant::now();
    let totals = relayed(limits, |mut client, mut server| async move {
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_secs(50)).await;
            client.write_all(b"x").await.unwrap();
            server.read_exact(&mut [0]).await.unwrap();
        }
        assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
    })
    .await;
    assert!(matches!(totals.end, RelayEnd::Idle));
    assert_eq!(totals.a_to_b, 10);
    assert_eq!(began.elapsed().as_secs(), 560);
}

#[tokio::test]
async fn a_slow_reader_holds_the_sender_back() {
    let ((mut client, mut a), (mut b, mut server)) = (duplex(1024), duplex(1024));
    let pool = pool();
    let mut offered = 0_usize;
    {
        let flood = async {
            loop {
                offered += client.write(&[0; 1024]).await.unwrap();
            }
        };
        // Nobody reads at the other end: everything comes to rest, and the sender has been held back.
        tokio::select! {
            biased;
            _ = flood => {}
            _ = relay(&mut a, &mut b, OPEN, &pool) => {}
            () = async { for _ in 0..100 { tokio::task::yield_now().await } } => {}
        }
    }
    assert!(offered <= 1024 + 4096 + 1024, "{offered} bytes taken from the sender");
    server.read_exact(&mut [0; 1024]).await.unwrap();
}

#[tokio::test]
async fn real_sockets_close_half_by_half() {
    let (front, front_address, _) = listener();
    let (back, back_address, _) = listener();
    let proxy = async {
        let mut a = Stream::Plain(front.accept().await.unwrap());
        let peer = back_address;
        let mut b = TcpStream::connect(peer).await.unwrap();
        relay(&mut a, &mut b, OPEN, &pool()).await
    };
    let client = async {
        let mut client = TcpStream::connect(front_address).await.unwrap();
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let server = async {
        let mut server = back.accept().await.unwrap();
        let mut question = String::new();
        server.read_to_string(&mut question).await.unwrap();
        server.write_all(format!("answer to {question}").as_bytes()).await.unwrap();
    };
    let (totals, answer, ()) = tokio::join!(proxy, client, server);
    assert_eq!(answer, "answer to question");
    assert_eq!((totals.a_to_b, totals.b_to_a), (8, 18));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn nothing_is_lost_or_reordered(there in proptest::collection::vec(any::<u8>(), 0..20_000),
                                    back in proptest::collection::vec(any::<u8>(), 0..20_000)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (sent, answered) = (there.clone(), back.clone());
            let totals = relayed(OPEN, |client, server| async move {
                let (mut client_read, mut client_write) = tokio::io::split(client);
                let (mut server_read, mut server_write) = tokio::io::split(server);
                let (mut received, mut returned) = (Vec::new(), Vec::new());
                let (first, second, third, fourth) = tokio::join!(
                    async { client_write.write_all(&sent).await.unwrap(); client_write.shutdown().await },
                    async { server_write.write_all(&answered).await.unwrap(); server_write.shutdown().await },
                    server_read.read_to_end(&mut received),
                    client_read.read_to_end(&mut returned),
                );
                first.unwrap(); second.unwrap(); third.unwrap(); fourth.unwrap();
                assert_eq!((received, returned), (sent, answered));
            }).await;
            assert_eq!((totals.a_to_b, totals.b_to_a), (there.len() as u64, back.len() as u64));
        });
    }
}
