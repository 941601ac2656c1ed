//! The declarative configuration in front of the backends, and the lines that tell a person what to try.

use std::net::SocketAddr;

use crate::Addresses;

/// A `kong.yml` with one service and route per backend. What the chats used and cost is written to `log`.
#[must_use]
pub fn declarative(at: &Addresses, log: &str) -> String {
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
- name: demo-llm
  url: http://{llm}
  routes:
  - name: chat
    paths: [/chat]
    methods: [POST]
  plugins:
  - name: ai-prompt-guard
    config:
      deny_patterns: ["(?i).*password.*"]
  - name: ai-rate-limiting-advanced
    config:
      identifier: ip
      policies:
      - limits: [{{limit: 100, window_size: 60}}]
  - name: ai-proxy-advanced
    config:
      balancer:
        algorithm: priority
        failover_criteria: [error, timeout, http_503, non_idempotent]
      targets:
      - weight: 100
        route_type: llm/v1/chat
        auth: {{header_name: Authorization, header_value: Bearer demo}}
        logging: {{log_statistics: true}}
        model:
          provider: openai
          name: gpt-demo
          options: {{upstream_url: "http://{llm}/openai", input_cost: 2.5, output_cost: 10}}
      - weight: 50
        route_type: llm/v1/chat
        auth: {{header_name: x-api-key, header_value: demo}}
        logging: {{log_statistics: true}}
        model:
          provider: anthropic
          name: claude-demo
          options: {{upstream_url: "http://{llm}/anthropic", anthropic_version: "2023-06-01", input_cost: 3, output_cost: 15}}
  - name: file-log
    config:
      path: {log}
"#,
        rest = at.rest,
        sse = at.sse,
        websocket = at.websocket,
        grpc = at.grpc,
        llm = at.llm,
    )
}

/// What to type to see each backend through the gateway. `proto` is where [`crate::PROTO`] was written, `log` what
/// [`declarative`] was given.
#[must_use]
pub fn instructions(proxy: SocketAddr, proto: &str, log: &str) -> String {
    format!(
        "REST       curl -i http://{proxy}/rest/hello?name=you\n\
         SSE        curl -N http://{proxy}/sse?every=500\n\
         WebSocket  curl -N --http1.1 -i -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' \
         -H 'Sec-WebSocket-Key: Z2liYm9uIHNheXMgaGVsbG8=' http://{proxy}/ws   (or any WebSocket client on ws://{proxy}/ws)\n\
         gRPC       grpcurl -plaintext -proto {proto} -d '{{\"text\": \"hello\"}}' {proxy} gibbon.demo.Echo/Say\n\
         chat       curl -i http://{proxy}/chat --json '{{\"messages\": [{{\"role\": \"user\", \"content\": \"hello\"}}]}}'\n\
         \x20          again: the first of two providers is out of capacity at every second call, and the other answers; both\n\
         \x20          speak as OpenAI does, X-Kong-LLM-Model says who it was; after 100 tokens in a minute 429 comes back\n\
         in pieces  curl -N http://{proxy}/chat --json '{{\"stream\": true, \"messages\": [{{\"role\": \"user\", \"content\": \"hello\"}}]}}'\n\
         guarded    curl -i http://{proxy}/chat --json '{{\"messages\": [{{\"role\": \"user\", \"content\": \"the password?\"}}]}}'\n\
         its cost   grep -o '\"usage\":{{[^}}]*}}' {log}\n\
         no route   curl -i http://{proxy}/nowhere\n"
    )
}
