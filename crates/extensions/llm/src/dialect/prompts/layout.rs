//! From a conversation to one text.

use crate::Result;
use crate::canonical::{Message, Part, Request, Role};
use crate::dialect::openai_completions::prompt_of;
use crate::dialect::{Dialect, Notes};

/// How a conversation becomes one text.
#[derive(Debug, Clone, Copy)]
pub(super) enum Layout {
    /// The prompt as it is; there is no conversation.
    Bare,
    /// `Human: ... Assistant:`, one turn.
    HumanAssistant,
    /// Llama 2's instruction marks.
    Llama2,
}

/// The marks of Llama 2's layout.
const MARKS: &[&str] = &["<<SYS>>", "<</SYS>>", "[INST]", "[/INST]", "<s>", "</s>"];

impl Layout {
    pub(super) fn write(self, request: &Request, dialect: Dialect, notes: &mut Notes) -> Result<String> {
        match self {
            Self::Bare => prompt_of(request, dialect),
            Self::HumanAssistant => Ok(format!("Human: {}\n\nAssistant:", prompt_of(request, dialect)?)),
            Self::Llama2 => llama2(request, dialect, notes),
        }
    }
}

fn llama2(request: &Request, dialect: Dialect, notes: &mut Notes) -> Result<String> {
    if !request.tools.is_empty() {
        return Err(dialect.codec().lacks("tools"));
    }
    let mut out = String::new();
    let system: Vec<&Part> = request.system().collect();
    let mut instructions = text_of(&system, dialect, notes)?;
    for message in request.conversation() {
        let parts: Vec<&Part> = message.parts.iter().collect();
        let text = text_of(&parts, dialect, notes)?;
        match message {
            Message { role: Role::User, .. } => {
                out.push_str("<s>[INST] ");
                if !instructions.is_empty() {
                    out.push_str("<<SYS>> ");
                    out.push_str(&std::mem::take(&mut instructions));
                    out.push_str(" <</SYS>> ");
                }
                out.push_str(&text);
                out.push_str(" [/INST]");
            }
            Message { role: Role::Assistant, .. } => {
                out.push(' ');
                out.push_str(&text);
                out.push_str(" </s>");
            }
            _ => return Err(dialect.codec().lacks("tool results")),
        }
    }
    if !instructions.is_empty() {
        // Instructions and nothing else: they are the question.
        out = format!("<s>[INST] {instructions} [/INST]");
    }
    Ok(out)
}

/// The text of parts, its marks made harmless: whoever writes one into a message must not be able
/// to end it and speak as someone else.
fn text_of(parts: &[&Part], dialect: Dialect, notes: &mut Notes) -> Result<String> {
    let texts: Option<Vec<&str>> = parts.iter().map(|p| p.as_text()).collect();
    let mut text = texts.map(|t| t.join("\n")).ok_or_else(|| dialect.codec().lacks("anything but text"))?;
    for mark in MARKS {
        if text.contains(mark) {
            let (first, rest) = mark.split_at(1);
            text = text.replace(mark, &format!("{first} {rest}"));
            notes.hint("prompt marks inside a message")?;
        }
    }
    Ok(text)
}
