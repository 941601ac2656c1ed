//! A provider's bad day.

use std::sync::mpsc;

use gibbon_testkit::client::Client;
use gibbon_testkit::upstream::{Connection, Upstream};

use crate::calls::step_by_step;
use crate::*;

/// A provider that refuses every request with this status and `Retry-After`.
fn refusing(status: u16, seconds: &'static str) -> Upstream {
    let body = r#"{"type":"error","error":{"type":"overloaded_error","message":"bad day"}}"#;
    Upstream::serve(move |mut c: Connection| {
        while c.read_request()?.is_some() {
            c.answer(status, &[("Content-Type", "application/json"), ("Retry-After", seconds)], body)?;
        }
        Ok(())
    })
    .unwrap()
}

fn anthropic_options() -> Value {
    json!({"anthropic_version": "2023-06-01"})
}

#[test]
fn a_refusal_reaches_the_client_with_its_status_and_how_long_to_wait() {
    for status in [429, 503, 529] {
        let up = refusing(status, "7");
        let rig = gateway(&ai_proxy("openai", target("anthropic", &up, anthropic_options())));
        let answer = send(&rig, "/", &chat(false));
        assert_eq!((answer.status(), answer.header("retry-after")), (status, Some("7")));
        assert_eq!(answer.json().unwrap()["error"]["message"], "bad day");
    }
}

#[test]
fn a_provider_that_asked_to_be_left_alone_is() {
    let (busy, up) = (refusing(529, "3600"), provider(200, "application/json", OPENAI));
    let mut first = target("anthropic", &busy, anthropic_options());
    first["weight"] = json!(200);
    let balancer = json!({"algorithm": "priority", "failover_criteria": ["http_503", "non_idempotent"]});
    let rig = gateway(&advanced(&[first, target("openai", &up, json!({}))], balancer));
    for _ in 0..3 {
        assert_eq!(send(&rig, "/", &chat(false)).status(), 200);
    }
    assert_eq!(busy.requests().len(), 1);
}

#[test]
fn frames_that_are_none_end_a_converted_stream_with_an_error() {
    for broken in ["data: {\"type\":\"content_block_delta\",\"index\":0,\n\n", "data: [1,2]\n\n", "data: \u{0}\n\n"] {
        let (next, steps) = mpsc::channel();
        let up = step_by_step(steps);
        let rig = gateway(&ai_proxy("openai", target("anthropic", &up, anthropic_options())));
        next.send(chunk(broken) + "0\r\n\r\n").unwrap();
        drop(next);
        let answer = send(&rig, "/", &chat(true));
        let text = answer.text();
        assert!(text.contains("\"error\""), "{broken:?}: {} {text}", answer.status());
        assert!(!text.contains("\"finish_reason\":\"stop\""), "{broken:?}: {text}");
    }
}

#[test]
fn frames_that_are_none_pass_between_equal_formats_as_they_are() {
    let (next, steps) = mpsc::channel();
    let up = step_by_step(steps);
    let rig = gateway(&ai_proxy("openai", target("openai", &up, json!({}))));
    let sent = "data: {not json\n\n: a comment\n\ndata: [DONE]\n\n";
    next.send(chunk(sent) + "0\r\n\r\n").unwrap();
    drop(next);
    assert_eq!(send(&rig, "/", &chat(true)).text(), sent);
}

#[test]
fn a_first_token_that_does_not_come_in_time_is_waited_for_elsewhere() {
    // Its head comes at once; whoever waits for the first token hears nothing more.
    let silent = Upstream::serve(|mut c: Connection| {
        c.read_request()?;
        c.send(STREAM_HEAD)?;
        c.hold();
        Ok(())
    })
    .unwrap();
    let (next, steps) = mpsc::channel();
    let up = step_by_step(steps);
    let mut first = target("openai", &silent, json!({}));
    first["weight"] = json!(200);
    let balancer =
        json!({"algorithm": "priority", "failover_criteria": ["timeout", "non_idempotent"], "read_timeout": 300});
    let rig = gateway(&advanced(&[first, target("openai", &up, json!({}))], balancer));
    next.send(chunk(&openai_event("late")) + &chunk("data: [DONE]\n\n") + "0\r\n\r\n").unwrap();
    let answer = send(&rig, "/", &chat(true));
    assert!(answer.status() == 200 && answer.text().contains("\"late\""), "{}", answer.text());
    assert_eq!(silent.requests().len(), 1);
}

