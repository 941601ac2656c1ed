//! The lines of an exchange are one entry of the queue; they leave over UDP or TCP.

use std::fmt::Write;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gibbon_pdk::{
    Build, BuildError, Deliver, DialTarget, Exchange, Handler, Host, LatencyFigures, Queue, QueueEntry, Random,
    SendFuture, Service,
};
use serde_json::Value;

use super::config::{Config, Metric, MetricName, ServiceIdentifier, TagStyle, WorkspaceIdentifier};
use crate::line::Line;
use crate::names::name_or_host;

/// For finding the daemon and connecting.
const TIMEOUT: Duration = Duration::from_secs(1);
const DICTIONARIES_EVERY_NS: u64 = 60_000_000_000;

pub struct Statsd {
    config: Config,
    allowed: Option<Vec<RangeInclusive<u16>>>,
    /// When the sizes of dictionaries were last sent, by the monotonic clock; 0 is never.
    dictionaries_told: AtomicU64,
    random: Arc<dyn Random>,
    queue: Arc<dyn Queue>,
}

impl Statsd {
    pub fn new(config: Config, build: &Build<'_>) -> Result<Self, BuildError> {
        let (host, port) = (config.host.clone(), config.port);
        let target = if config.use_tcp { DialTarget::Tcp { host, port } } else { DialTarget::Udp { host, port } };
        let line = Line::new(Arc::clone(&build.dial), Arc::clone(&build.clock), target, TIMEOUT);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // the schema keeps it within 0..=65507
        let delivery = Lines { line, tcp: config.use_tcp, together: config.udp_packet_size as usize };
        let settings = config
            .queue
            .settings(config.queue_size.map(|size| (size, 1)), config.flush_timeout.map(|delay| (delay, 2.0)));
        let range = |text: &String| {
            let (from, to) = text.split_once('-')?;
            Some(from.parse().ok()?..=to.parse().ok()?)
        };
        let allowed = config.allow_status_codes.as_ref().map(|ranges| ranges.iter().filter_map(range).collect());
        let queue = build.queue(settings, Arc::new(delivery));
        Ok(Statsd { allowed, dictionaries_told: AtomicU64::new(0), random: Arc::clone(&build.random), queue, config })
    }

    fn is_sampled(&self, metric: &Metric) -> bool {
        crate::ids::is_sampled(&*self.random, metric.sample_rate)
    }

    fn service(&self, metric: &Metric, service: &Service) -> String {
        let name = match metric.service_identifier.unwrap_or(self.config.service_identifier_default) {
            ServiceIdentifier::ServiceId => Some(&*service.id_text),
            ServiceIdentifier::ServiceName => service.name.as_deref(),
            ServiceIdentifier::ServiceHost => Some(&*service.host),
            ServiceIdentifier::ServiceNameOrHost => Some(name_or_host(service)),
        };
        name.map_or_else(|| "unnamed".to_owned(), |name| name.replace('.', "_"))
    }

    fn workspace(&self, metric: &Metric, x: &Exchange) -> String {
        match metric.workspace_identifier.unwrap_or(self.config.workspace_identifier_default) {
            WorkspaceIdentifier::WorkspaceId => x.workspace.to_string(),
            WorkspaceIdentifier::WorkspaceName => x.workspace_name().to_owned(),
        }
    }

    fn consumer(&self, metric: &Metric, x: &Exchange) -> Option<String> {
        let naming = metric.consumer_identifier.unwrap_or(self.config.consumer_identifier_default);
        x.consumer.as_deref().and_then(|consumer| naming.of(consumer))
    }

