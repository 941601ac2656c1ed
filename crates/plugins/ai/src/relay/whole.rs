//! Answers that are read whole before anything leaves: an answer that cannot be understood may then still become an
//! error with a status of its own.

use gibbon_llm::canonical::{Failure, events_of};
use gibbon_llm::dialect::{Dialect, Reply as Answer};
use gibbon_llm::json::scan;
use gibbon_llm::provider::Operation;
use gibbon_llm::seen::Seen;
use gibbon_llm::{convert, origin, tap};
use gibbon_pdk::{BodyTransformer, Exchange, Fault, FaultKind, Host, Piece, Retry, Source, Turn, Turning};
use serde_json::json;

use super::{Inflate, Way, keep_payload, note};

/// Longer answers are no answers of a model: images come to a few megabytes.
const MOST: usize = 64 << 20;
/// Answers above this are converted on a thread of their own.
const LONG: usize = 128 * 1024;

/// What is made of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It passes as it is, and is looked at.
    Watched,
    Answer,
    /// The client wanted a stream, the provider sent a whole.
    AnswerAsStream,
    Count,
    Embeddings,
    /// An error, with its status.
    Failure(u16),
}

/// An answer that grows.
#[derive(Debug)]
pub struct Whole {
    job: Job,
    body: Vec<u8>,
    inflate: Inflate,
}

#[derive(Clone, Debug)]
struct Job {
    way: Way,
    answer: Answer,
    client: Dialect,
    provider: Dialect,
    kind: Kind,
}

/// What leaves.
struct Made {
    body: Vec<u8>,
    seen: Seen,
    /// In place of the provider's.
    status: Option<u16>,
    media: Option<&'static str>,
    headers: Vec<(&'static str, String)>,
    /// The answer could not be understood.
    failed: bool,
}

impl Whole {
    pub fn new(way: Way, answer: Answer, client: Dialect, provider: Dialect, kind: Kind, inflate: Inflate) -> Self {
        Whole { job: Job { way, answer, client, provider, kind }, body: Vec::new(), inflate }
    }

    fn take(&mut self, packed: &[u8]) -> Result<(), &'static str> {
        let data = self.inflate.push(packed).map_err(|_| "the provider's answer is not packed as it says")?;
        if self.body.len() + data.len() > MOST {
            return Err("the provider's answer is larger than any may be");
        }
        self.body.extend_from_slice(&data);
        Ok(())
    }

    async fn finish(&mut self, x: &mut Exchange, out: &mut Vec<u8>, host: &Host) -> Turn {
        let (job, body) = (self.job.clone(), std::mem::take(&mut self.body));
        let made = if body.len() <= LONG {
            job.run(body)
        } else {
            let done = host.compute.run(Box::new(move || Box::new(job.run(body)))).await;
            match done.and_then(|any| any.downcast::<Made>().ok()) {
                Some(made) => *made,
                None => self.job.broken(503, "the gateway is too busy to convert this answer"),
            }
        };
        self.leave(x, made, out, host)
    }

    fn leave(&self, x: &mut Exchange, made: Made, out: &mut Vec<u8>, host: &Host) -> Turn {
        if made.failed && self.job.way.holds {
            let cause = "the provider's answer cannot be understood";
            return Turn::Refuse(Box::new(Fault::new(FaultKind::Closed, Source::Upstream, Retry::Yes, cause)));
        }
        x.response.headers.remove("content-length");
        if let Some(status) = made.status {
            x.response.status = status;
        }
        if let Some(media) = made.media {
            x.response.headers.set("Content-Type", media);
        }
        for (name, value) in made.headers {
            x.response.headers.set(name, value);
        }
        if self.job.way.keeps_payload {
            keep_payload(x, &made.body);
        }
        note(x, &made.seen, true, &*host.clock);
        out.extend_from_slice(&made.body);
        Turn::Go
    }
}

impl Job {
    fn run(&self, body: Vec<u8>) -> Made {
        // What passes as OpenAI wrote it is looked at as a whole anyway.
        let told = self.kind == Kind::Watched && self.client == Dialect::OpenAiChat;
        let tier = if told { None } else { tap::service_tier(&body) };
        let mut made = self.make(body);
        made.seen.service_tier = tier.or(made.seen.service_tier);
        made
    }