#[test]
fn answers_of_ten_megabytes_arrive_whole_converted_and_streamed() {
    const LONG: usize = 10_000_000;
    let whole = json!({"id": "c1", "object": "chat.completion", "created": 1, "model": "gpt-x", "choices": [{"index": 0,
        "message": {"role": "assistant", "content": "x".repeat(LONG)}, "finish_reason": "stop"}]});
    let body: &'static str = Box::leak(whole.to_string().into_boxed_str());
    let up = provider(200, "application/json", body);
    let rig = gateway(&ai_proxy("anthropic", target("openai", &up, json!({}))));
    let asked = json!({"model": "x", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]});
    let answer = send(&rig, "/v1/messages", &asked);
    assert_eq!(answer.json().unwrap()["content"][0]["text"].as_str().map(str::len), Some(LONG));

    let (next, steps) = mpsc::channel();
    let up = step_by_step(steps);
    let rig = gateway(&ai_proxy("anthropic", target("openai", &up, json!({}))));
    for _ in 0..10 {
        next.send(chunk(&openai_event(&"x".repeat(LONG / 10)))).unwrap();
    }
    next.send(chunk("data: [DONE]\n\n") + "0\r\n\r\n").unwrap();
    drop(next);
    let mut asked = asked;
    asked["stream"] = json!(true);
    let text = send(&rig, "/v1/messages", &asked).text();
    let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok());
    let said = events.filter_map(|event| event["delta"]["text"].as_str().map(str::len)).sum::<usize>();
    assert_eq!(said, LONG);
}

#[test]
fn tokens_arrive_one_by_one_over_http2_too() {
    let (next, steps) = mpsc::channel();
    let up = step_by_step(steps);
    let proxy = gibbon_testkit::ports::free_tcp_address().unwrap();
    let settings = [("proxy_listen", format!("{proxy} http2 reuseport"))];
    let plugins = [ai_proxy("anthropic", target("openai", &up, json!({})))];
    let _rig = Rig::start(&settings, &configuration(&plugins));
    let body = json!({"model": "x", "max_tokens": 9, "stream": true, "messages": [{"role": "user", "content": "Hi"}]});
    let mut curl = std::process::Command::new("curl")
        .args(["--http2-prior-knowledge", "-sSN", "--max-time", "120", "-H", "Content-Type: application/json", "-d"])
        .arg(body.to_string())
        .arg(format!("http://{proxy}/v1/messages"))
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = std::io::BufReader::new(curl.stdout.take().unwrap());
    let mut until = |wanted: &str| {
        let mut line = String::new();
        while !line.contains(wanted) {
            line.clear();
            assert!(std::io::BufRead::read_line(&mut out, &mut line).unwrap() > 0, "no {wanted}");
        }
    };
    // Each token is sent only when the one before it has arrived.
    for token in ["one", "two", "three"] {
        next.send(chunk(&openai_event(token))).unwrap();
        until(&format!("\"{token}\""));
    }
    next.send(chunk("data: [DONE]\n\n") + "0\r\n\r\n").unwrap();
    until("message_stop");
    assert!(curl.wait().unwrap().success());
}

#[test]
fn a_client_that_speaks_to_a_gateway_whose_provider_is_gone_gets_an_error_in_its_format() {
    let gone = gibbon_testkit::ports::free_tcp_address().unwrap();
    let mut nobody = json!({"route_type": "llm/v1/chat", "model": {"provider": "openai", "name": "m"}});
    nobody["model"]["options"] = json!({"upstream_url": format!("http://{gone}/up")});
    let rig = gateway(&ai_proxy("anthropic", nobody));
    let mut client = Client::connect(rig.proxy).unwrap();
    let asked = json!({"model": "x", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]});
    client.send(post("/v1/messages", &asked)).unwrap();
    let answer = client.read_response("POST").unwrap();
    assert_eq!((answer.status(), &answer.json().unwrap()["type"]), (502, &json!("error")), "{}", answer.text());
}
