//! In `access` the trace is found or begun, the decision taken and the upstream told; in `log` the spans of a trace
//! that is kept are encoded and queued.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use gibbon_message::{Headers, Method};
use gibbon_pdk::{
    Build, Deliver, Exchange, Handler, Host, HttpClient, Instrumentations, LogInterest, OutcallRequest, Queue,
    QueueEntry, SendFuture, Step, TraceContext,
};

use super::config::Config;
use super::logs::AccessRecords;
use super::metrics::Metrics;
use super::{logs, spans};
use crate::digits::hex_text;
use crate::ids::{keeps, span_id, trace_id};
use crate::otlp::{self, Resource};
use crate::propagation::{Extracted, OldNames, Outgoing, Propagation};
use crate::queue_settings::milliseconds;

pub struct OpenTelemetry {
    propagation: Propagation,
    /// In place of the node's.
    sampling_rate: Option<f64>,
    /// Whether the caller's yes is heeded, as its no always is.
    heeds_yes: bool,
    response_header: Option<String>,
    resource: Arc<Resource>,
    traces: Option<Exporter>,
    logs: Option<(Exporter, LogInterest)>,
    access_logs: Option<(Exporter, AccessRecords)>,
    metrics: Option<Metrics>,
}

impl OpenTelemetry {
    pub fn new(config: &Config, build: &Build<'_>) -> Self {
        let old = OldNames { header_type: config.header_type.as_deref(), default_header_type: None };
        let resource = Arc::new(Resource::new(config.resource_attributes.as_ref()));
        let exporter = |url: &Option<String>, name| Some(Exporter::open(url.as_ref()?, name, config, build));
        OpenTelemetry {
            propagation: Propagation::new(&config.propagation.formats(), &old),
            sampling_rate: config.sampling_rate,
            heeds_yes: config.sampling_strategy.as_deref() == Some("parent_probability_fallback"),
            response_header: config.http_response_header_for_traceid.clone(),
            resource,
            traces: exporter(&config.traces_endpoint, "traces"),
            logs: exporter(&config.logs_endpoint, "logs").map(|logs| (logs, LogInterest::default())),
            access_logs: config.access_logs.as_ref().and_then(|of| {
                let records = AccessRecords::new(of.custom_attributes_by_lua.as_ref());
                Some((exporter(&of.endpoint, "access_logs")?, records))
            }),
            metrics: config
                .metrics
                .as_ref()
                .and_then(|of| Some(Metrics::open(of, Endpoint::new(of.endpoint.as_ref()?, config, build), build))),
        }
    }

    /// Whether a trace is kept. Without instrumentation there is nothing to keep, and headers only pass through.
    fn decide(&self, trace: &gibbon_pdk::TraceId, caller: Option<bool>, host: &Host) -> bool {
        let node = &host.node.tracing;
        match caller {
            _ if node.instrumentations.is_empty() => false,
            Some(false) => false,
            Some(true) if self.heeds_yes => true,
            _ => keeps(trace, self.sampling_rate.unwrap_or(node.sampling_rate)),
        }
    }

    fn begin(&self, from: &Extracted, host: &Host) -> TraceContext {
        let random = &*host.random;
        let trace = from.trace.unwrap_or_else(|| trace_id(random));
        let tries = host.node.tracing.instrumentations.intersects(Instrumentations::BALANCER);
        TraceContext {
            trace,
            root: span_id(random),
            parent: from.span.or(from.parent),
            balancer: tries.then(|| span_id(random)),
            sampled: self.decide(&trace, from.sampled, host),
        }
    }
}

impl Handler for OpenTelemetry {
    fn traces(&self) -> bool {
        true
    }

    fn access<'a>(&'a self, x: &'a mut Exchange, host: &'a Host) -> Step<'a> {
        let from = self.propagation.extract(&x.request.headers);
        let context = self.begin(&from, host);
        let out = Outgoing {
            trace: context.trace,
            span: context.balancer.unwrap_or(context.root),
            parent: context.balancer.map_or(context.parent, |_| Some(context.root)),
            sampled: Some(context.sampled),
        };
        self.propagation.inject(x, &from, &out);
        x.trace.context = Some(context);
        if !context.sampled || self.traces.is_none() {
            x.trace.decline();
        }
        Step::NEXT
    }

    fn header_filter(&self, x: &mut Exchange, host: &Host) {
        let Some(name) = &self.response_header else { return };
        let context = *x.trace.context.get_or_insert_with(|| self.begin(&Extracted::default(), host));
        x.response.headers.append(name, hex_text(&context.trace));
    }

    fn log(&self, x: &mut Exchange, host: &Host) {
        if let Some((logs, interest)) = &self.logs {
            let lines = interest.lines(x.id);
            if !lines.is_empty() {
                logs.push(&self.resource.of(x, &host.node), lines.iter().map(|line| logs::encode(line, x)).collect());
            }
        }
        if let Some(metrics) = &self.metrics {
            metrics.count(x, &self.resource.of(x, &host.node));
        }
        if let Some((exporter, records)) = &self.access_logs {
            let record = records.encode(x, host);
            exporter.push(&self.resource.of(x, &host.node), vec![record]);
        }
        let Some(traces) = self.traces.as_ref().filter(|_| x.trace.is_on()) else { return };
        // Where access was not reached (no route, an answer before it), the trace is the gateway's own.
        let context = *x.trace.context.get_or_insert_with(|| self.begin(&Extracted::default(), host));
        if context.sampled {
            traces.push(&self.resource.of(x, &host.node), spans::encode(x, &context, host));
        }
    }
}

