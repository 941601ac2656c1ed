//! What is asked of models besides chats: embeddings, the number of a prompt's tokens, the list of models; each between
//! clients and providers of different families.

use crate::*;

/// A gateway for one kind of request to one provider.
fn route(format: &str, route_type: &str, provider: &str, model: &str, at: &Upstream, options: Value) -> Rig {
    let mut target = target(provider, at, options);
    target["route_type"] = json!(route_type);
    target["model"]["name"] = json!(model);
    if route_type == "llm/v1/embeddings" {
        target["genai_category"] = json!("text/embeddings");
    }
    if provider == "bedrock" {
        target["auth"] = json!({"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "secret"});
    }
    gateway(&ai_proxy(format, target))
}

#[test]
fn clients_of_openai_get_embeddings_of_every_family() {
    let openai = r#"{"object":"list","model":"e","data":[{"object":"embedding","index":0,"embedding":[0.5,-0.25]}],"usage":{"prompt_tokens":2,"total_tokens":2}}"#;
    let cases = [
        ("openai", "e", json!({}), openai, "/input/0"),
        ("azure", "e", json!({"azure_instance": "i", "azure_deployment_id": "d"}), openai, "/input/0"),
        ("mistral", "e", json!({"mistral_format": "openai"}), openai, "/input/0"),
        ("vllm", "e", json!({}), openai, "/input/0"),
        ("gemini", "e", json!({}), r#"{"embeddings":[{"values":[0.5,-0.25]}]}"#, "/requests/0/content/parts/0/text"),
        (
            "cohere",
            "e",
            json!({}),
            r#"{"id":"x","embeddings":{"float":[[0.5,-0.25]]},"texts":["a"],"meta":{"billed_units":{"input_tokens":2}}}"#,
            "/texts/0",
        ),
        ("ollama", "e", json!({}), r#"{"model":"e","embeddings":[[0.5,-0.25]],"prompt_eval_count":2}"#, "/input/0"),
        ("huggingface", "e", json!({}), "[[0.5,-0.25]]", "/inputs/0"),
        (
            "bedrock",
            "amazon.titan-embed-text-v2:0",
            json!({"bedrock": {"aws_region": "eu-west-1"}}),
            r#"{"embedding":[0.5,-0.25],"inputTextTokenCount":2}"#,
            "/inputText",
        ),
    ];
    for (name, model, options, answers, place) in cases {
        let up = provider(200, "application/json", answers);
        let rig = route("openai", "llm/v1/embeddings", name, model, &up, options);
        let answer = send(&rig, "/v1/embeddings", &json!({"input": ["a text"]}));
        let text = answer.text();
        assert_eq!(answer.status(), 200, "{name}: {text}");
        let body = answer.json().unwrap();
        assert_eq!(body["data"][0]["embedding"], json!([0.5, -0.25]), "{name}: {text}");
        let sent: Value = serde_json::from_slice(&up.next_request().unwrap().body).unwrap();
        assert_eq!(sent.pointer(place), Some(&json!("a text")), "{name}: {sent}");
    }
}

#[test]
fn clients_of_gemini_get_embeddings_of_openai() {
    let answers = r#"{"object":"list","model":"e","data":[{"object":"embedding","index":0,"embedding":[0.5,-0.25]}],"usage":{"prompt_tokens":2,"total_tokens":2}}"#;
    let up = provider(200, "application/json", answers);
    let rig = route("gemini", "llm/v1/embeddings", "openai", "e", &up, json!({}));
    let asked = json!({"content": {"parts": [{"text": "a text"}]}});
    let answer = send(&rig, "/v1beta/models/e:embedContent", &asked);
    assert_eq!(answer.json().unwrap()["embedding"]["values"], json!([0.5, -0.25]), "{}", answer.text());
}

#[test]
fn tokens_are_counted_between_every_two_families_that_count() {
    let anthropic = ("anthropic", json!({"anthropic_version": "2023-06-01"}), r#"{"input_tokens":14}"#);
    let gemini = ("gemini", json!({}), r#"{"totalTokens":14}"#);
    let bedrock = ("bedrock", json!({"bedrock": {"aws_region": "eu-west-1"}}), r#"{"inputTokens":14}"#);
    let clients = [
        (
            "anthropic",
            "/v1/messages/count_tokens",
            json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]}),
            "/input_tokens",
        ),
        (
            "gemini",
            "/v1beta/models/m:countTokens",
            json!({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}),
            "/totalTokens",
        ),
        (
            "bedrock",
            "/model/m/count-tokens",
            json!({"input": {"converse": {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}}}),
            "/inputTokens",
        ),
    ];
    for (name, options, answers) in [anthropic, gemini, bedrock] {
        for (format, path, body, place) in &clients {
            let up = provider(200, "application/json", answers);
            let rig = route(format, "llm/v1/chat", name, "m", &up, options.clone());
            let answer = send(&rig, path, body);
            let text = answer.text();
            assert_eq!(answer.status(), 200, "{format} to {name}: {text}");
            assert_eq!(answer.json().unwrap().pointer(place), Some(&json!(14)), "{format} to {name}: {text}");
            let sent = String::from_utf8(up.next_request().unwrap().body.to_vec()).unwrap();
            assert!(sent.contains("\"Hi\""), "{format} to {name}: {sent}");
        }
    }
}

#[test]
fn a_provider_that_counts_no_tokens_is_a_clear_400() {
    let up = provider(200, "application/json", "{}");
    let rig = route("anthropic", "llm/v1/chat", "mistral", "m", &up, json!({"mistral_format": "openai"}));
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
    let answer = send(&rig, "/v1/messages/count_tokens", &body);
    assert_eq!(answer.status(), 400, "{}", answer.text());
    assert_eq!(answer.json().unwrap()["type"], "error");
    assert!(up.requests().is_empty());
}

#[test]
fn the_list_of_models_is_that_of_the_targets_a_client_may_use() {
    let (a, b) = (provider(200, "application/json", OPENAI), provider(200, "application/json", ANTHROPIC));
    let mut targets = [target("openai", &a, json!({})), target("anthropic", &b, json!({"anthropic_version": "1"}))];
    targets[0]["model"]["model_alias"] = json!("fast");
    targets[1]["model"]["model_alias"] = json!("wise");
    let mut plugin = advanced(&targets, json!({}));
    plugin["config"]["acls"] = json!({"deny": [{"match": [
        {"type": "model", "values": ["wise"]}, {"type": "header", "key": "x-team", "values": ["guests"]}]}]});
    let rig = gateway(&plugin);
    let listed = |team: &str| {
        let request = format!("GET /v1/models HTTP/1.1\r\nHost: a\r\nX-Team: {team}\r\nConnection: close\r\n\r\n");
        let body = client::once(rig.proxy, request).unwrap().json().unwrap();
        let ids = body["data"].as_array().unwrap().iter().map(|m| (m["id"].clone(), m["owned_by"].clone()));
        ids.collect::<Vec<_>>()
    };
    let (fast, wise) = ((json!("fast"), json!("openai")), (json!("wise"), json!("anthropic")));
    assert_eq!(listed("staff"), [fast.clone(), wise]);
    assert_eq!(listed("guests"), [fast]);
    assert!(a.requests().is_empty() && b.requests().is_empty());
}
