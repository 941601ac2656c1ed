//! Answers that come piece by piece. Each piece leaves as soon as it is there; only while another target may still take
//! over nothing leaves before the first token.

use gibbon_llm::canonical::{Event, Failure};
use gibbon_llm::convert::StreamConverter;
use gibbon_llm::dialect::{Dialect, Reply as Answer};
use gibbon_llm::pass::UsageFilter;
use gibbon_llm::seen::Seen;
use gibbon_llm::tap::StreamTap;
use gibbon_pdk::{BodyTransformer, Exchange, Fault, FaultKind, Host, Piece, Retry, Source, Turn, Turning};

use super::{Inflate, Way, keep_payload, note};

/// A stream on its way.
pub struct Stream {
    lane: Lane,
    inflate: Inflate,
    holds: bool,
    keeps_payload: bool,
    failed: bool,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("holds", &self.holds).finish_non_exhaustive()
    }
}

enum Lane {
    /// The same format on both sides.
    Watched(Box<Watched>),
    Converted(Box<StreamConverter>),
}

/// A stream that passes.
struct Watched {
    tap: StreamTap,
    filter: Option<UsageFilter>,
    dialect: Dialect,
    answer: Answer,
}

impl Lane {
    fn seen(&self) -> &Seen {
        match self {
            Lane::Watched(watched) => watched.tap.seen(),
            Lane::Converted(converter) => converter.seen(),
        }
    }
}

impl Stream {
    /// For the answer whose head is in `x.response`.
    pub fn new(x: &mut Exchange, way: &Way, answer: Answer, passes: bool, inflate: Inflate) -> Self {
        let client = way.client.unwrap_or(Dialect::OpenAiChat);
        let provider = way.provider.unwrap_or(client);
        let headers = &mut x.response.headers;
        let lane = if passes {
            let media = headers.get_str("content-type").unwrap_or_default().to_owned();
            let openai = matches!(client, Dialect::OpenAiChat | Dialect::OpenAiCompletions);
            let filter = (openai && !way.wants_usage).then(UsageFilter::default);
            if filter.is_some() {
                headers.remove("content-length");
            }
            Lane::Watched(Box::new(Watched { tap: StreamTap::new(client, &media), filter, dialect: client, answer }))
        } else {
            headers.remove("content-length");
            let media = match answer.array && client == Dialect::Gemini {
                true => "application/json",
                false => client.codec().framing().media_type(),
            };
            headers.set("Content-Type", media);
            Lane::Converted(Box::new(StreamConverter::new(provider, client, answer)))
        };
        Stream { lane, inflate, holds: way.holds, keeps_payload: way.keeps_payload, failed: false }
    }

    fn data(&mut self, packed: &[u8], out: &mut Vec<u8>) {
        let Ok(data) = self.inflate.push(packed) else {
            self.fail("the provider's stream is not packed as it says", out);
            return;
        };
        match &mut self.lane {
            Lane::Converted(converter) => converter.push(&data, out),
            Lane::Watched(watched) => {
                watched.tap.push(&data);
                match &mut watched.filter {
                    None => out.extend_from_slice(&data),
                    Some(filter) => {
                        if filter.push(&data, out).is_err() {
                            self.fail("the provider's stream is broken", out);
                        }
                    }
                }
            }
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        match &mut self.lane {
            Lane::Converted(converter) => converter.finish(out),
            Lane::Watched(watched) => {
                watched.tap.finish();
                if let Some(filter) = &mut watched.filter {
                    let _ = filter.finish(out);
                }
            }
        }
    }

    /// Ends the stream with an error in the client's format.
    fn fail(&mut self, why: &str, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.failed, true) {
            return;
        }
        let failure = Failure::new(502, why);
        match &mut self.lane {
            Lane::Converted(converter) => converter.fail(failure, out),
            Lane::Watched(watched) => {
                watched.dialect.codec().stream_encoder(watched.answer.clone()).push(&Event::Failure(failure), out);
            }
        }
    }

    /// Whether what is there may leave.
    fn turn(&self, over: bool) -> Turn {
        let seen = self.lane.seen();
        let failed = self.failed || seen.failure.is_some();
        if self.holds && !seen.first_token {
            if failed {
                let cause = "the provider failed before its first token";
                return Turn::Refuse(Box::new(Fault::new(FaultKind::Closed, Source::Upstream, Retry::Yes, cause)));
            }
            if !over {
                return Turn::Hold;
            }
        }
        if failed { Turn::Over } else { Turn::Go }
    }
}

impl BodyTransformer for Stream {
    fn push<'a>(
        &'a mut self,
        x: &'a mut Exchange,
        piece: Piece<'a>,
        out: &'a mut Vec<u8>,
        host: &'a Host,
    ) -> Turning<'a> {
        let before = out.len();
        let over = match piece {
            Piece::Head => return if self.holds { Turn::Hold.into() } else { Turn::Go.into() },
            Piece::Data(data) => {
                self.data(data, out);
                false
            }
            Piece::End => {
                self.end(out);
                true
            }
            // Whether another target takes over depends on what happened.
            Piece::Broken(fault) if self.holds && !self.lane.seen().first_token => {
                return Turn::Refuse(Box::new(fault.clone())).into();
            }
            Piece::Broken(fault) => {
                let timeout = fault.kind == FaultKind::ReadTimeout;
                let why = if timeout { "the provider took too long" } else { "the provider's stream broke off" };
                self.fail(why, out);
                true
            }
        };
        if self.keeps_payload {
            keep_payload(x, out.get(before..).unwrap_or_default());
        }
        note(x, self.lane.seen(), over, &*host.clock);
        self.turn(over).into()
    }
}
