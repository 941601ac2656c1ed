//! However the network cuts the bytes, the same requests are seen and the same answers given.

use gibbon_http::{Protocol, ServerSettings};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::differential::corpus::CORPUS;
use crate::rig::{connect, run};

/// Sends `input` in pieces, each of which the server reads before the next is sent.
fn talk_in_pieces(input: &[u8], cuts: &[usize]) -> (String, Vec<String>) {
    run(async {
        let client = connect(ServerSettings::default(), Protocol::Http1OrH2cPriorKnowledge);
        let (mut read, mut write) = tokio::io::split(client.io);
        let mut at = 0;
        for cut in cuts.iter().copied().chain([input.len()]) {
            // The server may have refused and closed already.
            let _ = write.write_all(&input[at..cut]).await;
            at = cut;
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
        }
        let _ = write.shutdown().await;
        let mut output = Vec::new();
        let _ = read.read_to_end(&mut output).await;
        let seen = client.seen.requests.borrow().clone();
        (String::from_utf8_lossy(&output).into_owned(), seen)
    })
}

fn cuts(input: &[u8], places: &[prop::sample::Index]) -> Vec<usize> {
    let mut cuts: Vec<_> = places.iter().map(|place| place.index(input.len() + 1)).collect();
    cuts.sort_unstable();
    cuts
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_corpus_is_answered_alike_in_pieces(
        case in 0..CORPUS.len(),
        places in prop::collection::vec(any::<prop::sample::Index>(), 1..6),
    ) {
        let input = CORPUS[case].input.as_bytes();
        prop_assert_eq!(talk_in_pieces(input, &cuts(input, &places)), talk_in_pieces(input, &[]));
    }

    #[test]
    fn a_stream_of_requests_is_answered_alike_in_pieces(
        bodies in prop::collection::vec(("[a-z]{0,20}", 0..3u8, "[A-Za-z0-9 ]{0,30}"), 1..5),
        places in prop::collection::vec(any::<prop::sample::Index>(), 1..12),
    ) {
        let mut input = Vec::new();
        for (body, framing, value) in &bodies {
            let head = format!("POST /echo HTTP/1.1\r\nHost: a\r\nX-V: {value}\r\n");
            input.extend_from_slice(head.as_bytes());
            let rest = match framing {
                0 => format!("Content-Length: {}\r\n\r\n{body}", body.len()),
                1 if !body.is_empty() => {
                    format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\nX-T: {value}\r\n\r\n", body.len())
                }
                _ => "\r\n".to_string(),
            };
            input.extend_from_slice(rest.as_bytes());
        }
        let whole = talk_in_pieces(&input, &[]);
        prop_assert_eq!(whole.1.len(), bodies.len());
        prop_assert_eq!(talk_in_pieces(&input, &cuts(&input, &places)), whole);
    }
}
