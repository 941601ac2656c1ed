//! WebSocket echo (RFC 6455): every message comes back as it was, frame by frame.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::serve::{Answer, text, whole};

/// The constant that RFC 6455 section 4.2.2 appends to the client's key.
const ACCEPT_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Larger frames end the connection with 1009: an echo holds a frame whole.
const MAX_FRAME: u64 = 1 << 20;
const TOO_BIG: [u8; 4] = [0x88, 2, 0x03, 0xF1];

const OPCODE: u8 = 0x0F;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

pub(crate) async fn answer(request: Request<Incoming>) -> Answer {
    let Some(accept) = request.headers().get(header::SEC_WEBSOCKET_KEY).and_then(accept_value) else {
        return text(StatusCode::UPGRADE_REQUIRED, "this backend speaks WebSocket\n");
    };
    tokio::spawn(async move {
        if let Ok(upgraded) = hyper::upgrade::on(request).await {
            // A client that vanishes ends its own echo.
            let _ = echo(TokioIo::new(upgraded)).await;
        }
    });
    let mut answer = Response::new(whole(""));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    answer
}

fn accept_value(key: &HeaderValue) -> Option<HeaderValue> {
    let material = [key.as_bytes(), ACCEPT_SUFFIX.as_bytes()].concat();
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &material);
    HeaderValue::from_str(&STANDARD.encode(hash)).ok()
}

async fn echo<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> std::io::Result<()> {
    loop {
        let first = stream.read_u8().await?;
        let second = stream.read_u8().await?;
        let length = match second & 0x7F {
            126 => u64::from(stream.read_u16().await?),
            127 => stream.read_u64().await?,
            short => u64::from(short),
        };
        if length > MAX_FRAME {
            return stream.write_all(&TOO_BIG).await;
        }
        let mut mask = [0; 4];
        if second & 0x80 != 0 {
            stream.read_exact(&mut mask).await?;
        }
        let mut payload = vec![0; usize::try_from(length).unwrap_or_default()];
        stream.read_exact(&mut payload).await?;
        for (byte, key) in payload.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= key;
        }
        match first & OPCODE {
            PONG => continue,
            PING => stream.write_all(&frame((first & !OPCODE) | PONG, &payload)).await?,
            _ => stream.write_all(&frame(first, &payload)).await?,
        }
        if first & OPCODE == CLOSE {
            return stream.shutdown().await;
        }
    }
}

/// An unmasked frame with this first byte.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ 0..=125), _) => out.push(length),
        (_, Ok(length)) => {
            out.push(126);
            out.extend(length.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend((payload.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
    out
}
