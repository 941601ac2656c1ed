//! In `access` (or `preread`) the trace is found or begun and the upstream told; in `log` the spans of a sampled one
//! are made and queued.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gibbon_message::{Headers, Method};
use gibbon_pdk::{
    Build, Deliver, Exchange, Handler, Host, HttpClient, OutcallRequest, Queue, QueueEntry, Random, SendFuture, SpanId,
    Step, TraceId,
};

use super::config::Config;
use super::spans;
use crate::digits::hex_text;
use crate::ids::{fraction, span_id, trace_id};
use crate::propagation::{Extracted, OldNames, Outgoing, Propagation};
use crate::queue_settings::milliseconds;

pub struct Zipkin {
    config: Config,
    propagation: Propagation,
    queue: Option<Arc<dyn Queue>>,
}

/// The trace of one exchange, kept until its log phase.
#[derive(Clone, Copy, Debug)]
pub struct Traced {
    pub trace: TraceId,
    /// Whether the id is written in 16 digits.
    pub short: bool,
    pub request: SpanId,
    /// What the request's span hangs under.
    pub parent: Option<SpanId>,
    pub proxy: SpanId,
    pub sampled: bool,
}

impl Traced {
    pub fn trace_text(&self) -> String {
        let digits = if self.short { self.trace.get(8..) } else { None };
        hex_text(digits.unwrap_or(&self.trace))
    }
}

impl Zipkin {
    pub fn new(config: Config, build: &Build<'_>) -> Self {
        let p = &config.propagation;
        let old = OldNames {
            header_type: Some(&config.header_type),
            default_header_type: Some(&*config.default_header_type).filter(|name| *name != "b3"),
        };
        let propagation = Propagation::new((&p.extract, &p.clear, &p.inject), &p.default_format, &old);
        let queue = config.http_endpoint.as_ref().map(|url| {
            let delivery = Delivery {
                http: Arc::clone(&build.http),
                url: url.clone(),
                timeout: [config.connect_timeout, config.send_timeout, config.read_timeout]
                    .into_iter()
                    .map(|part| milliseconds(f64::from(part)))
                    .sum(),
            };
            build.queue(config.queue.settings(None, None), Arc::new(delivery))
        });
        Zipkin { config, propagation, queue }
    }

    fn begin(&self, from: &Extracted, random: &dyn Random) -> Traced {
        let short = from.trace.is_none() && self.config.traceid_byte_count == 8;
        let trace = from.trace.unwrap_or_else(|| {
            let mut id = trace_id(random);
            if short {
                id = [[0; 8], span_id(random)].concat().try_into().unwrap_or(id);
            }
            id
        });
        let shared = from.span.filter(|_| from.shares_span);
        Traced {
            trace,
            short,
            request: shared.unwrap_or_else(|| span_id(random)),
            parent: if from.shares_span { from.parent } else { from.span.or(from.parent) },
            proxy: span_id(random),
            sampled: from.sampled.unwrap_or_else(|| fraction(random) < self.config.sample_ratio),
        }
    }

    /// Keeps what was begun; an exchange that is not sampled needs no times.
    fn keep(x: &mut Exchange, traced: Traced) -> Traced {
        if !traced.sampled {
            x.trace.decline();
        }
        x.slots.set(traced);
        traced
    }

    /// The trace of this exchange; begun now where neither `access` nor `preread` was reached.
    fn traced(&self, x: &mut Exchange, host: &Host) -> Traced {
        match x.slots.get::<Traced>() {
            Some(traced) => *traced,
            None => Self::keep(x, self.begin(&Extracted::default(), &*host.random)),
        }
    }
}

impl Handler for Zipkin {
    fn traces(&self) -> bool {
        true
    }

    fn access<'a>(&'a self, x: &'a mut Exchange, host: &'a Host) -> Step<'a> {
        let from = self.propagation.extract(&x.request.headers);
        let traced = self.begin(&from, &*host.random);
        let out = Outgoing {
            trace: traced.trace,
            span: traced.proxy,
            parent: Some(traced.request),
            // A no is left out, as Kong does where the format allows it: others may still sample.
            sampled: traced.sampled.then_some(true),
        };
        self.propagation.inject(x, &from, &out);
        Self::keep(x, traced);
        Step::NEXT
    }

    fn preread<'a>(&'a self, x: &'a mut Exchange, host: &'a Host) -> Step<'a> {
        self.traced(x, host);
        Step::NEXT
    }

    fn header_filter(&self, x: &mut Exchange, host: &Host) {
        if let Some(name) = &self.config.http_response_header_for_traceid {
            let text = self.traced(x, host).trace_text();
            x.response.headers.append(name, text);
        }
    }

    fn log(&self, x: &mut Exchange, host: &Host) {
        let traced = self.traced(x, host);
        let Some(queue) = self.queue.as_ref().filter(|_| traced.sampled) else { return };
        for span in spans::of(x, &traced, &self.config, host) {
            queue.push(span.to_string().into_bytes().into());
        }
    }
}

/// How a batch is sent.
struct Delivery {
    http: Arc<dyn HttpClient>,
    url: String,
    timeout: Duration,
}

impl Deliver for Delivery {
    fn deliver<'a>(&'a self, batch: &'a [QueueEntry]) -> SendFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let mut headers = Headers::new();
            headers.append("Content-Type", "application/json");
            headers.append("User-Agent", crate::USER_AGENT);
            let request = OutcallRequest {
                headers,
                body: Bytes::from([&b"["[..], &batch.join(&b','), b"]"].concat()),
                timeout: self.timeout,
                ..OutcallRequest::new(Method::Post, self.url.clone())
            };
            let answer = self.http.call(request).await.map_err(|error| format!("zipkin request failed: {error}"))?;
            match answer.status {
                200..300 => Ok(()),
                status => Err(format!("zipkin server responded unexpectedly: {status}")),
            }
        })
    }
}
