//! From a stream to a whole answer and back: for clients that did not ask for a stream where the
//! provider only streams, for guards that must see the whole, and for replaying a stored answer.

use super::{Choice, Delta, Event, Failure, Part, PartKind, PartOpen, Response};

/// More alternatives than this are never asked for; a stream that numbers them higher is broken.
const MAX_CHOICES: u32 = 128;
/// Parts per alternative: far above any real answer.
const MAX_PARTS: u32 = 16 * 1024;

/// Folds the events of a stream into the answer they describe.
#[derive(Debug, Default)]
pub struct Assembler {
    response: Response,
    /// Per choice, parts by number.
    parts: Vec<Vec<Option<Part>>>,
    failure: Option<Failure>,
    ended: bool,
}

impl Assembler {
    /// Takes the next event. Numbers out of range are ignored.
    pub fn push(&mut self, event: &Event) {
        match event {
            Event::Start { id, model, created } => {
                self.response.id.clone_from(id);
                self.response.model.clone_from(model);
                self.response.created = *created;
            }
            Event::PartStart { choice, part, open } => {
                if let Some(slot) = self.slot(*choice, *part) {
                    *slot = Some(begin(open));
                }
            }
            Event::Delta { choice, part, delta } => {
                if let Some(Some(part)) = self.slot(*choice, *part) {
                    grow(&mut part.kind, delta);
                }
            }
            Event::PartEnd { .. } => {}
            Event::Finish { choice, finish } => {
                if let Some(c) = self.choice(*choice) {
                    c.finish = Some(finish.clone());
                }
            }
            Event::Usage(usage) => self.response.usage = Some(*usage),
            Event::Failure(f) => self.failure = Some(f.clone()),
            Event::End => self.ended = true,
        }
    }

    /// The answer.
    ///
    /// # Errors
    /// The failure the stream ended with, or one saying that it broke off.
    pub fn finish(mut self) -> Result<Response, Failure> {
        if let Some(f) = self.failure {
            return Err(f);
        }
        if !self.ended {
            return Err(Failure::new(502, "the provider's stream broke off"));
        }
        for (choice, parts) in self.response.choices.iter_mut().zip(self.parts) {
            choice.parts = parts.into_iter().flatten().collect();
        }
        Ok(self.response)
    }

    fn choice(&mut self, at: u32) -> Option<&mut Choice> {
        if at >= MAX_CHOICES {
            return None;
        }
        let at = at as usize;
        if self.response.choices.len() <= at {
            self.response.choices.resize(at + 1, Choice::default());
            self.parts.resize(at + 1, Vec::new());
        }
        self.response.choices.get_mut(at)
    }

    fn slot(&mut self, choice: u32, part: u32) -> Option<&mut Option<Part>> {
        self.choice(choice)?;
        let parts = self.parts.get_mut(choice as usize)?;
        if part >= MAX_PARTS {
            return None;
        }
        if parts.len() <= part as usize {
            parts.resize(part as usize + 1, None);
        }
        parts.get_mut(part as usize)
    }
}

fn begin(open: &PartOpen) -> Part {
    Part::new(match open {
        PartOpen::Text => PartKind::Text { text: String::new() },
        PartOpen::Reasoning => PartKind::Reasoning { text: String::new(), signature: None, redacted: None },
        PartOpen::Refusal => PartKind::Refusal { text: String::new() },
        PartOpen::ToolCall { id, name, signature } => PartKind::ToolCall {
            id: id.clone(),
            name: name.clone(),
            arguments: String::new(),
            signature: signature.clone(),
        },
        PartOpen::Whole(part) => return (**part).clone(),
    })
}

fn grow(kind: &mut PartKind, delta: &Delta) {
    match (kind, delta) {
        (
            PartKind::Text { text } | PartKind::Reasoning { text, .. } | PartKind::Refusal { text },
            Delta::Text(more),
        ) => text.push_str(more),
        (PartKind::ToolCall { arguments, .. }, Delta::Arguments(more)) => arguments.push_str(more),
        (PartKind::Reasoning { signature, .. }, Delta::Signature(more)) => {
            signature.get_or_insert_default().push_str(more);
        }
        _ => {}
    }
}

/// The events that stand for a whole answer.
#[must_use]
pub fn events_of(response: &Response) -> Vec<Event> {
    let mut out =
        vec![Event::Start { id: response.id.clone(), model: response.model.clone(), created: response.created }];
    for (c, choice) in response.choices.iter().enumerate() {
        let c = c as u32;
        for (p, part) in choice.parts.iter().enumerate() {
            part_events(c, p as u32, part, &mut out);
        }
        if let Some(finish) = &choice.finish {
            out.push(Event::Finish { choice: c, finish: finish.clone() });
        }
    }
    out.extend(response.usage.map(Event::Usage));
    out.push(Event::End);
    out
}

fn part_events(choice: u32, part: u32, from: &Part, out: &mut Vec<Event>) {
    let (open, deltas) = match &from.kind {
        PartKind::Text { text } => (PartOpen::Text, vec![Delta::Text(text.clone())]),
        PartKind::Refusal { text } => (PartOpen::Refusal, vec![Delta::Text(text.clone())]),
        PartKind::Reasoning { text, signature, redacted: None } => {
            let signature = signature.iter().map(|s| Delta::Signature(s.clone()));
            (PartOpen::Reasoning, std::iter::once(Delta::Text(text.clone())).chain(signature).collect())
        }
        PartKind::ToolCall { id, name, arguments, signature } => (
            PartOpen::ToolCall { id: id.clone(), name: name.clone(), signature: signature.clone() },
            vec![Delta::Arguments(arguments.clone())],
        ),
        _ => (PartOpen::Whole(Box::new(from.clone())), Vec::new()),
    };
    out.push(Event::PartStart { choice, part, open });
    for delta in deltas {
        let empty = matches!(&delta, Delta::Text(t) | Delta::Arguments(t) | Delta::Signature(t) if t.is_empty());
        if !empty {
            out.push(Event::Delta { choice, part, delta });
        }
    }
    out.push(Event::PartEnd { choice, part });
}