    /// Name below the prefix, and value; `None` if there is nothing to send.
    fn measured(&self, metric: &Metric, x: &Exchange, figures: &LatencyFigures) -> Option<(String, String)> {
        let scope = || {
            x.service()
                .map_or_else(|| "global.unmatched".to_owned(), |s| format!("service.{}", self.service(metric, s)))
        };
        let status = x.response.status;
        let one = || "1".to_owned();
        let user = || self.consumer(metric, x);
        Some(match metric.name {
            MetricName::RequestCount => (format!("{}.request.count", scope()), one()),
            MetricName::RequestSize => (format!("{}.request.size", scope()), x.request_bytes.to_string()),
            MetricName::ResponseSize => (format!("{}.response.size", scope()), x.response_bytes.to_string()),
            MetricName::Latency => (format!("{}.latency", scope()), figures.request.to_string()),
            MetricName::UpstreamLatency => (format!("{}.upstream_latency", scope()), figures.proxy?.to_string()),
            MetricName::KongLatency => (format!("{}.kong_latency", scope()), figures.kong.to_string()),
            MetricName::StatusCount => (format!("{}.status.{status}", scope()), one()),
            MetricName::StatusCountPerWorkspace => {
                (format!("{}.workspace.{}.status.{status}", scope(), self.workspace(metric, x)), one())
            }
            MetricName::UniqueUsers => (format!("{}.user.uniques", scope()), user()?),
            MetricName::RequestPerUser => (format!("{}.user.{}.request.count", scope(), user()?), one()),
            MetricName::StatusCountPerUser => (format!("{}.user.{}.status.{status}", scope(), user()?), one()),
            MetricName::StatusCountPerUserPerRoute => {
                (format!("route.{}.user.{}.status.{status}", x.route()?.id_text, user()?), one())
            }
            // Not of an exchange.
            MetricName::ShdictUsage => return None,
        })
    }

    fn prefix(&self, host: &Host) -> String {
        let prefix = &self.config.prefix;
        match self.config.hostname_in_prefix {
            true => format!("{prefix}.node.{}", hostname(host)),
            false => prefix.clone(),
        }
    }

    /// Sizes of the shared dictionaries of Lua: once a minute, as they are the node's and no exchange's.
    fn dictionaries(&self, lines: &mut Vec<String>, host: &Host) {
        let metric = |metric: &&Metric| metric.name == MetricName::ShdictUsage;
        let Some(metric) = self.config.metrics.iter().find(metric) else { return };
        let (now, told) = (host.clock.monotonic_ns(), self.dictionaries_told.load(Ordering::Relaxed));
        if told != 0 && now.saturating_sub(told) < DICTIONARIES_EVERY_NS
            || self.dictionaries_told.compare_exchange(told, now.max(1), Ordering::Relaxed, Ordering::Relaxed).is_err()
        {
            return;
        }
        let snapshot = host.metrics.engine_snapshot();
        let dictionaries = snapshot.get("dictionaries").and_then(Value::as_object);
        for (dictionary, sizes) in dictionaries.into_iter().flatten() {
            for size in ["free_space", "capacity"] {
                let value = sizes.get(size).and_then(Value::as_u64).unwrap_or(0);
                let tags = [("node", hostname(host)), ("shdict", dictionary.clone())];
                lines.push(match self.config.tag_style {
                    Some(style) => self.with_tags(style, metric, &format!("shdict.{size}"), value, &tags),
                    None => {
                        let node =
                            if self.config.hostname_in_prefix { "" } else { &format!("node.{}.", hostname(host)) };
                        let mut line = format!("{}.{node}shdict.{dictionary}.{size}:{value}|g", self.prefix(host));
                        append_rate(&mut line, metric);
                        line
                    }
                });
            }
        }
    }

    /// Plain names: everything is part of the name.
    fn plain(&self, lines: &mut Vec<String>, x: &Exchange, host: &Host, figures: &LatencyFigures) {
        for metric in self.config.metrics.iter().filter(|metric| self.is_sampled(metric)) {
            let Some((name, value)) = self.measured(metric, x, figures) else { continue };
            let mut line = self.prefix(host);
            let _ = write!(line, ".{name}:{value}|{}", mark(metric));
            append_rate(&mut line, metric);
            lines.push(line);
        }
    }

    /// Short names with tags; what only counts users or statuses is in the tags of the others.
    fn tagged(&self, style: TagStyle, lines: &mut Vec<String>, x: &Exchange, host: &Host, figures: &LatencyFigures) {
        for metric in self.config.metrics.iter().filter(|metric| self.is_sampled(metric)) {
            let (name, value) = match metric.name {
                MetricName::RequestCount => ("request.count", 1),
                MetricName::RequestSize => ("request.size", x.request_bytes),
                MetricName::ResponseSize => ("response.size", x.response_bytes),
                MetricName::Latency => ("latency", figures.request),
                MetricName::UpstreamLatency => match figures.proxy {
                    Some(proxy) => ("upstream_latency", proxy),
                    None => continue,
                },
                MetricName::KongLatency => ("kong_latency", figures.kong),
                _ => continue,
            };
            let mut tags = Vec::with_capacity(6);
            if let Some(service) = x.service() {
                tags.push(("service", self.service(metric, service)));
            }
            if let Some(route) = x.route() {
                tags.push(("route", route.name.as_deref().unwrap_or(&route.id_text).to_owned()));
            }
            tags.push(("workspace", self.workspace(metric, x)));
            if let Some(consumer) = self.consumer(metric, x) {
                tags.push(("consumer", consumer));
            }
            tags.push(("node", hostname(host)));
            tags.push(("status", x.response.status.to_string()));
            lines.push(self.with_tags(style, metric, name, value, &tags));
        }
    }

