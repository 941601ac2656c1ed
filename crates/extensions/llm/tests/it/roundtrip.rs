//! What is written in a dialect and read back means the same, for requests, answers and streams,
//! and however a stream is cut.

use crate::strategies;
use gibbon_llm::canonical::*;
use gibbon_llm::dialect::{Beside, Codec, Dialect, Reply, Target};
use gibbon_llm::seen::Seen;
use gibbon_llm::tap::StreamTap;
use proptest::prelude::*;

/// The dialects that express whole conversations.
const CHAT: &[Dialect] =
    &[Dialect::OpenAiChat, Dialect::OpenAiResponses, Dialect::Anthropic, Dialect::Gemini, Dialect::Bedrock];

fn reply() -> Reply {
    Reply {
        id: "answer-1".into(),
        created: 1_700_000_000,
        model: "model-1".into(),
        include_usage: true,
        input_estimate: 0,
        array: false,
    }
}

/// The request as a dialect can give it back: without what it does not carry.
fn as_read_by(dialect: Dialect, mut request: Request) -> Request {
    request.include_usage = false;
    request.extra = Extra::default();
    for part in request.messages.iter_mut().flat_map(|m| &mut m.parts) {
        match &mut part.kind {
            // No arguments and an empty object of arguments are one and the same.
            PartKind::ToolCall { arguments, .. } if arguments == "{}" => arguments.clear(),
            _ => {}
        }
    }
    if dialect == Dialect::OpenAiChat {
        // A message per result: one of several results reads back as several messages.
        let split = |m: Message| {
            if m.role != Role::Tool {
                return vec![m];
            }
            m.parts.into_iter().map(|p| Message::new(Role::Tool, vec![p])).collect()
        };
        request.messages = request.messages.into_iter().flat_map(split).collect();
    }
    if dialect == Dialect::Bedrock {
        // Tools of the conversation that nobody declared are declared without a description.
        request.tools.retain(|t| matches!(&t.kind, ToolKind::Function { description: Some(_), .. }));
    }
    if dialect == Dialect::OpenAiResponses {
        // Written as not strict in so many words, because there strict is the default.
        for tool in &mut request.tools {
            if let ToolKind::Function { strict, .. } = &mut tool.kind {
                *strict = None;
            }
        }
        // What the model says in a row is one message.
        request.messages = request.messages.into_iter().fold(Vec::new(), |mut out: Vec<Message>, m| {
            match out.last_mut().filter(|l| l.role == m.role && m.role == Role::Assistant) {
                Some(last) => last.parts.extend(m.parts),
                None => out.push(m),
            }
            out
        });
    }
    if dialect == Dialect::Gemini {
        number_calls(&mut request);
        // By itself the service does the same.
        request.tool_choice = request.tool_choice.filter(|c| *c != ToolChoice::Auto);
    }
    request
}

/// Calls without ids are paired with their results by order.
fn number_calls(request: &mut Request) {
    let mut ids = Vec::new();
    for part in request.messages.iter_mut().flat_map(|m| &mut m.parts) {
        match &mut part.kind {
            PartKind::ToolCall { id, .. } => {
                let new = format!("call_{}", ids.len());
                ids.push((std::mem::replace(id, new.clone()), new));
            }
            PartKind::ToolResult { call_id, .. } => {
                let new = ids.iter().rev().find(|(old, _)| old == call_id).map(|(_, new)| new.clone());
                *call_id = new.unwrap_or_default();
            }
            _ => {}
        }
    }
}

/// The request without what a dialect has no words for.
fn expressible(dialect: Dialect, mut request: Request) -> Request {
    if dialect == Dialect::OpenAiResponses {
        request.sampling.stop.clear();
    }
    request
}

/// The answer as a dialect can give it back.
fn as_answered_by(dialect: Dialect, mut response: Response) -> Response {
    response.created = None;
    response.extra = Extra::default();
    for part in response.choices.iter_mut().flat_map(|c| &mut c.parts) {
        part.extra = Extra::default();
        if let PartKind::ToolCall { id, arguments, .. } = &mut part.kind {
            if arguments == "{}" {
                arguments.clear();
            }
            if dialect == Dialect::Gemini {
                id.clear();
            }
        }
    }
    if dialect == Dialect::Bedrock {
        response.id = None;
        response.model = None;
    }
    for choice in &mut response.choices {
        if choice.finish == Some(Finish::Refusal) && dialect != Dialect::Anthropic {
            choice.finish = Some(Finish::ContentFilter);
        }
    }
    response
}

fn decode_stream(codec: &dyn Codec, pieces: &[&[u8]]) -> Vec<Event> {
    let mut decoder = codec.stream_decoder();
    let mut events = Vec::new();
    for piece in pieces {
        decoder.push(piece, &mut events).unwrap();
    }
    decoder.finish(&mut events).unwrap();
    events
}

