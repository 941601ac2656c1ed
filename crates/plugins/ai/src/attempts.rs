//! The tries of a call: for each a target is chosen, the request written in its format, addressed and signed; and what
//! comes back is judged. Where another target may take over, an answer is held back until its first token is there.

use std::fmt;
use std::sync::Arc;

use gibbon_llm::Error as LlmError;
use gibbon_llm::convert::{self, Prepared};
use gibbon_llm::dialect::{Dialect, Reply as Answer};
use gibbon_llm::pass::Changes;
use gibbon_llm::passing::PassingTap;
use gibbon_llm::provider::{Address, Credential, Operation, Settings, retry_after_ms};
use gibbon_message::{Headers, uri};
use gibbon_pdk::{
    AttemptSource, Destination, Exchange, Fault, FaultKind, Flow, Host, Protocol, RequestBody, Resort, Retry, Source,
    Step, Target as Peer, Timeouts,
};

use crate::call::Call;
use crate::config::LlmFormat;
use crate::gate;
use crate::incoming::{Incoming, Refusal};
use crate::passed_on::{Form, Passing, Resource};
use crate::relay;
use crate::target::Target;

/// Bodies above this are converted on a thread of their own: a worker must not stand still for longer than half a
/// millisecond.
const LONG_BODY: usize = 64 * 1024;

/// Why a try came to nothing, as far as a choice depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failing {
    /// No connection, or it broke.
    Error,
    Timeout,
    /// What came is not HTTP.
    InvalidHeader,
    Status(u16),
}

impl Failing {
    fn of(fault: &Fault) -> Self {
        match fault.kind {
            FaultKind::ConnectTimeout | FaultKind::ReadTimeout | FaultKind::WriteTimeout => Failing::Timeout,
            FaultKind::Protocol => Failing::InvalidHeader,
            FaultKind::Status(status) => Failing::Status(status),
            _ => Failing::Error,
        }
    }
}

/// Chooses targets, try by try.
pub trait Choose: fmt::Debug {
    /// The target of the next try.
    ///
    /// # Errors
    /// What the client gets when there is none.
    fn next(&mut self, x: &mut Exchange, host: &Host) -> Result<Arc<Target>, Refusal>;
    /// Whether another try would follow one that failed like this. `sent` says that the provider may have seen the
    /// request.
    fn may_follow(&self, failing: Failing, sent: bool) -> bool;
    /// A try failed; `rest` is how long the provider asked to be left alone, in milliseconds.
    fn failed(&mut self, failing: Failing, rest: Option<u64>, host: &Host);
    /// The chosen target may not be asked, which is no failure of its own: whether there is another.
    fn pass_over(&mut self) -> bool;
    /// Bounds of waiting, where the plugin has its own.
    fn timeouts(&self) -> Option<Timeouts>;
}

/// The tries of one call.
#[derive(Debug)]
pub struct Calls {
    pub incoming: Incoming,
    pub choose: Box<dyn Choose>,
    /// `X-Kong-LLM-Model` is on answers.
    pub name_header: bool,
    /// The client may name no other model than the configured one, as in Kong.
    pub strict_model: bool,
    current: Option<Current>,
    /// How long the provider that answered last asked to be left alone, in milliseconds.
    rest: Option<u64>,
}

/// What the answer to the running try needs.
#[derive(Debug, Clone)]
struct Current {
    target: Arc<Target>,
    provider: Option<Dialect>,
    passed: bool,
    model: String,
}

impl Calls {
    pub fn new(incoming: Incoming, choose: Box<dyn Choose>, name_header: bool, strict_model: bool) -> Self {
        Calls { incoming, choose, name_header, strict_model, current: None, rest: None }
    }

    fn refuse(&self, refusal: &Refusal) -> Flow {
        Flow::Reply(Box::new(refusal.reply(self.incoming.format)))
    }

    /// The body was on its way, and cannot be sent once more.
    fn is_spent(&self) -> bool {
        self.incoming.passed_on.as_ref().is_some_and(|passed_on| passed_on.unread)
    }

