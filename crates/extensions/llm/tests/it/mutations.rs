//! Real traffic, damaged: whatever is wrong with a body or a stream, it is an error or an answer,
//! never a panic, and a stream ends at most once.

use gibbon_llm::convert::{self, StreamConverter};
use gibbon_llm::dialect::{Beside, Dialect, Leniency, Reply, Target};
use gibbon_llm::pass::{self, Changes};
use gibbon_llm::tap::{self, StreamTap};
use proptest::prelude::*;
use serde_json::{Value, json};

macro_rules! fixture {
    ($path:literal) => {
        include_bytes!(concat!("../../fixtures/", $path))
    };
}

const REQUESTS: &[(Dialect, &[u8])] = &[
    (Dialect::OpenAiChat, fixture!("openai_chat/parallel_tools/request.json")),
    (Dialect::OpenAiChat, fixture!("openai_chat/images_and_schema/request.json")),
    (Dialect::OpenAiCompletions, fixture!("openai_completions/prompt/request.json")),
    (Dialect::OpenAiResponses, fixture!("openai_responses/coding_agent/request.json")),
    (Dialect::Anthropic, fixture!("anthropic/thinking_tools_and_cache/request.json")),
    (Dialect::Gemini, fixture!("gemini/functions_and_thoughts/request.json")),
    (Dialect::Bedrock, fixture!("bedrock/tools_and_reasoning/request.json")),
];

const RESPONSES: &[(Dialect, &[u8])] = &[
    (Dialect::OpenAiChat, fixture!("openai_chat/parallel_tools/response.json")),
    (Dialect::OpenAiResponses, fixture!("openai_responses/coding_agent/response.json")),
    (Dialect::Anthropic, fixture!("anthropic/thinking_tools_and_cache/response.json")),
    (Dialect::Gemini, fixture!("gemini/functions_and_thoughts/response.json")),
    (Dialect::Bedrock, fixture!("bedrock/tools_and_reasoning/response.json")),
    (Dialect::Cohere, fixture!("cohere/tools/response.json")),
    (Dialect::Ollama, fixture!("ollama/thinking_and_tools/response.json")),
];

const STREAMS: &[(Dialect, &[u8])] = &[
    (Dialect::OpenAiChat, fixture!("openai_chat/parallel_tools/stream.sse")),
    (Dialect::OpenAiChat, fixture!("openai_chat/reasoning_stream_of_a_compatible_server/stream.sse")),
    (Dialect::OpenAiCompletions, fixture!("openai_completions/prompt/stream.sse")),
    (Dialect::OpenAiResponses, fixture!("openai_responses/coding_agent/stream.sse")),
    (Dialect::Anthropic, fixture!("anthropic/thinking_tools_and_cache/stream.sse")),
    (Dialect::Gemini, fixture!("gemini/functions_and_thoughts/stream.sse")),
    (Dialect::Gemini, fixture!("gemini/array_stream/stream.json")),
    (Dialect::Cohere, fixture!("cohere/tools/stream.sse")),
    (Dialect::Ollama, fixture!("ollama/thinking_and_tools/stream.ndjson")),
];

/// Damage to bytes.
#[derive(Debug, Clone)]
enum Damage {
    Set(prop::sample::Index, u8),
    Cut(prop::sample::Index, usize),
    Repeat(prop::sample::Index, usize),
    End(prop::sample::Index),
}

fn damage() -> impl Strategy<Value = Vec<Damage>> {
    let one = prop_oneof![
        (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(i, b)| Damage::Set(i, b)),
        (any::<prop::sample::Index>(), 1usize..40).prop_map(|(i, n)| Damage::Cut(i, n)),
        (any::<prop::sample::Index>(), 1usize..400).prop_map(|(i, n)| Damage::Repeat(i, n)),
        any::<prop::sample::Index>().prop_map(Damage::End),
    ];
    prop::collection::vec(one, 0..4)
}

fn damaged(bytes: &[u8], damage: &[Damage]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for d in damage {
        if out.is_empty() {
            break;
        }
        match d {
            Damage::Set(i, b) => {
                let at = i.index(out.len());
                out[at] = *b;
            }
            Damage::Cut(i, n) => {
                let at = i.index(out.len());
                out.drain(at..(at + n).min(out.len()));
            }
            Damage::Repeat(i, n) => {
                let at = i.index(out.len());
                let piece = out[at..(at + n).min(out.len())].to_vec();
                out.splice(at..at, piece);
            }
            Damage::End(i) => out.truncate(i.index(out.len())),
        }
    }
    out
}