    fn with_tags(&self, style: TagStyle, metric: &Metric, name: &str, value: u64, tags: &[(&str, String)]) -> String {
        let join = |between: char| {
            let parts: Vec<String> = tags.iter().map(|(tag, value)| format!("{tag}{between}{value}")).collect();
            parts.join(",")
        };
        let (prefix, mark) = (&self.config.prefix, mark(metric));
        let mut line = match style {
            TagStyle::Dogstatsd => format!("{prefix}.{name}:{value}|{mark}"),
            TagStyle::Influxdb => format!("{prefix}.{name},{}:{value}|{mark}", join('=')),
            TagStyle::Librato => format!("{prefix}.{name}#{}:{value}|{mark}", join('=')),
            TagStyle::Signalfx => format!("{prefix}.{name}[{}]:{value}|{mark}", join('=')),
        };
        append_rate(&mut line, metric);
        if style == TagStyle::Dogstatsd {
            let _ = write!(line, "|#{}", join(':'));
        }
        line
    }
}

/// The type of a line. What counts users and statuses has its own, whatever the setting says.
fn mark(metric: &Metric) -> &'static str {
    match metric.name {
        MetricName::UniqueUsers => "s",
        MetricName::ShdictUsage => "g",
        MetricName::RequestPerUser
        | MetricName::StatusCount
        | MetricName::StatusCountPerUser
        | MetricName::StatusCountPerWorkspace
        | MetricName::StatusCountPerUserPerRoute => "c",
        _ => metric.stat_type.mark(),
    }
}

/// The node's name; a dot would begin another part of the metric's.
fn hostname(host: &Host) -> String {
    host.node.hostname.replace('.', "_")
}

fn append_rate(line: &mut String, metric: &Metric) {
    if let Some(rate) = metric.sample_rate.filter(|rate| *rate < 1.0) {
        // Writing to a String cannot fail.
        let _ = write!(line, "|@{rate}");
    }
}

impl Handler for Statsd {
    fn log(&self, x: &mut Exchange, host: &Host) {
        let status = x.response.status;
        if self.allowed.as_ref().is_some_and(|ranges| !ranges.iter().any(|range| range.contains(&status))) {
            return;
        }
        let figures = LatencyFigures::of(x);
        let mut lines = Vec::with_capacity(self.config.metrics.len());
        match self.config.tag_style {
            Some(style) => self.tagged(style, &mut lines, x, host, &figures),
            None => self.plain(&mut lines, x, host, &figures),
        }
        self.dictionaries(&mut lines, host);
        if !lines.is_empty() {
            self.queue.push(lines.join("\n").into());
        }
    }
}

struct Lines {
    line: Line,
    tcp: bool,
    /// Bytes per datagram; 0 sends each line by itself.
    together: usize,
}

impl Deliver for Lines {
    fn deliver<'a>(&'a self, batch: &'a [QueueEntry]) -> SendFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let lines = batch.iter().flat_map(|entry| entry.split(|byte| *byte == b'\n'));
            let packets: Vec<Vec<u8>> = if self.tcp {
                lines.map(|line| [line, b"\n"].concat()).collect()
            } else {
                packets(lines, self.together)
            };
            let parts: Vec<&[u8]> = packets.iter().map(Vec::as_slice).collect();
            self.line.send(&parts).await
        })
    }
}

/// As many lines per packet as fit.
pub fn packets<'a>(lines: impl Iterator<Item = &'a [u8]>, size: usize) -> Vec<Vec<u8>> {
    let mut packets: Vec<Vec<u8>> = Vec::new();
    for line in lines {
        match packets.last_mut() {
            Some(last) if last.len() + 1 + line.len() <= size => {
                last.push(b'\n');
                last.extend_from_slice(line);
            }
            _ => packets.push(line.to_vec()),
        }
    }
    packets
}
