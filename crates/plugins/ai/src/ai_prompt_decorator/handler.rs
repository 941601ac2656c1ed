//! Writes the messages into the request. In OpenAI's format they are set beside the client's, which stay byte for byte
//! as they are; in other formats, which keep instructions elsewhere, the request is written anew.

use gibbon_llm::canonical::{Message, Part, Role as Speaker};
use gibbon_llm::dialect::{Dialect, Target};
use gibbon_llm::json::{patch, scan};
use gibbon_pdk::{Exchange, Flow, Handler, Host, RequestBody, Step};
use serde_json::json;

use super::config::{Config, Prompt, Role};
use crate::config::LlmFormat;
use crate::incoming::{Refusal, limit_body};
use crate::prompts::{self, NoPrompt};

/// The plugin with one configuration.
pub struct PromptDecorator {
    before: Vec<Prompt>,
    behind: Vec<Prompt>,
    format: LlmFormat,
    limit: u64,
}

impl PromptDecorator {
    pub fn new(config: Config) -> Self {
        PromptDecorator {
            before: config.prompts.prepend.unwrap_or_default(),
            behind: config.prompts.append.unwrap_or_default(),
            format: config.llm_format,
            limit: config.max_request_body_size,
        }
    }

    fn decorate(&self, x: &mut Exchange) -> Flow {
        let not_chat = || Refusal::new(400, "this LLM route only supports llm/chat type requests").reply(self.format);
        let mut prompt = match prompts::read(x, self.format, self.limit) {
            Ok(prompt) if prompt.dialect == Dialect::OpenAiCompletions => return not_chat().into(),
            Ok(prompt) => prompt,
            Err(NoPrompt::Fault(fault)) => return fault.into(),
            Err(NoPrompt::Refused(_)) => return not_chat().into(),
        };
        let body = if prompt.dialect == Dialect::OpenAiChat {
            self.beside(&prompt.body)
        } else {
            let message = |p: &Prompt| Message::new(speaker(p.role), vec![Part::text(p.content.clone())]);
            prompt.request.messages.splice(0..0, self.before.iter().map(message));
            prompt.request.messages.extend(self.behind.iter().map(message));
            prompt.dialect.codec().encode_request(&prompt.request, &Target::default()).ok().map(|encoded| encoded.body)
        };
        match body {
            Some(body) => {
                x.body = RequestBody::Whole(body.into());
                Flow::Next
            }
            None => not_chat().into(),
        }
    }

    /// The body with more elements in its `messages`.
    fn beside(&self, body: &[u8]) -> Option<Vec<u8>> {
        let text = |p: &Prompt| json!({"role": word(p.role), "content": p.content}).to_string().into_bytes();
        let old = scan::elements(scan::get(body, "messages")?).map(<[u8]>::to_vec);
        let all: Vec<Vec<u8>> = self.before.iter().map(text).chain(old).chain(self.behind.iter().map(text)).collect();
        let list = [b"[".to_vec(), all.join(&b","[..]), b"]".to_vec()].concat();
        patch::apply(body, &[patch::Change::Set("messages".into(), list)])
    }
}

fn word(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::Assistant => "assistant",
        Role::User => "user",
    }
}

fn speaker(role: Role) -> Speaker {
    match role {
        Role::System => Speaker::System,
        Role::Assistant => Speaker::Assistant,
        Role::User => Speaker::User,
    }
}

impl Handler for PromptDecorator {
    fn access<'a>(&'a self, x: &'a mut Exchange, _host: &'a Host) -> Step<'a> {
        if x.body.is_unread() {
            limit_body(x, self.limit);
            return Flow::ReadBody.into();
        }
        self.decorate(x).into()
    }
}
