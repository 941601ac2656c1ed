//! Random conversations and answers, in the form every chat dialect can express.

use gibbon_llm::canonical::*;
use proptest::prelude::*;
use serde_json::{Number, json};

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("Hello".to_owned()),
        Just("data: [DONE]\n\nevent: x\r\n".to_owned()),
        Just("é😀\u{2028}\"\\ \u{0}".to_owned()),
        "[ -~é\n]{1,12}",
    ]
}

fn arguments() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just(r#"{"city":"Oslo"}"#.to_owned()),
        Just(r#"{"a":[1,{"b":"}{"}],"c":"\"\\"}"#.to_owned()),
    ]
}

fn user_part() -> impl Strategy<Value = Part> {
    let image = Part::new(PartKind::Media(Media {
        modality: Modality::Image,
        source: Source::Data { mime: "image/png".into(), base64: "iVBORw0KGgo=".into() },
        name: None,
        detail: None,
    }));
    prop_oneof![3 => text().prop_map(Part::text), 1 => Just(image)]
}

/// One round: what the user says, what the model answers, what the tools return.
fn round() -> impl Strategy<Value = Vec<Message>> {
    let calls = prop::collection::vec(arguments(), 0..3);
    (prop::collection::vec(user_part(), 1..3), text(), calls, any::<prop::sample::Index>()).prop_map(
        |(user, said, calls, seed)| {
            let mut parts = vec![Part::text(said)];
            let mut results = Vec::new();
            for (i, arguments) in calls.into_iter().enumerate() {
                let id = format!("call_{}_{i}", seed.index(1_000_000));
                let name = format!("tool_{i}");
                results.push(Part::new(PartKind::ToolResult {
                    call_id: id.clone(),
                    name: None,
                    content: vec![Part::text(format!("result {i}"))],
                    is_error: false,
                }));
                parts.push(Part::new(PartKind::ToolCall { id, name, arguments, signature: None }));
            }
            let mut out = vec![Message::new(Role::User, user), Message::new(Role::Assistant, parts)];
            if !results.is_empty() {
                out.push(Message::new(Role::Tool, results));
                // An assistant's comment, so that the next round does not join the results.
                out.push(Message::new(Role::Assistant, vec![Part::text("so")]));
            }
            out
        },
    )
}

fn sampling() -> impl Strategy<Value = Sampling> {
    let number = prop_oneof![Just(Number::from(1)), Just(Number::from_f64(0.25).unwrap())];
    let stop = prop::collection::vec("[a-z]{1,4}", 0..3);
    (1u64..5000, prop::option::of(number.clone()), prop::option::of(number), stop).prop_map(
        |(max, temperature, top_p, stop)| Sampling {
            max_tokens: Some(max),
            temperature,
            top_p,
            stop,
            ..Sampling::default()
        },
    )
}

fn tools() -> impl Strategy<Value = (Vec<Tool>, Option<ToolChoice>)> {
    let choice = prop_oneof![
        Just(None),
        Just(Some(ToolChoice::Auto)),
        Just(Some(ToolChoice::Required)),
        Just(Some(ToolChoice::Named("tool_0".into()))),
    ];
    (0usize..3, choice).prop_map(|(n, choice)| {
        let tools: Vec<Tool> = (0..n)
            .map(|i| Tool {
                kind: ToolKind::Function {
                    name: format!("tool_{i}"),
                    description: Some("does things".into()),
                    parameters: Some(json!({"type": "object", "properties": {"city": {"type": "string"}}})),
                    strict: None,
                },
                cache: None,
                extra: Extra::default(),
            })
            .collect();
        let choice = choice.filter(|_| n > 0);
        (tools, choice)
    })
}

pub fn request() -> impl Strategy<Value = Request> {
    let system = prop::option::of(text());
    (system, prop::collection::vec(round(), 0..3), user_part(), tools(), sampling(), any::<bool>()).prop_map(
        |(system, rounds, last, (tools, tool_choice), sampling, stream)| {
            let mut messages: Vec<Message> =
                system.into_iter().map(|s| Message::new(Role::System, vec![Part::text(s)])).collect();
            messages.extend(rounds.into_iter().flatten());
            messages.push(Message::new(Role::User, vec![last]));
            Request { model: "model-1".into(), messages, tools, tool_choice, sampling, stream, ..Request::default() }
        },
    )
}

/// An answer: thoughts, text, calls, and why it stopped.
pub fn response() -> impl Strategy<Value = Response> {
    let thought = prop::option::of((text(), "[A-Za-z0-9+/]{4,20}"));
    let calls = prop::collection::vec(arguments(), 0..3);
    let finish = prop_oneof![Just(Finish::Stop), Just(Finish::Length), Just(Finish::Refusal)];
    (thought, prop::option::of(text()), calls, finish, 0u64..10_000, 0u64..10_000).prop_map(
        |(thought, said, calls, finish, input, output)| {
            let mut parts = Vec::new();
            if let Some((text, signature)) = thought {
                parts.push(Part::new(PartKind::Reasoning { text, signature: Some(signature), redacted: None }));
            }
            if calls.is_empty() || said.is_some() {
                parts.push(Part::text(said.unwrap_or_else(|| "x".into())));
            }
            let finish = if calls.is_empty() { finish } else { Finish::ToolCalls };
            for (i, arguments) in calls.into_iter().enumerate() {
                parts.push(Part::new(PartKind::ToolCall {
                    id: format!("call_{i}"),
                    name: format!("tool_{i}"),
                    arguments,
                    signature: None,
                }));
            }
            Response {
                id: Some("answer-1".into()),
                model: Some("model-1".into()),
                created: None,
                choices: vec![Choice { parts, finish: Some(finish), logprobs: None }],
                usage: Some(Usage::new(input, output)),
                extra: Extra::default(),
            }
        },
    )
}
