//! Rules of ai-prompt-guard.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use gibbon_rig::{Rig, json_body, request, with_body};
use serde_json::{Value, json};

use super::PART;

fn passes(config: Value, messages: Value) -> bool {
    let rig = Rig::new();
    let handler = rig.handler(&PART, config);
    let mut x = with_body(request("POST /", &[]), &json!({"messages": messages}).to_string());
    let ended = rig.access(&*handler, &mut x);
    if ended.is_next() {
        return true;
    }
    let reply = ended.reply();
    assert_eq!((reply.status, json_body(&reply)), (400, json!({"error": {"message": "bad request"}})));
    false
}

fn user(text: &str) -> Value {
    json!([{"role": "user", "content": text}])
}

#[test]
fn what_is_denied_is_refused_and_what_is_allowed_alone_passes() {
    let deny = json!({"deny_patterns": ["(?i)secret", "(a)\\1b"]});
    assert!(passes(deny.clone(), user("hello")));
    assert!(!passes(deny.clone(), user("the SECRET")) && !passes(deny.clone(), user("aab")));
    let allow = json!({"allow_patterns": ["^(?!.*bomb).*tea"]});
    assert!(passes(allow.clone(), user("green tea")) && !passes(allow, user("tea with a bomb")));
    // Parts of a message are looked at like texts.
    assert!(!passes(deny, json!([{"role": "user", "content": [{"type": "text", "text": "secret"}]}])));
}

#[test]
fn which_messages_are_looked_at_is_configured() {
    let history = json!([{"role": "user", "content": "secret"}, {"role": "assistant", "content": "no"}, {"role": "user", "content": "hi"}]);
    let patterns = json!(["secret"]);
    assert!(!passes(json!({"deny_patterns": patterns}), history.clone()));
    assert!(passes(json!({"deny_patterns": patterns, "allow_all_conversation_history": true}), history));
    let system = json!([{"role": "system", "content": "secret"}, {"role": "user", "content": "hi"}]);
    assert!(passes(json!({"deny_patterns": patterns}), system.clone()));
    assert!(!passes(json!({"deny_patterns": patterns, "match_all_roles": true}), system));
}
