//! The demo's chat, as `gibbon demo` configures it.

use gibbon_demo::{Demo, Ports, declarative};
use tokio::runtime::Runtime;

use crate::*;

fn said(text: &str) -> Value {
    json!({"messages": [{"role": "user", "content": text}]})
}

#[test]
fn the_demo_chats_through_two_providers_with_a_guard_a_limit_and_a_cost() {
    let backends = Runtime::new().unwrap();
    let demo = backends.block_on(Demo::start(Ports::default())).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("chats.log");
    let config = declarative(&demo.addresses(), &log.display().to_string());
    let rig = Rig::start(&[("nginx_worker_processes", "1".to_owned())], &config);

    // Every second call finds the first provider out of capacity; the client sees one format.
    for (n, who) in ["openai/gpt-demo", "anthropic/claude-demo", "openai/gpt-demo"].into_iter().enumerate() {
        let answer = send(&rig, "/chat", &said("hello there"));
        assert_eq!((answer.status(), answer.header("x-kong-llm-model")), (200, Some(who)), "{n}: {}", answer.text());
        let body = answer.json().unwrap();
        assert_eq!(body["choices"][0]["message"]["content"], "You said: hello there");
        assert_eq!(body["usage"], json!({"prompt_tokens": 2, "completion_tokens": 4, "total_tokens": 6}), "{n}");
    }
    // In pieces, from the second provider.
    let mut streamed = said("hello there");
    streamed["stream"] = json!(true);
    let answer = send(&rig, "/chat", &streamed).text();
    assert!(answer.contains("chat.completion.chunk") && answer.contains("there"), "{answer}");
    assert!(answer.ends_with("data: [DONE]\n\n"), "{answer}");

    assert_eq!(send(&rig, "/chat", &said("what is the Password?")).status(), 400);

    // 24 of 100 tokens are used; this takes 130 more, which is known when it is over.
    assert_eq!(send(&rig, "/chat", &said(&"word ".repeat(64))).status(), 200);
    let refused = send(&rig, "/chat", &said("one more"));
    assert_eq!((refused.status(), refused.header("retry-after").is_some()), (429, true), "{}", refused.text());

    let costs = || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let entries = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        entries.filter_map(|entry| entry["ai"]["proxy"]["usage"]["cost"].as_f64()).collect::<Vec<_>>()
    };
    // 2 tokens at 2.5 and 4 at 10 per million, then 2 at 3 and 4 at 15.
    eventually("the log", || costs().len() >= 2);
    assert_eq!(costs()[..2], [0.000_045, 0.000_066]);
}
