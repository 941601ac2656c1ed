//! After a 101: the head goes to the client, then bytes go both ways until one side has had enough.

use gibbon_http::Responder;
use gibbon_net::{RelayEnd, RelayLimits, Side, relay};
use gibbon_pdk::{Exchange, ResponseSource};
use tokio::io::AsyncWriteExt;

use crate::answer::{self, Answered, Stage};
use crate::body_source::BodySource;
use crate::forward::Forwarding;
use crate::link::Link;
use crate::response_headers;

/// Opens the tunnel and stays until it ends. `x.response` holds the upstream's 101.
pub async fn tunnel<'c>(
    f: &Forwarding<'_>,
    link: Link,
    x: &mut Exchange,
    body: &mut BodySource<'_, 'c>,
    out: &mut Option<Responder<'c>>,
    stage: &Stage<'_>,
) -> Answered {
    x.response_source = ResponseSource::Service;
    let protocol = x.response.headers.get("upgrade").map(<[u8]>::to_vec).unwrap_or_else(|| b"websocket".to_vec());
    response_headers::strip_hop(&mut x.response.headers, false, false);
    answer::finish_head(f.worker, x, stage);
    x.response.headers.set("Connection", "upgrade");
    x.response.headers.set("Upgrade", &protocol);
    let (Some(responder), Some(wire), Some((mut upstream, ahead))) = (out.take(), body.take(), link.into_raw()) else {
        return Answered::Cut;
    };
    let Ok(mut client) = responder.upgrade(&x.response, wire).await else { return Answered::Cut };
    if !ahead.is_empty() && (client.write_all(&ahead).await.is_err() || client.flush().await.is_err()) {
        return Answered::Cut;
    }
    // As in nginx, the read timeout bounds the silence of a tunnel, and the end of one side ends it.
    let limits = RelayLimits { idle: Some(f.timeouts.read), half_close: false };
    let totals = relay(&mut client, &mut upstream, limits, &f.worker.buffers).await;
    x.request_bytes += totals.a_to_b;
    x.response_bytes += totals.b_to_a;
    x.response_body_bytes += totals.b_to_a;
    match totals.end {
        RelayEnd::Failed(Side::B, error) => tracing::info!(request_id = %x.id, "tunnel: upstream: {error}"),
        RelayEnd::Idle => tracing::info!(request_id = %x.id, "tunnel closed: nothing moved for {:?}", f.timeouts.read),
        RelayEnd::Closed(_) | RelayEnd::Failed(Side::A, _) => {}
    }
    Answered::Whole
}