    /// The model to ask for.
    fn model(&self, target: &Target, x: &Exchange) -> Result<String, Refusal> {
        let asked = self.incoming.model.as_deref();
        match (&target.model, asked) {
            (Some(configured), asked) => {
                let configured = configured.fill(x).map_err(|e| Refusal::new(400, e))?;
                let other = asked.is_some_and(|asked| asked != configured);
                if other && self.strict_model && self.incoming.format == LlmFormat::Openai {
                    return Err(Refusal::new(400, format!("cannot use own model - must be: {configured}")));
                }
                Ok(configured)
            }
            (None, Some(asked)) => Ok(asked.to_owned()),
            (None, None) if self.needs_model(target) => {
                Err(Refusal::new(400, "model parameter not found in request, nor in gateway configuration"))
            }
            (None, None) => Ok(String::new()),
        }
    }

    /// Azure's deployments stand for their models; what is forwarded as it is needs none.
    fn needs_model(&self, target: &Target) -> bool {
        target.operation.is_some() && target.provider() != "azure" && self.incoming.dialect.is_some()
    }

    /// A target that may be asked, and the model to ask it for.
    async fn admitted(&mut self, x: &mut Exchange, host: &Host) -> Result<(Arc<Target>, String), Flow> {
        loop {
            let target = self.choose.next(x, host).map_err(|refusal| self.refuse(&refusal))?;
            let model = self.model(&target, x).map_err(|refusal| self.refuse(&refusal))?;
            note(x, &target, &model);
            match gate::pass(x, host).await {
                None => return Ok((target, model)),
                Some(_) if self.choose.pass_over() => {}
                Some(reply) => return Err(Flow::Reply(Box::new(reply))),
            }
        }
    }

    async fn set_up(&mut self, x: &mut Exchange, host: &Host) -> Result<(), Flow> {
        let (target, model) = self.admitted(x, host).await?;
        let settings = target.settings(x).map_err(|e| self.refuse(&Refusal::new(400, e)))?;
        let operation = target.preset.stands_in(self.incoming.operation);
        let provider = self.incoming.dialect.map(|_| target.speaks(operation, &model, &settings));
        let written = self.write(&target, &model, provider, &settings, host).await;
        let written = written.map_err(|refusal| self.refuse(&refusal))?;
        let address = match self.incoming.passed_on.as_ref().and_then(|passed_on| passed_on.resource.as_ref()) {
            None => target.preset.place(operation, &model, self.incoming.stream, &settings),
            Some(Resource { kind, rest }) => {
                target.preset.place_of(operation, kind, rest, &model, &settings, target.has_placed_address())
            }
        };
        let address = address.map_err(|e| self.refuse(&Refusal::new(400, e.to_string())))?;
        let now = host.clock.wall().max(0) as u64;
        let credentials = match target.identity.ready(now) {
            Some(credentials) => credentials,
            None => target.identity.fetch(now).await.map_err(|cause| {
                tracing::error!(request_id = %x.id, "credentials for {}: {cause}", target.provider());
                self.refuse(&Refusal::new(500, "LLM request failed before proxying"))
            })?,
        };
        let passed = written.passed;
        // A body that is still on its way stays where it is.
        let unread = self.incoming.passed_on.as_ref().is_some_and(|passed_on| passed_on.unread);
        let body = (!unread).then_some(written.encoded.body);
        self.address(x, &target, address, body, &credentials, &settings, now);
        if let Some(call) = x.slots.get_mut::<Call>().filter(|call| call.started == 0) {
            call.started = host.clock.monotonic_ns();
        }
        self.current = Some(Current { target, provider, passed, model });
        Ok(())
    }

    /// The body for the provider.
    async fn write(
        &self,
        target: &Arc<Target>,
        model: &str,
        provider: Option<Dialect>,
        settings: &Settings,
        host: &Host,
    ) -> Result<Prepared, Refusal> {
        if let Some(passed_on) = &self.incoming.passed_on {
            let body = passed_on.body(&self.incoming, model)?.unwrap_or_default();
            return Ok(Prepared { encoded: gibbon_llm::dialect::Encoded { body, dropped: Vec::new() }, passed: true });
        }
        let as_it_is = || Prepared { encoded: convert_nothing(&self.incoming), passed: true };
        let (Some(client), Some(provider)) = (self.incoming.dialect, provider) else { return Ok(as_it_is()) };
        if !matches!(self.incoming.operation, Operation::Chat | Operation::Completions | Operation::Responses) {
            return self.write_other(target, client, provider, model, settings);
        }
        let job = Writing {
            incoming: self.incoming.clone(),
            target: Arc::clone(target),
            model: model.to_owned(),
            client,
            provider,
            wanted: target.wanted(settings),
        };
        if self.incoming.body.len() <= LONG_BODY {
            return job.run();
        }
        let done = host.compute.run(Box::new(move || Box::new(job.run()))).await;
        match done.and_then(|any| any.downcast::<Result<Prepared, Refusal>>().ok()) {
            Some(result) => *result,
            None => Err(Refusal::new(503, "the gateway is too busy to convert this request")),
        }
    }

