//! Whose a signature is. Providers sign their models' reasoning and refuse each other's signatures,
//! yet a conversation may move from one to another, and a client of one dialect keeps the
//! signatures of another provider for us. So a signature that leaves towards a client of another
//! dialect is marked with its origin, and on its way back it is unmarked for the provider it came
//! from and left out for any other.
//!
//! The mark is eight characters of base64's alphabet: some clients' libraries decode signatures,
//! and a marked one must still decode.

use crate::canonical::{Delta, Event, Part, PartKind, PartOpen, Request, Response};
use crate::dialect::Dialect;

/// Who accepts whose signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// Anthropic's models, wherever they are hosted.
    Anthropic,
    Gemini,
    /// OpenAI's encrypted reasoning.
    OpenAi,
}

impl Origin {
    fn of(dialect: Dialect) -> Option<Self> {
        match dialect {
            Dialect::Anthropic | Dialect::Bedrock => Some(Self::Anthropic),
            Dialect::Gemini => Some(Self::Gemini),
            Dialect::OpenAiResponses => Some(Self::OpenAi),
            _ => None,
        }
    }

    fn mark(self) -> &'static str {
        match self {
            Self::Anthropic => "gibbonAN",
            Self::Gemini => "gibbonGE",
            Self::OpenAi => "gibbonOR",
        }
    }

    /// The origin a signature is marked with, and the signature itself.
    fn read(signature: &str) -> (Option<Self>, &str) {
        [Self::Anthropic, Self::Gemini, Self::OpenAi]
            .into_iter()
            .find_map(|o| signature.strip_prefix(o.mark()).map(|s| (Some(o), s)))
            .unwrap_or((None, signature))
    }
}

/// The signature to show to `provider`, of one that a client of `client` sent.
fn returned(signature: &str, client: Dialect, provider: Dialect) -> Option<String> {
    let (origin, raw) = Origin::read(signature);
    // Unmarked it is the client's own provider's; of a dialect without signatures, anybody's.
    let origin = origin.or(Origin::of(client));
    let same = origin.is_none() || Origin::of(provider).is_none_or(|p| Some(p) == origin);
    same.then(|| respelled(raw, origin, client))
}

/// Gemini's clients decode a signature and encode it again, in whichever of base64's two alphabets
/// their library prefers; other providers compare letters.
fn respelled(raw: &str, origin: Option<Origin>, client: Dialect) -> String {
    match (origin, client) {
        (Some(Origin::Anthropic), Dialect::Gemini) => raw.replace('-', "+").replace('_', "/"),
        (Some(Origin::OpenAi), Dialect::Gemini) => raw.replace('+', "-").replace('/', "_"),
        _ => raw.to_owned(),
    }
}

/// Prepares a client's request for a provider: signatures of other providers are left out, those of
/// its own are unmarked.
pub fn to_provider(request: &mut Request, client: Dialect, provider: Dialect) {
    for message in &mut request.messages {
        message.parts.retain_mut(|part| match &mut part.kind {
            PartKind::Reasoning { signature, redacted, .. } => {
                *signature = signature.take().and_then(|s| returned(&s, client, provider));
                let sealed = redacted.take();
                *redacted = sealed.as_ref().and_then(|r| returned(r, client, provider));
                // Encrypted reasoning of another is nothing at all here.
                sealed.is_none() || redacted.is_some()
            }
            PartKind::ToolCall { signature, .. } => {
                if provider != Dialect::Gemini {
                    *signature = None;
                }
                true
            }
            _ => true,
        });
    }
}

/// Whether a body may hold marked signatures. Such a body must not pass through as it is, not even
/// between equal dialects: its provider would refuse the mark.
#[must_use]
pub fn is_marked(body: &[u8]) -> bool {
    [Origin::Anthropic, Origin::Gemini, Origin::OpenAi]
        .iter()
        .any(|o| memchr::memmem::find(body, o.mark().as_bytes()).is_some())
}

/// The mark for signatures on their way from `provider` to a client of `client`, if they need one.
fn mark(provider: Dialect, client: Dialect) -> Option<&'static str> {
    let origin = Origin::of(provider)?;
    (Origin::of(client) != Some(origin)).then(|| origin.mark())
}

/// Marks the signatures of an answer for a client of another dialect.
pub fn to_client(response: &mut Response, provider: Dialect, client: Dialect) {
    let Some(mark) = mark(provider, client) else { return };
    for part in response.choices.iter_mut().flat_map(|c| &mut c.parts) {
        mark_part(part, mark);
    }
}

