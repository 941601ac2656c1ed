//! Rules of ai-prompt-template.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use gibbon_rig::{Rig, json_body, request, with_body};
use serde_json::{Value, json};

use super::PART;

fn filled(others: bool, body: &Value) -> Result<Value, String> {
    let rig = Rig::new();
    let template = r#"{"messages": [{"role": "user", "content": "Say {{what}} to {{who}}. {{ what }}"}]}"#;
    let config = json!({"templates": [{"name": "greet", "template": template}], "allow_untemplated_requests": others});
    let handler = rig.handler(&PART, config);
    let mut x = with_body(request("POST /", &[]), &body.to_string());
    let ended = rig.access(&*handler, &mut x);
    if !ended.is_next() {
        let reply = ended.reply();
        assert_eq!(reply.status, 400);
        return Err(json_body(&reply)["error"]["message"].as_str().unwrap().to_owned());
    }
    Ok(serde_json::from_slice(x.body.bytes().unwrap()).unwrap())
}

#[test]
fn places_are_filled_and_no_value_breaks_out_of_its_own() {
    let body =
        json!({"messages": "{template://greet}", "properties": {"what": "\"}], \"x\": [{\"", "who": "{{what}}"}});
    let got = filled(true, &body).unwrap();
    assert_eq!(got["messages"][0]["content"], "Say \"}], \"x\": [{\" to {{what}}. {{ what }}");
}

#[test]
fn what_is_wrong_is_said_in_kongs_words() {
    let chat = |properties: Value| json!({"messages": "{template://greet}", "properties": properties});
    for (body, message) in [
        (json!({"messages": "{template://x}"}), "could not find template name [x]"),
        (chat(json!({"what": "a"})), "missing template parameters: [who]"),
        (chat(json!([])), "properties must be an object"),
        (chat(json!({"what": 5})), "property values must be a string, got number"),
        (json!({"messages": [], "prompt": ""}), "cannot run 'messages' and 'prompt' templates at the same time"),
        (json!({}), "only 'llm/v1/chat' and 'llm/v1/completions' formats are supported for templating"),
        (json!({"messages": []}), "this LLM route only supports templated requests"),
        (json!(5), "this LLM route only supports application/json requests"),
    ] {
        assert_eq!(filled(false, &body).unwrap_err(), message);
    }
    assert_eq!(filled(true, &json!({"messages": []})).unwrap(), json!({"messages": []}));
}
