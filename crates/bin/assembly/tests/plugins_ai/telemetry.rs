//! What becomes known of calls: the log's `ai` object and spans, without what was said unless that is asked for.

use gibbon_testkit::upstream::{Connection, Upstream};

use crate::*;

/// A collector of spans: its requests are what is looked at.
fn collector() -> Upstream {
    Upstream::serve(|mut c: Connection| {
        while c.read_request()?.is_some() {
            c.answer(200, &[], "")?;
        }
        Ok(())
    })
    .unwrap()
}

/// One call through a gateway that logs to a file and sends spans: the log entry's `ai`, and the spans as they were sent.
fn observed(logging: Value) -> (Value, Vec<u8>) {
    let (up, spans) = (provider(200, "application/json", OPENAI), collector());
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut target = target(
        "azure",
        &up,
        json!({"azure_instance": "inst", "azure_deployment_id": "dep",
        "input_cost": 10, "output_cost": 20}),
    );
    target["logging"] = logging;
    let plugins = [
        ai_proxy("openai", target),
        json!({"name": "file-log", "config": {"path": log}}),
        json!({"name": "opentelemetry", "config": {"traces_endpoint": format!("http://{}/v1/traces", spans.address()),
            "queue": {"max_coalescing_delay": 0.01}}}),
    ];
    let settings = [
        ("nginx_worker_processes", "1".to_owned()),
        ("tracing_instrumentations", "all".to_owned()),
        ("tracing_sampling_rate", "1".to_owned()),
    ];
    let rig = Rig::start(&settings, &configuration(&plugins));
    let mut body = chat(false);
    body["max_tokens"] = json!(77);
    body["temperature"] = json!(0.25);
    assert_eq!(send(&rig, "/", &body).status(), 200);
    let mut entry = Value::Null;
    eventually("the log entry", || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        entry = serde_json::from_str(&text).unwrap_or_default();
        entry.is_object()
    });
    let mut sent = Vec::new();
    let has = |sent: &[u8], text: &str| sent.windows(text.len()).any(|w| w == text.as_bytes());
    eventually("the spans", || {
        sent.extend(spans.requests().into_iter().flat_map(|request| request.body.to_vec()));
        has(&sent, "kong.gen_ai")
    });
    (entry["ai"]["proxy"].clone(), sent)
}

#[test]
fn a_call_is_described_in_the_log_and_as_a_span_without_what_was_said() {
    let (ai, spans) = observed(json!({"log_statistics": true}));
    for (name, value) in [
        ("provider_name", "azure"),
        ("request_model", "m"),
        ("response_model", "gpt-x"),
        ("request_mode", "oneshot"),
        ("azure_instance_id", "inst"),
        ("azure_deployment_id", "dep"),
    ] {
        assert_eq!(ai["meta"][name], value, "{ai}");
    }
    assert!(ai["meta"]["llm_latency"].is_u64() && ai["meta"]["plugin_id"].is_string(), "{ai}");
    assert_eq!((&ai["usage"]["prompt_tokens"], &ai["usage"]["total_tokens"]), (&json!(11), &json!(17)));
    assert_eq!(ai["usage"]["cost"], json!(0.00023));
    assert!(ai["usage"]["time_per_token"].is_number() && ai["usage"]["time_to_first_token"].is_number(), "{ai}");
    assert!(ai.get("payload").is_none(), "{ai}");

    let text = String::from_utf8_lossy(&spans);
    for name in [
        "gen_ai.operation.name",
        "azure.ai.openai",
        "gen_ai.request.model",
        "gen_ai.request.max_tokens",
        "gen_ai.request.temperature",
        "gen_ai.response.model",
        "gen_ai.response.id",
        "gen_ai.response.finish_reasons",
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.output_tokens",
    ] {
        assert!(text.contains(name), "{name}: {text}");
    }
    assert!(!text.contains("gen_ai.input.messages") && !text.contains("Be brief."), "{text}");
    assert!(!text.contains("secret"), "{text}");
}

#[test]
fn what_was_said_is_there_where_it_is_asked_for() {
    let (ai, spans) = observed(json!({"log_statistics": true, "log_payloads": true}));
    assert!(ai["payload"]["request"].as_str().unwrap().contains("Be brief."), "{ai}");
    assert!(ai["payload"]["response"].as_str().unwrap().contains("Hello"), "{ai}");
    let text = String::from_utf8_lossy(&spans);
    assert!(text.contains("gen_ai.input.messages") && text.contains("gen_ai.output.messages"), "{text}");
}

#[test]
fn nothing_is_logged_of_calls_by_default() {
    let (ai, spans) = observed(json!({}));
    assert!(ai.is_null(), "{ai}");
    assert!(!String::from_utf8_lossy(&spans).contains("Be brief."));
}