    /// Requests that are neither chats nor completions.
    fn write_other(
        &self,
        target: &Target,
        client: Dialect,
        provider: Dialect,
        model: &str,
        settings: &Settings,
    ) -> Result<Prepared, Refusal> {
        let (body, beside) = (&self.incoming.body, &self.incoming.beside);
        let wanted = target.wanted(settings);
        let refuse = |e: LlmError| Refusal::new(400, e.to_string());
        let (from, to) = (client.codec(), provider.codec());
        let passed = client == provider;
        let encoded = match self.incoming.operation {
            Operation::CountTokens if !passed => {
                let mut request = from.decode_count_request(body, beside).map_err(refuse)?;
                model.clone_into(&mut request.model);
                to.encode_count_request(&request, &wanted).map_err(refuse)?
            }
            Operation::Embeddings if !passed => {
                let mut request = from.decode_embedding_request(body, beside).map_err(refuse)?;
                model.clone_into(&mut request.model);
                to.encode_embedding_request(&request, &wanted).map_err(refuse)?
            }
            Operation::Embeddings | Operation::CountTokens => {
                let changes = Changes { model: Some(model), ..Changes::default() };
                let body = gibbon_llm::pass::request(client, body, &changes).map_err(refuse)?;
                gibbon_llm::dialect::Encoded { body, dropped: Vec::new() }
            }
            _ => convert_nothing(&self.incoming),
        };
        Ok(Prepared { encoded, passed })
    }

    /// Puts address, headers, credentials and body where the engine takes them from.
    #[allow(clippy::too_many_arguments)]
    fn address(
        &self,
        x: &mut Exchange,
        target: &Target,
        mut address: Address,
        body: Option<Vec<u8>>,
        credentials: &[Credential],
        settings: &Settings,
        now: u64,
    ) {
        self.merge_query(x, &mut address);
        let streams = body.is_none();
        let mut body = body.unwrap_or_default();
        let mut headers = Headers::new();
        self.own_headers(x, target, settings, &mut headers);
        let mut shown: Vec<(String, String)> = Vec::new();
        for credential in credentials {
            if let Credential::Header { name, .. } = credential
                && target.allow_override
                && x.request.headers.contains(name)
            {
                continue;
            }
            credential.apply(
                x.request.method.as_str(),
                &mut address,
                &mut shown,
                &mut body,
                target.allow_override,
                now,
            );
        }
        for (name, value) in &shown {
            headers.set(name, value);
        }
        let signed = credentials.iter().any(|c| matches!(c, Credential::Aws { .. }));
        if signed && !headers.contains("x-amz-security-token") {
            headers.set("x-amz-security-token", "");
        }
        hide_keys(x, &address, credentials);
        let tls = target.tls(x);
        let target_line = address.target();
        let (path, query) = target_line.split_once('?').unwrap_or((&target_line, ""));
        let Destination { retries, timeouts, .. } = x.destination.clone();
        x.destination.clear();
        x.destination.path.extend_from_slice(path.as_bytes());
        x.destination.query = Some(query.as_bytes().to_vec());
        x.destination.protocol = Some(if address.tls { Protocol::Https } else { Protocol::Http });
        x.destination.host_header = Some(address.authority().into_bytes());
        x.destination.target = Some(Peer { host: address.host.as_str().into(), port: address.port });
        x.destination.retries = retries;
        x.destination.timeouts = self.choose.timeouts().or(timeouts);
        x.destination.tls = tls;
        x.destination.headers = Some(headers);
        if !streams {
            x.body = RequestBody::Whole(body.into());
        }
    }

