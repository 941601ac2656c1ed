//! The declarative configuration in front of the backends, and the lines that tell a person what to try.

use std::net::SocketAddr;

use crate::Addresses;

/// A `kong.yml` with one service and route per backend.
#[must_use]
pub fn declarative(at: &Addresses) -> String {
    format!(
        r#"_format_version: "3.0"
services:
- name: demo-rest
  url: http://{rest}
  routes:
  - name: rest
    paths: [/rest]
- name: demo-sse
  url: http://{sse}
  routes:
  - name: sse
    paths: [/sse]
    response_buffering: false
- name: demo-websocket
  url: http://{websocket}
  routes:
  - name: websocket
    paths: [/ws]
- name: demo-grpc
  url: grpc://{grpc}
  routes:
  - name: grpc
    protocols: [grpc, grpcs]
    paths: [/gibbon.demo.Echo/]
"#,
        rest = at.rest,
        sse = at.sse,
        websocket = at.websocket,
        grpc = at.grpc,
    )
}

/// What to type to see each backend through the gateway. `proto` is where [`crate::PROTO`] was written.
#[must_use]
pub fn instructions(proxy: SocketAddr, proto: &str) -> String {
    format!(
        "REST       curl -i http://{proxy}/rest/hello?name=you\n\
         SSE        curl -N http://{proxy}/sse?every=500\n\
         WebSocket  curl -N --http1.1 -i -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' \
         -H 'Sec-WebSocket-Key: Z2liYm9uIHNheXMgaGVsbG8=' http://{proxy}/ws   (or any WebSocket client on ws://{proxy}/ws)\n\
         gRPC       grpcurl -plaintext -proto {proto} -d '{{\"text\": \"hello\"}}' {proxy} gibbon.demo.Echo/Say\n\
         no route   curl -i http://{proxy}/nowhere\n"
    )
}
