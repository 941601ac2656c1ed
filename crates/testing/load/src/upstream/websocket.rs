//! A WebSocket upstream that sends every frame back unmasked. Frames of a benchmark are short; longer ones end it.

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::fixed::Requests;

/// The answer to the one key that the load generator sends (RFC 6455 section 1.3).
const UPGRADED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                          Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Serves one connection to its end.
pub(super) async fn echo(mut socket: TcpStream) -> Result<()> {
    if !Requests::new().next(&mut socket).await? {
        return Ok(());
    }
    socket.write_all(UPGRADED).await?;
    let (mut buffer, mut filled) = ([0_u8; 4096], 0);
    loop {
        let count = socket.read(buffer.get_mut(filled..).unwrap_or_default()).await?;
        if count == 0 {
            return Ok(());
        }
        filled += count;
        let (used, answer) = frames(buffer.get(..filled).unwrap_or_default())?;
        socket.write_all(&answer).await?;
        buffer.copy_within(used..filled, 0);
        filled -= used;
    }
}

/// The answers to all whole frames, and how many bytes those were.
fn frames(bytes: &[u8]) -> Result<(usize, Vec<u8>)> {
    let (mut at, mut answer) = (0, Vec::new());
    while let Some([first, second]) = bytes.get(at..at + 2) {
        let length = usize::from(second & 0x7F);
        ensure!(length < 126 && second & 0x80 != 0, "a frame that no benchmark sends");
        let (Some(mask), Some(payload)) = (bytes.get(at + 2..at + 6), bytes.get(at + 6..at + 6 + length)) else {
            break;
        };
        answer.extend([*first, second & 0x7F]);
        answer.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
        at += 6 + length;
    }
    Ok((at, answer))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn whole_frames_are_answered_and_the_rest_waits() {
        let bytes = [0x81, 0x82, 1, 2, 3, 4, b'h' ^ 1, b'i' ^ 2, 0x81, 0x82, 1];
        assert_eq!(frames(&bytes).unwrap(), (8, b"\x81\x02hi".to_vec()));
    }
}
