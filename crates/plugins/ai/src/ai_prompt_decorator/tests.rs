//! Rules of ai-prompt-decorator.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use gibbon_rig::{Rig, request, with_body};
use serde_json::{Value, json};

use super::PART;

fn decorated(config: Value, body: Value) -> Result<Value, u16> {
    let rig = Rig::new();
    let handler = rig.handler(&PART, config);
    let mut x = with_body(request("POST /v1/messages", &[]), &body.to_string());
    let ended = rig.access(&*handler, &mut x);
    if !ended.is_next() {
        return Err(ended.reply().status);
    }
    Ok(serde_json::from_slice(x.body.bytes().unwrap()).unwrap())
}

#[test]
fn messages_stand_before_and_behind_the_clients() {
    let prompts = json!({"prepend": [{"content": "Be kind."}, {"role": "user", "content": "a"}], "append": [{"role": "user", "content": "z"}]});
    let body = json!({"messages": [{"role": "user", "content": "m", "x": 1}], "temperature": 1});
    let got = decorated(json!({"prompts": prompts}), body).unwrap();
    let said: Vec<&str> = got["messages"].as_array().unwrap().iter().map(|m| m["content"].as_str().unwrap()).collect();
    assert_eq!(said, ["Be kind.", "a", "m", "z"]);
    assert_eq!((&got["messages"][0]["role"], &got["messages"][2]["x"]), (&json!("system"), &json!(1)));
    // Where instructions have a place of their own, they go there.
    let config = json!({"prompts": {"prepend": [{"content": "Be kind."}]}, "llm_format": "anthropic"});
    let body = json!({"model": "c", "max_tokens": 5, "messages": [{"role": "user", "content": "m"}]});
    let got = decorated(config, body).unwrap();
    assert!(got["system"].to_string().contains("Be kind."), "{got}");
    assert_eq!(got["messages"].as_array().unwrap().len(), 1);
}

#[test]
fn what_is_no_chat_is_refused() {
    let config = json!({"prompts": {"prepend": [{"content": "x"}]}});
    assert_eq!(decorated(config.clone(), json!({"prompt": "x"})), Err(400));
    assert_eq!(decorated(config, json!({"messages": []})), Err(400));
}
