//! Holds patterns against the prompt. Patterns are Perl's, with look-around and back-references: a hostile prompt may
//! make one of them slow, so long prompts are matched on threads of their own.

use std::sync::Arc;

use gibbon_llm::canonical::{PartKind, Request, Role};
use gibbon_pdk::{BuildError, Exchange, Flow, Handler, Host, Step};
use pcre2::bytes::{Regex, RegexBuilder};

use super::config::Config;
use crate::config::LlmFormat;
use crate::incoming::{Refusal, limit_body};
use crate::prompts::{self, NoPrompt};

/// Prompts above this are matched elsewhere.
const SHORT: usize = 1024;

/// The plugin with one configuration.
pub struct PromptGuard {
    allow: Option<Arc<[Regex]>>,
    deny: Arc<[Regex]>,
    newest_only: bool,
    all_roles: bool,
    format: LlmFormat,
    limit: u64,
}

impl PromptGuard {
    /// # Errors
    /// A pattern is none.
    pub fn new(config: &Config) -> Result<Self, BuildError> {
        let allow = config.allow_patterns.as_deref().filter(|p| !p.is_empty());
        Ok(PromptGuard {
            allow: allow.map(compile).transpose()?,
            deny: compile(config.deny_patterns.as_deref().unwrap_or_default())?,
            newest_only: config.allow_all_conversation_history,
            all_roles: config.match_all_roles,
            format: config.llm_format,
            limit: config.max_request_body_size,
        })
    }

    async fn check(&self, x: &Exchange, host: &Host) -> Flow {
        let prompt = match prompts::read(x, self.format, self.limit) {
            Ok(prompt) => prompt,
            Err(NoPrompt::Fault(fault)) => return fault.into(),
            Err(NoPrompt::Refused(refusal)) => return refusal.reply(self.format).into(),
        };
        let text = self.text(&prompt.request);
        let (allow, deny) = (self.allow.clone(), Arc::clone(&self.deny));
        let fine = if text.len() <= SHORT {
            permits(allow.as_deref(), &deny, &text)
        } else {
            let work = move || Box::new(permits(allow.as_deref(), &deny, &text)) as Box<dyn std::any::Any + Send>;
            let done = host.compute.run(Box::new(work)).await;
            // Without an answer nobody knows that the prompt is harmless.
            done.and_then(|any| any.downcast::<bool>().ok()).is_some_and(|fine| *fine)
        };
        if fine { Flow::Next } else { Refusal::new(400, "bad request").reply(self.format).into() }
    }

    /// The messages that are looked at, newest first.
    fn text(&self, request: &Request) -> String {
        let seen = request.messages.iter().rev().filter(|m| self.all_roles || m.role == Role::User);
        let count = if self.newest_only { 1 } else { usize::MAX };
        let mut out = String::new();
        for part in seen.take(count).flat_map(|m| &m.parts) {
            let text = match &part.kind {
                PartKind::Text { text } | PartKind::Refusal { text } => text.as_str(),
                PartKind::ToolCall { arguments, .. } => arguments.as_str(),
                _ => continue,
            };
            if !out.is_empty() {
                out.push(' ');
            }
            out.push_str(text);
        }
        out
    }
}

fn compile(patterns: &[String]) -> Result<Arc<[Regex]>, BuildError> {
    let one = |pattern: &String| {
        let built = RegexBuilder::new().utf(true).ucp(true).jit_if_available(true).build(pattern);
        built
            .map_err(|e| BuildError { plugin: super::PART.name.to_owned(), cause: format!("pattern '{pattern}': {e}") })
    };
    patterns.iter().map(one).collect()
}

/// A pattern that gives up counts as a match where matches are denied, and as none where they are asked for.
fn permits(allow: Option<&[Regex]>, deny: &[Regex], text: &str) -> bool {
    let denied = deny.iter().any(|pattern| pattern.is_match(text.as_bytes()).unwrap_or(true));
    let allowed = allow.is_none_or(|patterns| patterns.iter().any(|p| p.is_match(text.as_bytes()).unwrap_or(false)));
    !denied && allowed
}

impl Handler for PromptGuard {
    fn access<'a>(&'a self, x: &'a mut Exchange, host: &'a Host) -> Step<'a> {
        if x.body.is_unread() {
            limit_body(x, self.limit);
            return Flow::ReadBody.into();
        }
        Step::Later(Box::pin(self.check(x, host)))
    }
}