    fn make(&self, body: Vec<u8>) -> Made {
        let plain = |body, seen| Made { body, seen, status: None, media: None, headers: Vec::new(), failed: false };
        let json = |body, seen| Made { media: Some("application/json"), ..plain(body, seen) };
        let not_decoded = || self.broken(500, &format!("failed to decode {} response", self.way.route_type));
        match self.kind {
            Kind::Watched => self.watched(body),
            Kind::Answer => match convert::response(self.provider, self.client, &body, &self.answer) {
                Ok((response, encoded)) => json(encoded.body, Seen::of(&response)),
                Err(_) => not_decoded(),
            },
            Kind::AnswerAsStream => match self.provider.codec().decode_response(&body) {
                Ok(mut response) => {
                    origin::to_client(&mut response, self.provider, self.client);
                    let mut encoder = self.client.codec().stream_encoder(self.answer.clone());
                    let mut out = Vec::with_capacity(body.len() * 2);
                    events_of(&response).iter().for_each(|event| encoder.push(event, &mut out));
                    let media = self.client.codec().framing().media_type();
                    Made { media: Some(media), ..plain(out, Seen::of(&response)) }
                }
                Err(_) => not_decoded(),
            },
            Kind::Count => match self.provider.codec().decode_count(&body) {
                Ok(tokens) => match self.client.codec().encode_count(tokens) {
                    Ok(body) => json(body, Seen::default()),
                    Err(e) => self.broken(501, &e.to_string()),
                },
                Err(_) => not_decoded(),
            },
            Kind::Embeddings => self.embeddings(&body).unwrap_or_else(not_decoded),
            Kind::Failure(status) => {
                let (failure, body) = convert::failure(self.provider, self.client, status, &body);
                let headers = self.client.codec().failure_headers(&failure);
                let seen = Seen { failure: Some(failure), ..Seen::default() };
                Made { headers, ..json(body, seen) }
            }
        }
    }

    /// An answer in the client's own format: it must be JSON, or no client could tell what is wrong. Like Kong, OpenAI's
    /// is also looked at for what makes it one.
    fn watched(&self, body: Vec<u8>) -> Made {
        let openai = matches!(self.client, Dialect::OpenAiChat | Dialect::OpenAiCompletions);
        if matches!(self.way.operation, Operation::Chat | Operation::Completions | Operation::Responses) {
            let mut walk = scan::members(&body);
            let choices = walk.by_ref().filter(|member| member.key == "choices").count() > 0;
            if !walk.is_complete() {
                return self.broken(500, &format!("failed to decode {} response", self.way.route_type));
            }
            if openai && !choices {
                return self.broken(500, &format!("'choices' not in {} response", self.way.route_type));
            }
        }
        let seen = tap::body(self.client, &body);
        Made { body, seen, status: None, media: None, headers: Vec::new(), failed: false }
    }

    fn embeddings(&self, body: &[u8]) -> Option<Made> {
        let (from, to) = (self.provider.codec(), self.client.codec());
        let response = from.decode_embeddings(body).ok()?;
        let beside = gibbon_llm::dialect::Beside { model: Some(self.answer.model.clone()), stream: None };
        let request = to.decode_embedding_request(&self.way.request, &beside).ok()?;
        let body = to.encode_embeddings(&response, &request, &self.answer).ok()?;
        let seen =
            Seen { model: response.model, usage: response.usage, first_token: true, ended: true, ..Seen::default() };
        Some(Made { body, seen, status: None, media: Some("application/json"), headers: Vec::new(), failed: false })
    }

    /// An error in place of an answer that is none; in OpenAI's format with Kong's words.
    fn broken(&self, status: u16, why: &str) -> Made {
        let failure = match status {
            500 => {
                let from = format!("{}://{}", self.way.provider_name, self.way.route_type);
                Failure::new(500, format!("transformation failed from type {from}: {why}"))
            }
            status => Failure::new(status, why),
        };
        let openai = matches!(self.client, Dialect::OpenAiChat | Dialect::OpenAiCompletions | Dialect::OpenAiResponses);
        let body = match openai {
            true => json!({"error": {"message": failure.message}}).to_string().into_bytes(),
            false => self.client.codec().encode_failure(&failure),
        };
        let headers = if openai { Vec::new() } else { self.client.codec().failure_headers(&failure) };
        let seen = Seen { failure: Some(failure), ..Seen::default() };
        Made { body, seen, status: Some(status), media: Some("application/json"), headers, failed: true }
    }
}

impl BodyTransformer for Whole {
    fn push<'a>(
        &'a mut self,
        x: &'a mut Exchange,
        piece: Piece<'a>,
        out: &'a mut Vec<u8>,
        host: &'a Host,
    ) -> Turning<'a> {
        match piece {
            Piece::Head => Turn::Hold.into(),
            Piece::Data(data) => match self.take(data) {
                Ok(()) => Turn::Hold.into(),
                Err(why) => {
                    let made = self.job.broken(502, why);
                    match self.leave(x, made, out, host) {
                        Turn::Refuse(fault) => Turn::Refuse(fault).into(),
                        _ => Turn::Over.into(),
                    }
                }
            },
            Piece::End => Turning::Later(Box::pin(self.finish(x, out, host))),
            Piece::Broken(fault) => Turn::Refuse(Box::new(fault.clone())).into(),
        }
    }
}
