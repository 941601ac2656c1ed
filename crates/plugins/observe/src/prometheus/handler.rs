//! Counts in the log phase. All instances of a node count into one table.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use gibbon_pdk::{Build, BuildError, Exchange, Exporter, Handler, Host, LatencyFigures};

use super::config::Config;
use super::figures::{Figures, Series};

pub struct Counting {
    config: Config,
    figures: Arc<Figures>,
}

impl Counting {
    pub fn new(config: Config, build: &Build<'_>) -> Result<Self, BuildError> {
        let figures = build.shared("prometheus", Figures::default);
        if config.upstream_health_metrics {
            figures.upstream_health.store(true, Ordering::Relaxed);
        }
        let exporter: Weak<dyn Exporter> = Arc::downgrade(&(Arc::clone(&figures) as Arc<dyn Exporter>));
        build.metrics.register(exporter);
        Ok(Counting { config, figures })
    }
}

impl Handler for Counting {
    fn log(&self, x: &mut Exchange, _: &Host) {
        // Kong does not count what matched no route.
        let Some(matched) = &x.matched else { return };
        let consumer = x.consumer.as_deref().filter(|_| self.config.per_consumer);
        if self.config.ai_metrics {
            self.figures.models.count(x);
        }
        let series = Series::of(matched);
        let mut shard = self.figures.own_shard();
        let is_stream = x.is_stream();
        if self.config.latency_metrics {
            shard.latencies(&series).add(&LatencyFigures::of(x), is_stream);
        }
        if self.config.status_code_metrics {
            let (status, source) = (x.response.status, x.response_source);
            match is_stream {
                true => *shard.sessions(&series, status, source) += 1,
                false => *shard.requests(&series, consumer, status, source) += 1,
            }
        }
        if self.config.bandwidth_metrics {
            let bytes = shard.bandwidth(&series, consumer);
            bytes.0 += x.request_bytes;
            bytes.1 += x.response_bytes;
        }
    }
}