fn encode_stream(codec: &dyn Codec, events: &[Event]) -> Vec<u8> {
    let mut encoder = codec.stream_encoder(reply());
    let mut out = Vec::new();
    for event in events {
        encoder.push(event, &mut out);
    }
    out
}

fn assemble(events: &[Event]) -> Response {
    let mut assembler = Assembler::default();
    events.iter().for_each(|e| assembler.push(e));
    assembler.finish().unwrap()
}

#[test]
fn a_prompt_survives_text_completions() {
    let codec = Dialect::OpenAiCompletions.codec();
    let body = br#"{"model":"m","prompt":"Once","max_tokens":5,"stop":"x","echo":true,"logprobs":2}"#;
    let request = codec.decode_request(body, &Beside::default()).unwrap();
    let encoded = codec.encode_request(&request, &Target::default()).unwrap();
    assert_eq!(codec.decode_request(&encoded.body, &Beside::default()).unwrap(), request);
    let chat = Dialect::Anthropic.codec().encode_request(&request, &Target::default());
    assert_eq!(chat.unwrap_err().to_string(), "Anthropic messages cannot express log probabilities");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]


    #[test]
    fn a_request_written_and_read_back_is_the_same(request in strategies::request()) {
        for &dialect in CHAT {
            let codec = dialect.codec();
            let request = expressible(dialect, request.clone());
            let encoded = codec.encode_request(&request, &Target::default()).unwrap();
            prop_assert!(encoded.dropped.is_empty(), "{dialect} dropped {:?}", encoded.dropped);
            let beside = Beside { model: Some(request.model.clone()), stream: Some(request.stream) };
            let back = codec.decode_request(&encoded.body, &beside).unwrap();
            prop_assert_eq!(
                as_read_by(dialect, back),
                as_read_by(dialect, request.clone()),
                "{}: {}", dialect, String::from_utf8_lossy(&encoded.body)
            );
        }
    }

    #[test]
    fn an_answer_written_and_read_back_is_the_same(response in strategies::response()) {
        for &dialect in CHAT {
            let codec = dialect.codec();
            let encoded = codec.encode_response(&response, &reply()).unwrap();
            let back = codec.decode_response(&encoded.body).unwrap();
            prop_assert_eq!(
                as_answered_by(dialect, back),
                as_answered_by(dialect, response.clone()),
                "{}: {}", dialect, String::from_utf8_lossy(&encoded.body)
            );
        }
    }

    #[test]
    fn a_stream_written_and_read_back_is_the_same_however_it_is_cut(
        response in strategies::response(),
        cut in any::<prop::sample::Index>(),
    ) {
        let events = events_of(&response);
        for &dialect in CHAT {
            let codec = dialect.codec();
            let bytes = encode_stream(codec, &events);
            let whole = decode_stream(codec, &[&bytes]);
            prop_assert_eq!(
                as_answered_by(dialect, assemble(&whole)),
                as_answered_by(dialect, response.clone()),
                "{}: {}", dialect, String::from_utf8_lossy(&bytes)
            );
            let at = cut.index(bytes.len() + 1);
            prop_assert_eq!(&decode_stream(codec, &[&bytes[..at], &bytes[at..]]), &whole);
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(&decode_stream(codec, &single), &whole);
        }
    }

    #[test]
    fn a_tap_sees_what_a_converter_sees(response in strategies::response()) {
        let events = events_of(&response);
        for &dialect in CHAT {
            let codec = dialect.codec();
            let bytes = encode_stream(codec, &events);
            let mut tap = StreamTap::new(dialect, codec.framing().media_type());
            tap.push(&bytes);
            tap.finish();
            let mut seen = Seen::default();
            decode_stream(codec, &[&bytes]).iter().for_each(|e| seen.event(e));
            let mut tapped = tap.seen().clone();
            // A tap keeps the reason only, not which stop text it was.
            tapped.first_token = seen.first_token;
            prop_assert_eq!(&tapped, &seen, "{}", dialect);
        }
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), json in "[{}\\[\\]\":,a-z0-9 ]{0,80}") {
        for &dialect in Dialect::ALL {
            let codec = dialect.codec();
            for body in [&bytes[..], json.as_bytes()] {
                let _ = codec.decode_request(body, &Beside::default());
                let _ = codec.decode_response(body);
                let _ = codec.decode_failure(500, body);
                let mut decoder = codec.stream_decoder();
                let mut events = Vec::new();
                let framed = [b"data: ", body, b"\n\n"].concat();
                let _ = decoder.push(body, &mut events);
                let _ = decoder.push(&framed, &mut events);
                let _ = decoder.finish(&mut events);
                let mut tap = StreamTap::new(dialect, codec.framing().media_type());
                tap.push(&framed);
                tap.finish();
            }
        }
    }
}
