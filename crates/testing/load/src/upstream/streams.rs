//! Upstreams that stream: stamped events without end, and a language model's answer in pieces.

use anyhow::Result;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::fixed::Requests;
use super::{EPOCH, EVENT_EVERY};

const HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\nServer: stand\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n\
                      Transfer-Encoding: chunked\r\n\r\n";

/// A chat completion in the shape most clients speak.
pub(super) const CHAT: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"stand","choices":[{"index":0,"message":{"role":"assistant","content":"The answer is 42, as it was yesterday and as it will be tomorrow, unless somebody asks a better question."},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":11,"completion_tokens":24,"total_tokens":35},"system_fingerprint":"fp_1"}"#;
/// The same answer as Anthropic writes it.
pub(super) const MESSAGE: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"stand","content":[{"type":"text","text":"The answer is 42, as it was yesterday and as it will be tomorrow, unless somebody asks a better question."}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":11,"output_tokens":24}}"#;
/// Pieces of a streamed completion.
const PIECES: usize = 50;

/// Events for ever: each carries the time it was sent, in nanoseconds since the stand began.
pub(super) async fn events(mut socket: TcpStream) -> Result<()> {
    let mut requests = Requests::new();
    if !requests.next(&mut socket).await? {
        return Ok(());
    }
    socket.write_all(HEAD).await?;
    let mut interval = tokio::time::interval(EVENT_EVERY);
    loop {
        interval.tick().await;
        let event = format!("data: {:>20}\n\n", EPOCH.elapsed().as_nanos());
        socket.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await?;
    }
}

/// A streamed chat completion per request, its pieces as fast as they can be written, one write each.
pub(super) async fn chat(mut socket: TcpStream) -> Result<()> {
    let mut requests = Requests::new();
    while requests.next(&mut socket).await? {
        socket.write_all(HEAD).await?;
        for number in 0..PIECES {
            send(&mut socket, &piece(&format!(r#"{{"content":"word{number} "}}"#), "null")).await?;
        }
        send(&mut socket, &piece("{}", r#""stop""#)).await?;
        send(&mut socket, "[DONE]").await?;
        socket.write_all(b"0\r\n\r\n").await?;
    }
    Ok(())
}

/// A streamed completion of some 160 KB that is there at once.
pub(super) fn block() -> String {
    let pieces = (0..1000).map(|number| piece(&format!(r#"{{"content":"word{number} "}}"#), "null"));
    let end = [piece("{}", r#""stop""#), "[DONE]".to_owned()];
    pieces.chain(end).map(|data| format!("data: {data}\n\n")).collect()
}

/// A streamed completion that begins and then says nothing more.
pub(super) async fn held(mut socket: TcpStream) -> Result<()> {
    let mut requests = Requests::new();
    if requests.next(&mut socket).await? {
        socket.write_all(HEAD).await?;
        send(&mut socket, &piece(r#"{"content":"first "}"#, "null")).await?;
        requests.next(&mut socket).await?;
    }
    Ok(())
}

fn piece(delta: &str, finish: &str) -> String {
    format!(
        r#"{{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"stand","choices":[{{"index":0,"delta":{delta},"finish_reason":{finish}}}]}}"#
    )
}

async fn send(socket: &mut TcpStream, data: &str) -> Result<()> {
    let event = format!("data: {data}\n\n");
    Ok(socket.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await?)
}