/// A queue whose batches become export requests.
struct Exporter {
    queue: Arc<dyn Queue>,
    /// The resource of most entries, so that they need not carry it.
    usual: Arc<OnceLock<Vec<u8>>>,
}

impl Exporter {
    fn open(url: &str, name: &str, config: &Config, build: &Build<'_>) -> Self {
        let old = |given: Option<i64>, default: i64| given.map(|given| (given, default));
        let delay = config.batch_flush_delay.map(|given| (given as f64, 3.0));
        let usual: Arc<OnceLock<Vec<u8>>> = Arc::default();
        let delivery = Delivery { endpoint: Endpoint::new(url, config, build), usual: Arc::clone(&usual) };
        let settings = config.queue.settings(old(config.batch_span_count, 200), delay);
        let queue = build.queues.open(&format!("{}:{name}", build.plugin_id), settings, Arc::new(delivery));
        Exporter { queue, usual }
    }

    /// Queues records, each an entry of its own.
    fn push(&self, resource: &[u8], records: Vec<Vec<u8>>) {
        let usual = self.usual.get_or_init(|| resource.to_vec());
        let carried = if *usual == resource { &[] } else { resource };
        for record in records {
            let mut entry = Vec::with_capacity(4 + carried.len() + record.len());
            entry.extend_from_slice(&(carried.len() as u32).to_le_bytes());
            entry.extend_from_slice(carried);
            entry.extend_from_slice(&record);
            self.queue.push(entry.into());
        }
    }
}

/// How a batch is sent.
struct Delivery {
    endpoint: Endpoint,
    usual: Arc<OnceLock<Vec<u8>>>,
}

impl Delivery {
    /// An entry's resource and record.
    fn parts<'a>(&'a self, entry: &'a QueueEntry) -> (&'a [u8], &'a [u8]) {
        let (length, rest) = entry.split_first_chunk::<4>().unwrap_or((&[0; 4], &[]));
        let (carried, record) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).unwrap_or((&[], rest));
        let usual = self.usual.get().map(Vec::as_slice).unwrap_or_default();
        (if carried.is_empty() { usual } else { carried }, record)
    }
}

impl Deliver for Delivery {
    fn deliver<'a>(&'a self, batch: &'a [QueueEntry]) -> SendFuture<'a, Result<(), String>> {
        Box::pin(async move { self.endpoint.send(otlp::export(batch.iter().map(|entry| self.parts(entry)))).await })
    }
}

/// A URL of a collector, and how it is asked.
pub struct Endpoint {
    http: Arc<dyn HttpClient>,
    url: String,
    headers: Headers,
    timeout: Duration,
}

impl Endpoint {
    fn new(url: &str, config: &Config, build: &Build<'_>) -> Self {
        Endpoint {
            http: Arc::clone(&build.http),
            url: url.to_owned(),
            headers: headers(config.headers.as_ref()),
            timeout: milliseconds(f64::from(config.connect_timeout))
                + milliseconds(f64::from(config.send_timeout))
                + milliseconds(f64::from(config.read_timeout)),
        }
    }

    /// Sends an export request; only 200 is a success.
    ///
    /// # Errors
    /// What went wrong, for the log.
    pub async fn send(&self, body: Vec<u8>) -> Result<(), String> {
        let request = OutcallRequest {
            headers: self.headers.clone(),
            body: Bytes::from(body),
            timeout: self.timeout,
            ..OutcallRequest::new(Method::Post, self.url.clone())
        };
        let answer = self.http.call(request).await.map_err(|error| format!("failed to send request: {error}"))?;
        match answer.status {
            200 => Ok(()),
            status => Err(format!("response error: {status}")),
        }
    }
}

fn headers(configured: Option<&indexmap::IndexMap<String, String>>) -> Headers {
    let mut headers = Headers::new();
    headers.append("Content-Type", "application/x-protobuf");
    headers.append("User-Agent", crate::USER_AGENT);
    for (name, value) in configured.into_iter().flatten() {
        headers.set(name, value);
    }
    headers
}
