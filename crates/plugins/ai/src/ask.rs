//! Asking a model on the gateway's own behalf: instructions and a text in, a text out.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gibbon_llm::canonical::{Message, Part, PartKind, Request, Role};
use gibbon_llm::provider::Operation;
use gibbon_llm::seen::Seen;
use gibbon_message::Method;
use gibbon_pdk::{Build, BuildError, Exchange, Host, OutcallRequest, OutcallTls};
use pcre2::bytes::Regex;

use crate::call::Call;
use crate::config::Advice;
use crate::target::Target;
use crate::telemetry;

/// Answers above this are no text to put in the place of another.
const MAX_ANSWER: usize = 16 << 20;

/// A model with instructions.
pub struct Adviser {
    plugin_id: String,
    name: &'static str,
    target: Arc<Target>,
    prompt: String,
    timeout: Duration,
    verify: bool,
    /// What of the answer counts; the whole of it if none.
    pattern: Option<Regex>,
}

impl Adviser {
    /// # Errors
    /// What of the configuration cannot be made to work.
    pub fn new(plugin: &'static str, advice: &Advice, build: &Build<'_>) -> Result<Self, BuildError> {
        let refused = |cause: String| BuildError { plugin: plugin.to_owned(), cause };
        if advice.http_proxy_host.is_some() || advice.https_proxy_host.is_some() {
            return Err(refused("a proxy on the way to the provider is not available".to_owned()));
        }
        let pattern = advice
            .transformation_extract_pattern
            .as_deref()
            .map(|p| Regex::new(p).map_err(|e| refused(format!("pattern '{p}': {e}"))));
        Ok(Adviser {
            plugin_id: build.plugin_id.to_string(),
            name: plugin,
            target: Arc::new(Target::new(plugin, &advice.llm, build)?),
            prompt: advice.prompt.clone(),
            timeout: Duration::from_millis(advice.http_timeout.max(1) as u64),
            verify: advice.https_verify,
            pattern: pattern.transpose()?,
        })
    }

    /// Asks, and notes the call in the log.
    ///
    /// # Errors
    /// For the client, in Kong's words: what went wrong, without the provider's.
    pub async fn ask(&self, x: &mut Exchange, host: &Host, text: &str) -> Result<String, String> {
        let started = host.clock.monotonic_ns();
        let model = match &self.target.model {
            Some(model) => model.fill(x)?,
            None => String::new(),
        };
        let (answer, seen) = self.call(x, host, &model, text).await?;
        let call = Call {
            plugin_id: self.plugin_id.clone(),
            target: Some(Arc::clone(&self.target)),
            provider: self.target.provider(),
            model,
            logging: self.target.logging,
            started,
            ended: host.clock.monotonic_ns(),
            answered: true,
            seen,
            request_payload: Some(text.to_owned()),
            response_payload: Some(answer.clone()),
            ..Call::default()
        };
        telemetry::record(x, &call, self.name);
        match &self.pattern {
            None => Ok(answer),
            Some(pattern) => {
                let found = pattern.find(answer.as_bytes()).ok().flatten();
                let found = found.and_then(|found| answer.get(found.start()..found.end()));
                found
                    .map(str::to_owned)
                    .ok_or_else(|| "AI response did not match specified regular expression".to_owned())
            }
        }
    }

    async fn call(&self, x: &Exchange, host: &Host, model: &str, text: &str) -> Result<(String, Seen), String> {
        let settings = self.target.settings(x)?;
        let dialect = self.target.speaks(Operation::Chat, model, &settings);
        let mut request = Request {
            model: model.to_owned(),
            messages: vec![
                Message::new(Role::System, vec![Part::text(self.prompt.clone())]),
                Message::new(Role::User, vec![Part::text(text)]),
            ],
            ..Request::default()
        };
        self.target.overrides.apply(&mut request);
        let wanted = self.target.wanted(&settings);
        let mut body = dialect.codec().encode_request(&request, &wanted).map_err(|e| e.to_string())?.body;
        let place = self.target.preset.place(Operation::Chat, model, false, &settings);
        let mut address = place.map_err(|e| e.to_string())?;
        let now = host.clock.wall().max(0) as u64;
        let credentials = match self.target.identity.ready(now) {
            Some(credentials) => credentials,
            None => self.target.identity.fetch(now).await.map_err(|cause| {
                tracing::error!(request_id = %x.id, "credentials for {}: {cause}", self.target.provider());
                "LLM request failed before proxying".to_owned()
            })?,
        };
        let json = "application/json".to_owned();
        let mut headers = vec![("Content-Type".to_owned(), json.clone()), ("Accept".to_owned(), json)];
        if self.target.provider() == "anthropic" {
            let version = settings.anthropic_version.clone().unwrap_or_else(|| "2023-06-01".to_owned());
            headers.push(("anthropic-version".to_owned(), version));
        }
        for credential in &credentials {
            credential.apply("POST", &mut address, &mut headers, &mut body, false, now);
        }
        let scheme = if address.tls { "https" } else { "http" };
        let url = format!("{scheme}://{}{}", address.authority(), address.target());
        let mut outcall = OutcallRequest::new(Method::Post, url);
        for (name, value) in &headers {
            outcall.headers.set(name, value);
        }
        outcall.body = Bytes::from(body);
        outcall.timeout = self.timeout;
        outcall.tls = OutcallTls { verify: self.verify, ..OutcallTls::default() };
        outcall.max_response_bytes = MAX_ANSWER;
        let failed = |why: String| format!("failed to introspect request with AI service: {why}");
        let answer = host.http.call(outcall).await.map_err(|e| failed(e.to_string()))?;
        if answer.status != 200 {
            return Err(failed(format!("status code {}", answer.status)));
        }
        let response = dialect.codec().decode_response(&answer.body).map_err(|_| {
            let kind = format!("{}://{}", self.target.provider(), self.target.route_type);
            format!("failed to convert AI response to Kong format: transformation failed from type {kind}: failed to decode llm/v1/chat response")
        })?;
        let mut out = String::new();
        for part in response.choices.first().iter().flat_map(|choice| &choice.parts) {
            if let PartKind::Text { text } = &part.kind {
                out.push_str(text);
            }
        }
        if response.choices.is_empty() {
            return Err("no 'choices' in upstream AI service response".to_owned());
        }
        let seen = Seen::of(&response);
        Ok((out, seen))
    }
}
