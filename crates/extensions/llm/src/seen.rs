//! What a gateway wants to know about an answer it relays: the model, the tokens, why it stopped.
//! Filled by converters and taps alike.

use crate::canonical::{Delta, Event, Failure, Finish, Part, PartKind, Response, Usage};

/// What was seen of an answer so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    /// The model that answers, if the provider said so.
    pub model: Option<String>,
    /// The provider's id of the answer.
    pub id: Option<String>,
    /// The latest token counts, if the provider counted.
    pub usage: Option<Usage>,
    /// The tier in which the provider served the call, in its words, as far as it said so where this was read.
    pub service_tier: Option<String>,
    /// Why the (first) answer stopped.
    pub finish: Option<Finish>,
    /// Characters of text, reasoning and arguments: what an estimate of the tokens starts from.
    pub characters: u64,
    /// Something of the answer itself has come: from here on no other target can take over.
    pub first_token: bool,
    /// The provider failed.
    pub failure: Option<Failure>,
    /// The answer is complete.
    pub ended: bool,
}

impl Seen {
    /// Takes in an event of a stream.
    pub fn event(&mut self, event: &Event) {
        match event {
            Event::Start { id, model, .. } => {
                self.id.clone_from(id);
                self.model.clone_from(model);
            }
            Event::PartStart { .. } => self.first_token = true,
            Event::Delta { delta: Delta::Text(text) | Delta::Arguments(text), .. } => self.text(text),
            Event::Delta { .. } | Event::PartEnd { .. } => {}
            Event::Finish { choice, finish } => {
                if *choice == 0 {
                    self.finish = Some(finish.clone());
                }
            }
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Failure(failure) => self.failure = Some(failure.clone()),
            Event::End => self.ended = true,
        }
    }

    /// Takes in a whole answer.
    #[must_use]
    pub fn of(response: &Response) -> Self {
        let mut seen = Self {
            model: response.model.clone(),
            id: response.id.clone(),
            usage: response.usage,
            finish: response.choices.first().and_then(|c| c.finish.clone()),
            first_token: true,
            ended: true,
            ..Self::default()
        };
        for part in response.choices.iter().flat_map(|c| &c.parts) {
            seen.part(part);
        }
        seen
    }

    fn part(&mut self, part: &Part) {
        match &part.kind {
            PartKind::Text { text } | PartKind::Reasoning { text, .. } | PartKind::Refusal { text } => self.text(text),
            PartKind::ToolCall { arguments, .. } => self.text(arguments),
            _ => {}
        }
    }

    fn text(&mut self, text: &str) {
        self.first_token = true;
        self.characters += text.chars().count() as u64;
    }
}
