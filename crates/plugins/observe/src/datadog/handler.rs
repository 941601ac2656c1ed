//! The lines of an exchange are one entry of the queue; each leaves as a datagram.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use gibbon_pdk::{
    Build, BuildError, Deliver, DialTarget, Exchange, Handler, Host, LatencyFigures, Queue, QueueEntry, SendFuture,
};

use super::config::{Config, Metric, MetricName};
use crate::line::Line;
use crate::names::{ConsumerName, name_or_host};

/// For finding the agent.
const TIMEOUT: Duration = Duration::from_secs(1);

pub struct Datadog {
    config: Config,
    queue: Arc<dyn Queue>,
}

impl Datadog {
    pub fn new(config: Config, build: &Build<'_>) -> Result<Self, BuildError> {
        let variable = |name: &str| std::env::var(name).ok();
        let host = config.host.clone().or_else(|| variable("KONG_DATADOG_AGENT_HOST"));
        let port = config.port.or_else(|| variable("KONG_DATADOG_AGENT_PORT").and_then(|port| port.parse().ok()));
        let (host, port) = (host.unwrap_or_else(|| "localhost".to_owned()), port.unwrap_or(8125));
        let target = DialTarget::Udp { host, port };
        let line = Line::new(Arc::clone(&build.dial), Arc::clone(&build.clock), target, TIMEOUT);
        let settings = config
            .queue
            .settings(config.queue_size.map(|size| (size, 1)), config.flush_timeout.map(|delay| (delay, 2.0)));
        let queue = build.queue(settings, Arc::new(Lines(line)));
        Ok(Datadog { config, queue })
    }

    fn line(&self, metric: &Metric, x: &Exchange, figures: &LatencyFigures) -> Option<String> {
        let (name, value) = match metric.name {
            MetricName::RequestCount => ("request.count", 1),
            MetricName::RequestSize => ("request.size", x.request_bytes),
            MetricName::ResponseSize => ("response.size", x.response_bytes),
            MetricName::Latency => ("latency", figures.request),
            MetricName::UpstreamLatency => ("upstream_latency", figures.proxy?),
            MetricName::KongLatency => ("kong_latency", figures.kong),
        };
        let config = &self.config;
        let mut line = format!("{}.{name}:{value}|{}", config.prefix, metric.stat_type.mark());
        // Writing to a String cannot fail.
        if let Some(rate) = metric.sample_rate.filter(|rate| *rate < 1.0) {
            let _ = write!(line, "|@{rate}");
        }
        let service = x.service().map_or_else(String::new, |service| name_or_host(service).replace('.', "_"));
        let _ = write!(line, "|#{}:{service},{}:{}", config.service_name_tag, config.status_tag, x.response.status);
        if let Some((tag, route)) = config.route_name_tag.as_ref().zip(x.route()) {
            let name = route.name.as_deref().unwrap_or(&route.id_text);
            let _ = write!(line, ",{tag}:{}", name.replace('.', "_"));
        }
        let consumer = metric.consumer_identifier.zip(x.consumer.as_deref());
        if let Some(who) = consumer.and_then(|(naming, consumer)| naming.of(consumer)) {
            let by_id = metric.consumer_identifier == Some(ConsumerName::ConsumerId);
            let who = if by_id { who.replace('-', "_") } else { who };
            let _ = write!(line, ",{}:{who}", config.consumer_tag);
        }
        for tag in metric.tags.iter().flatten() {
            let _ = write!(line, ",{tag}");
        }
        Some(line)
    }
}

impl Handler for Datadog {
    fn log(&self, x: &mut Exchange, host: &Host) {
        let figures = LatencyFigures::of(x);
        let lines: Vec<String> = {
            let sampled = |metric: &&Metric| crate::ids::is_sampled(&*host.random, metric.sample_rate);
            self.config.metrics.iter().filter(sampled).filter_map(|m| self.line(m, x, &figures)).collect()
        };
        if !lines.is_empty() {
            self.queue.push(lines.join("\n").into());
        }
    }
}

struct Lines(Line);

impl Deliver for Lines {
    fn deliver<'a>(&'a self, batch: &'a [QueueEntry]) -> SendFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let parts: Vec<&[u8]> = batch.iter().flat_map(|entry| entry.split(|byte| *byte == b'\n')).collect();
            self.0.send(&parts).await
        })
    }
}
