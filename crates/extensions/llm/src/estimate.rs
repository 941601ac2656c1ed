//! Estimating tokens where a provider does not count them, and before it has. No tokenizer: the
//! rules are Kong's, so that limits and logs agree with what its users are used to.

use crate::canonical::{Part, PartKind, Request};

/// Counts the tokens of a text, or guesses them.
pub trait TokenEstimator: Send + Sync {
    /// Tokens of a prompt's text.
    fn prompt(&self, model: &str, text: &str) -> u64;

    /// Tokens of an answer of so many characters.
    fn completion(&self, model: &str, characters: u64) -> u64;
}

/// A word of a prompt counts as a number of tokens, four characters of an answer as one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WordCount {
    /// Tokens per word of a prompt.
    pub per_word: f64,
}

impl WordCount {
    /// For whole answers.
    pub const WHOLE: Self = Self { per_word: 1.0 };
    /// For streams.
    pub const STREAM: Self = Self { per_word: 1.8 };
}

impl TokenEstimator for WordCount {
    fn prompt(&self, _model: &str, text: &str) -> u64 {
        let words = text.split_whitespace().count();
        (words as f64 * self.per_word).round() as u64
    }

    fn completion(&self, _model: &str, characters: u64) -> u64 {
        characters.div_ceil(4)
    }
}

/// All the text of a request, messages one after the other.
#[must_use]
pub fn prompt_text(request: &Request) -> String {
    let mut out = String::new();
    for part in request.messages.iter().flat_map(|m| &m.parts) {
        add(part, &mut out);
    }
    out
}

fn add(part: &Part, out: &mut String) {
    match &part.kind {
        PartKind::Text { text } | PartKind::Refusal { text } | PartKind::Reasoning { text, .. } => {
            out.push_str(text);
            out.push(' ');
        }
        PartKind::ToolCall { name, arguments, .. } => {
            out.push_str(name);
            out.push(' ');
            out.push_str(arguments);
            out.push(' ');
        }
        PartKind::ToolResult { content, .. } => content.iter().for_each(|p| add(p, out)),
        PartKind::Media(_) | PartKind::Unknown { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonical::{Message, Role};

    #[test]
    fn the_estimates_are_the_recorded_ones() {
        let request = |texts: &[&str]| Request {
            messages: texts.iter().map(|t| Message::new(Role::User, vec![Part::text(*t)])).collect(),
            ..Request::default()
        };
        let chat = prompt_text(&request(&["You are terse.", "What is the answer?"]));
        assert_eq!(WordCount::WHOLE.prompt("m", &chat), 7);
        assert_eq!(WordCount::STREAM.prompt("m", &chat), 13);
        assert_eq!(WordCount::STREAM.prompt("m", "What is the answer?"), 7);
        assert_eq!(WordCount::WHOLE.completion("m", 17), 5);
    }
}