fn mark_part(part: &mut Part, mark: &str) {
    if let PartKind::Reasoning { signature, redacted, .. } = &mut part.kind {
        for sealed in [signature, redacted].into_iter().flatten() {
            sealed.insert_str(0, mark);
        }
    }
}

/// Marks the signatures of a stream for a client of another dialect.
#[derive(Debug)]
pub struct StreamMarker {
    mark: Option<&'static str>,
    /// The part whose signature is being written: only its first piece is marked.
    signing: Option<(u32, u32)>,
}

impl StreamMarker {
    /// From the provider's dialect to the client's.
    #[must_use]
    pub fn new(provider: Dialect, client: Dialect) -> Self {
        Self { mark: mark(provider, client), signing: None }
    }

    /// Marks an event.
    pub fn push(&mut self, event: &mut Event) {
        let Some(mark) = self.mark else { return };
        match event {
            Event::Delta { choice, part, delta: Delta::Signature(s) } => {
                let first = self.signing.replace((*choice, *part)) != Some((*choice, *part));
                if first {
                    s.insert_str(0, mark);
                }
            }
            Event::PartStart { open: PartOpen::Whole(part), .. } => mark_part(part, mark),
            _ => {}
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::canonical::{Choice, Message, Role};
    use Dialect::{Anthropic, Bedrock, Cohere, Gemini, OpenAiChat, OpenAiResponses};

    fn thought(signature: &str) -> Part {
        Part::new(PartKind::Reasoning { text: "t".into(), signature: Some(signature.into()), redacted: None })
    }

    fn signature(part: &Part) -> Option<&str> {
        match &part.kind {
            PartKind::Reasoning { signature, .. } => signature.as_deref(),
            _ => None,
        }
    }

    /// What a provider gets back of a signature it gave to a client.
    fn there_and_back(first: Dialect, client: Dialect, second: Dialect) -> Option<String> {
        let choices = vec![Choice { parts: vec![thought("SIG")], ..Choice::default() }];
        let mut response = Response { choices, ..Response::default() };
        to_client(&mut response, first, client);
        let parts = response.choices.remove(0).parts;
        let mut request = Request { messages: vec![Message::new(Role::Assistant, parts)], ..Request::default() };
        to_provider(&mut request, client, second);
        signature(&request.messages[0].parts[0]).map(str::to_owned)
    }

    #[test]
    fn a_signature_returns_to_whom_it_came_from_and_to_nobody_else() {
        for client in [OpenAiChat, OpenAiResponses, Anthropic, Gemini, Bedrock] {
            for provider in [Anthropic, Gemini, OpenAiResponses, Bedrock] {
                assert_eq!(there_and_back(provider, client, provider).as_deref(), Some("SIG"), "{provider} {client}");
            }
            assert_eq!(there_and_back(Anthropic, client, Gemini), None, "{client}");
            assert_eq!(there_and_back(OpenAiResponses, client, Anthropic), None, "{client}");
            // Anthropic's models are the same wherever they are hosted.
            assert_eq!(there_and_back(Bedrock, client, Anthropic).as_deref(), Some("SIG"), "{client}");
        }
    }

    #[test]
    fn the_alphabet_of_a_signature_survives_geminis_clients() {
        assert_eq!(returned("gibbonANa-b_c", Gemini, Anthropic).as_deref(), Some("a+b/c"));
        assert_eq!(returned("gibbonORa+b/c", Gemini, OpenAiResponses).as_deref(), Some("a-b_c"));
        assert_eq!(returned("gibbonANa-b", OpenAiChat, Anthropic).as_deref(), Some("a-b"));
    }

    #[test]
    fn encrypted_thoughts_of_another_are_left_out_whole() {
        let kind = PartKind::Reasoning { text: String::new(), signature: None, redacted: Some("X".into()) };
        let messages = vec![Message::new(Role::Assistant, vec![Part::new(kind), Part::text("a")])];
        let mut request = Request { messages, ..Request::default() };
        to_provider(&mut request, Anthropic, Gemini);
        assert_eq!(request.messages[0].parts, [Part::text("a")]);
    }

    #[test]
    fn only_the_first_piece_of_a_streamed_signature_is_marked() {
        let delta = |s: &str| Event::Delta { choice: 0, part: 1, delta: Delta::Signature(s.into()) };
        let mut events = [delta("ab"), delta("cd")];
        let mut marker = StreamMarker::new(Anthropic, OpenAiChat);
        events.iter_mut().for_each(|e| marker.push(e));
        assert_eq!(events, [delta("gibbonANab"), delta("cd")]);
        let mut event = delta("ab");
        StreamMarker::new(Cohere, OpenAiChat).push(&mut event);
        assert_eq!(event, delta("ab"));
    }
}