    /// The client's query goes along where the provider may understand it; what the provider's address says wins, but
    /// for Azure's version.
    fn merge_query(&self, x: &Exchange, address: &mut Address) {
        if !matches!(self.incoming.format, LlmFormat::Openai) {
            return;
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        for (name, value) in x.request.query().into_iter().flat_map(uri::arguments) {
            let (name, value) = (text(&name), value.map(|v| text(&v)).unwrap_or_default());
            match address.query.iter_mut().find(|(n, _)| *n == name) {
                Some((_, own)) if name == "api-version" => *own = value,
                Some(_) => {}
                None => address.query.push((name, value)),
            }
        }
    }

    /// Headers that belong to the format, and those of the client's format that must not reach another provider: its
    /// own credentials before all.
    fn own_headers(&self, x: &Exchange, target: &Target, settings: &Settings, headers: &mut Headers) {
        match &self.incoming.passed_on {
            None => headers.set("Content-Type", "application/json"),
            Some(passed_on) => {
                let threads = self.incoming.operation == Operation::Assistants;
                if threads && !x.request.headers.contains("openai-beta") {
                    headers.set("OpenAI-Beta", "assistants=v2");
                }
                if passed_on.form == Form::Json && !self.incoming.body.is_empty() {
                    headers.set("Content-Type", "application/json");
                }
            }
        }
        match target.preset.accept_encoding.filter(|_| self.incoming.passed_on.is_none()) {
            Some(encodings) => headers.set("Accept-Encoding", encodings),
            // An encoding that cannot be read here must not be asked for.
            None if x.request.headers.contains("accept-encoding") => headers.set("Accept-Encoding", "identity"),
            None => {}
        }
        if target.provider() == "anthropic" {
            let own =
                x.request.headers.get_str("anthropic-version").filter(|_| self.incoming.format == LlmFormat::Anthropic);
            let version = own.or(settings.anthropic_version.as_deref()).unwrap_or("2023-06-01");
            headers.set("anthropic-version", version);
        }
        if self.incoming.format == LlmFormat::Openai || target.allow_override {
            return;
        }
        for (name, _) in x.request.headers.iter() {
            let name = String::from_utf8_lossy(name).to_ascii_lowercase();
            let credential = matches!(name.as_str(), "authorization" | "x-api-key" | "x-goog-api-key" | "api-key");
            let of_format = name.starts_with("x-goog-") || name.starts_with("x-amz-") || name.starts_with("amz-sdk-");
            let anthropic = name.starts_with("anthropic-") && target.provider() != "anthropic";
            if credential || of_format || anthropic {
                headers.set(&name, "");
            }
        }
    }

    /// What an answer for the client needs to know.
    fn answer(&self, x: &Exchange, model: &str, host: &Host) -> Answer {
        // Anthropic's streams begin with the tokens of the prompt, which other providers count last.
        let early = self.incoming.stream && self.incoming.format == LlmFormat::Anthropic;
        let words = x.slots.get::<Call>().filter(|_| early).map_or(0, Call::words);
        Answer {
            id: x.id.to_string(),
            created: host.clock.wall().max(0) as u64,
            model: model.to_owned(),
            include_usage: self.incoming.include_usage || self.incoming.format != LlmFormat::Openai,
            input_estimate: words,
            array: self.incoming.array,
        }
    }
}

/// A key in the query stays out of the log.
fn hide_keys(x: &mut Exchange, address: &Address, credentials: &[Credential]) {
    let key = |name: &str| credentials.iter().any(|c| matches!(c, Credential::Query { name: n, .. } if n == name));
    if !address.query.iter().any(|(name, _)| key(name)) {
        return;
    }
    let mut shown = address.clone();
    for (name, value) in &mut shown.query {
        if key(name) {
            "REDACTED".clone_into(value);
        }
    }
    let target = shown.target();
    if let Some(call) = x.slots.get_mut::<Call>() {
        call.shown_query = target.split_once('?').map(|(_, query)| query.as_bytes().to_vec());
    }
}

fn media_type(x: &Exchange) -> String {
    x.response.headers.get_str("content-type").unwrap_or_default().to_owned()
}

fn convert_nothing(incoming: &Incoming) -> gibbon_llm::dialect::Encoded {
    gibbon_llm::dialect::Encoded { body: incoming.body.to_vec(), dropped: Vec::new() }
}

/// A request body to be written.
struct Writing {
    incoming: Incoming,
    target: Arc<Target>,
    model: String,
    client: Dialect,
    provider: Dialect,
    wanted: gibbon_llm::dialect::Target,
}

impl Writing {
    fn run(&self) -> Result<Prepared, Refusal> {
        let changes = Changes {
            model: (!self.model.is_empty()).then_some(self.model.as_str()),
            stream: Some(self.incoming.stream),
            want_usage: self.target.logging.log_statistics,
            overrides: self.target.overrides.clone(),
        };
        let refuse = |e: LlmError| Refusal::new(400, e.to_string());
        let (body, beside) = (&self.incoming.body, &self.incoming.beside);
        let mut prepared =
            convert::prepare(self.client, self.provider, body, beside, &self.wanted, &changes).map_err(refuse)?;
        if matches!(self.provider, Dialect::OpenAiChat | Dialect::OpenAiCompletions) {
            let body = std::mem::take(&mut prepared.encoded.body);
            let adapted = self.target.preset.quirks.adapt(body, &self.wanted).map_err(refuse)?;
            prepared.encoded.body = adapted.body;
        }
        Ok(prepared)
    }
}

/// Notes which target is asked.
fn note(x: &mut Exchange, target: &Arc<Target>, model: &str) {
    if let Some(call) = x.slots.get_mut::<Call>() {
        call.provider = target.provider();
        model.clone_into(&mut call.model);
        call.logging = target.logging;
        call.target = Some(Arc::clone(target));
    }
}

impl AttemptSource for Calls {
    fn prepare<'a>(&'a mut self, x: &'a mut Exchange, host: &'a Host) -> Step<'a> {
        Step::Later(Box::pin(async move {
            match self.set_up(x, host).await {
                Ok(()) => Flow::Next,
                Err(flow) => flow,
            }
        }))
    }

    fn answered(&mut self, x: &mut Exchange, host: &Host) -> Result<(), Fault> {
        let Some(current) = self.current.clone() else { return Ok(()) };
        let status = x.response.status;
        self.rest = None;
        if status >= 400 {
            let header = |name: &str| x.response.headers.get_str(name);
            let rest = retry_after_ms(header, b"", host.clock.wall().max(0) as u64);
            self.rest = rest.filter(|_| matches!(status, 429 | 503 | 529));
        }
        if status >= 400 && !self.is_spent() && self.choose.may_follow(Failing::Status(status), true) {
            let cause = format!("{} answered with status {status}", current.target.provider());
            return Err(Fault::new(FaultKind::Status(status), Source::Upstream, Retry::Yes, cause));
        }
        if status >= 400 {
            self.choose.failed(Failing::Status(status), self.rest.take(), host);
        }
        if let Some(call) = x.slots.get_mut::<Call>() {
            call.answered = true;
        }
        let preset = &current.target.preset;
        if preset.drops_cookies {
            x.response.headers.remove("set-cookie");
        }
        if self.name_header && status == 200 {
            x.response.headers.set("X-Kong-LLM-Model", format!("{}/{}", preset.name, current.model));
        }
        let holds = [Failing::Error, Failing::Timeout].into_iter().any(|f| self.choose.may_follow(f, true));
        let answer = self.answer(x, &current.model, host);
        let way = relay::Way {
            client: self.incoming.dialect,
            provider: current.provider,
            passed: current.passed,
            operation: self.incoming.operation,
            route_type: current.target.route_type.clone(),
            provider_name: preset.name,
            stream: self.incoming.stream,
            // What the gateway did not ask for is not its own to take out.
            wants_usage: self.incoming.include_usage || !current.target.logging.log_statistics,
            keeps_payload: current.target.logging.log_payloads,
            holds,
            request: self.incoming.body.clone(),
        };
        if self.incoming.passed_on.is_some() {
            if status < 300 {
                x.transformers.insert(0, Box::new(Passing(PassingTap::new(&media_type(x)))));
            }
            return Ok(());
        }
        if let Some(transformer) = relay::of(x, way, answer) {
            x.transformers.insert(0, transformer);
        }
        Ok(())
    }

    fn failed(&mut self, x: &mut Exchange, fault: &Fault, host: &Host) -> Resort {
        let failing = Failing::of(fault);
        // Only what never left cannot have been seen by the provider.
        let sent = !matches!(
            fault.kind,
            FaultKind::ConnectRefused | FaultKind::ConnectTimeout | FaultKind::TlsHandshake | FaultKind::NameResolution
        );
        let follow =
            fault.source != Source::Downstream && !(sent && self.is_spent()) && self.choose.may_follow(failing, sent);
        self.choose.failed(failing, self.rest.take(), host);
        if follow {
            if let Some(last) = x.tries.last_mut() {
                last.state = Some("next");
            }
            return Resort::Again;
        }
        if self.incoming.format == LlmFormat::Openai {
            return Resort::Fault;
        }
        let refusal = Refusal::new(fault.status(), "the provider gave no valid answer");
        Resort::Reply(Box::new(refusal.reply(self.incoming.format)))
    }
}