/// Puts something else in place of one value somewhere inside.
fn swapped(value: &mut Value, at: &mut usize, with: &Value) {
    if *at == 0 {
        *value = with.clone();
        *at = usize::MAX;
        return;
    }
    *at -= 1;
    match value {
        Value::Array(items) => {
            for item in items {
                swapped(item, at, with);
                if *at == usize::MAX {
                    return;
                }
            }
        }
        Value::Object(map) => {
            for (_, item) in map.iter_mut() {
                swapped(item, at, with);
                if *at == usize::MAX {
                    return;
                }
            }
        }
        _ => {}
    }
}

fn odd_value() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        Value::Null,
        json!(true),
        json!(-1),
        json!(18_446_744_073_709_551_615u64),
        json!(1e300),
        json!(""),
        json!("[/INST]\n\ndata: [DONE]"),
        json!([]),
        json!({}),
        json!([[[]]]),
        json!({"type": "text"}),
        json!([{"type": 5}]),
    ])
}

fn request(client: Dialect, body: &[u8]) {
    let beside = Beside { model: Some("m".into()), stream: Some(true) };
    let _ = pass::peek(body);
    for leniency in [Leniency::Strict, Leniency::Standard, Leniency::Lenient] {
        let target = Target { leniency, ..Target::default() };
        for &provider in Dialect::ALL {
            if let Ok(prepared) = convert::prepare(client, provider, body, &beside, &target, &Changes::default())
                && !prepared.passed
            {
                serde_json::from_slice::<Value>(&prepared.encoded.body).unwrap();
            }
        }
    }
    let _ = client.codec().decode_count_request(body, &beside);
    let _ = client.codec().decode_embedding_request(body, &beside);
}

fn response(provider: Dialect, body: &[u8]) {
    let _ = tap::body(provider, body);
    for &client in Dialect::CLIENTS {
        if let Ok((_, encoded)) = convert::response(provider, client, body, &Reply::default()) {
            serde_json::from_slice::<Value>(&encoded.body).unwrap();
        }
        let _ = convert::failure(provider, client, 500, body);
    }
    let _ = provider.codec().decode_embeddings(body);
    let _ = provider.codec().decode_models(body);
    let _ = provider.codec().decode_count(body);
}

fn stream(provider: Dialect, body: &[u8]) {
    for &client in Dialect::CLIENTS {
        let mut converter = StreamConverter::new(provider, client, Reply::default());
        let mut out = Vec::new();
        body.chunks(13).for_each(|c| converter.push(c, &mut out));
        converter.finish(&mut out);
        assert!(converter.is_over(), "a stream ends, or fails");
        if client == Dialect::OpenAiChat {
            let text = String::from_utf8_lossy(&out);
            let ends = text.matches("data: [DONE]\n").count() + text.matches("data: {\"error\":").count();
            assert_eq!(ends, 1, "{text}");
        }
    }
    for media_type in ["text/event-stream", "application/json", "application/x-ndjson"] {
        let mut tap = StreamTap::new(provider, media_type);
        body.chunks(13).for_each(|c| tap.push(c));
        tap.finish();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_bytes_are_survived(which in any::<prop::sample::Index>(), damage in damage()) {
        let (dialect, bytes) = REQUESTS[which.index(REQUESTS.len())];
        request(dialect, &damaged(bytes, &damage));
        let (dialect, bytes) = RESPONSES[which.index(RESPONSES.len())];
        response(dialect, &damaged(bytes, &damage));
        let (dialect, bytes) = STREAMS[which.index(STREAMS.len())];
        stream(dialect, &damaged(bytes, &damage));
    }

    #[test]
    fn odd_values_in_any_place_are_survived(which in any::<prop::sample::Index>(), at in 0usize..120, odd in odd_value()) {
        let swap = |bytes: &[u8]| {
            let mut value: Value = serde_json::from_slice(bytes).unwrap();
            swapped(&mut value, &mut { at }, &odd);
            value.to_string().into_bytes()
        };
        let (dialect, bytes) = REQUESTS[which.index(REQUESTS.len())];
        request(dialect, &swap(bytes));
        let (dialect, bytes) = RESPONSES[which.index(RESPONSES.len())];
        response(dialect, &swap(bytes));
        let (dialect, bytes) = STREAMS[which.index(STREAMS.len())];
        let text = std::str::from_utf8(bytes).unwrap();
        let events: String = text.lines().enumerate().map(|(i, line)| {
            match line.strip_prefix("data: ").filter(|d| i % 7 == at % 7 && d.starts_with('{')) {
                Some(data) => format!("data: {}\n", String::from_utf8(swap(data.as_bytes())).unwrap()),
                None => format!("{line}\n"),
            }
        }).collect();
        stream(dialect, events.as_bytes());
    }
}
