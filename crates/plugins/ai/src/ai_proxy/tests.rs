//! Rules of ai-proxy. Whole calls are tested through a whole node.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use gibbon_rig::{Rig, json_body, request};
use serde_json::{Value, json};

use super::PART;

fn listed(format: &str, model: Value) -> (u16, Value) {
    let rig = Rig::new();
    let config = json!({"route_type": "llm/v1/chat", "llm_format": format, "model": model});
    let handler = rig.handler(&PART, config);
    let mut x = request("GET /v1/models", &[]);
    let reply = rig.access(&*handler, &mut x).reply();
    (reply.status, json_body(&reply))
}

#[test]
fn the_list_of_models_names_the_configured_one_in_the_clients_format() {
    let model = || json!({"provider": "openai", "name": "gpt-x", "model_alias": "fast"});
    assert_eq!(listed("openai", model()).1["data"][0]["id"], "fast");
    assert_eq!(listed("anthropic", model()).1["data"][0]["id"], "fast");
    assert_eq!(listed("gemini", model()).1["models"][0]["name"], "models/fast");
    assert_eq!(listed("bedrock", model()).0, 404);
    assert_eq!(listed("openai", json!({"provider": "openai"})).1["data"], json!([]));
}
