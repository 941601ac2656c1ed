//! Figures of calls to models: taken from the `ai` object that the plugins making them lay over the log entry, so that
//! this family need not know them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use gibbon_pdk::{Exchange, Exposition, FamilyKind, escape_label};
use serde_json::Value;

use super::figures::{Histogram, number};

/// Series: what is beyond is not counted, so that names that clients choose cannot fill the memory.
const SERIES: usize = 10_000;
const LATENCY_BUCKETS: [u64; 14] =
    [250, 500, 1000, 1500, 2000, 2500, 3000, 3500, 4000, 4500, 5000, 10_000, 30_000, 60_000];

/// All figures of a node, by labels.
#[derive(Default)]
pub struct ModelFigures(Mutex<BTreeMap<Labels, Figures>>);

/// Those of the model, and the workspace's, which comes last.
type Labels = (String, String);

#[derive(Default, Clone)]
struct Figures {
    requests: u64,
    cost: f64,
    prompt: u64,
    completion: u64,
    total: u64,
    latency: Histogram<14>,
}

impl ModelFigures {
    /// Counts the calls of an exchange.
    pub fn count(&self, x: &Exchange) {
        let makers = x
            .log_values
            .iter()
            .filter_map(|(path, _)| path.strip_prefix("ai.").and_then(|rest| rest.strip_suffix(".meta.provider_name")));
        for maker in makers {
            self.count_one(x, maker);
        }
    }

    fn count_one(&self, x: &Exchange, maker: &str) {
        let value = |name: &str| {
            let path = format!("ai.{maker}.{name}");
            x.log_values.iter().rev().find(|(p, _)| **p == *path).map(|(_, value)| value)
        };
        let text = |name: &str| value(name).and_then(Value::as_str).unwrap_or_default();
        let count = |name: &str| value(name).and_then(Value::as_u64).unwrap_or(0);
        let mut labels = String::new();
        for (name, text) in [
            ("ai_provider", text("meta.provider_name")),
            ("ai_model", text("meta.request_model")),
            ("cache_status", text("cache.cache_status")),
            ("vector_db", text("cache.vector_db")),
            ("embeddings_provider", text("cache.embeddings_provider")),
            ("embeddings_model", text("cache.embeddings_model")),
        ] {
            labels.push_str(name);
            labels.push_str("=\"");
            escape_label(&mut labels, text);
            labels.push_str("\",");
        }
        let mut workspace = String::from("workspace=\"");
        escape_label(&mut workspace, x.workspace_name());
        workspace.push('"');
        let labels = (labels, workspace);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= SERIES && !all.contains_key(&labels) {
            return;
        }
        let figures = all.entry(labels).or_default();
        figures.requests += 1;
        figures.cost += value("usage.cost").and_then(Value::as_f64).unwrap_or(0.0);
        figures.prompt += count("usage.prompt_tokens");
        figures.completion += count("usage.completion_tokens");
        figures.total += count("usage.total_tokens");
        let latency = count("meta.llm_latency");
        if latency > 0 {
            figures.latency.add(&LATENCY_BUCKETS, latency);
        }
    }

    /// Writes the families.
    pub fn export(&self, out: &mut Exposition) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if all.is_empty() {
            return;
        }
        let labels = |(series, workspace): &Labels| format!("{series}{workspace}");
        let name = "kong_ai_llm_cost_total";
        out.family(name, "AI requests cost per ai_provider/cache in Kong", FamilyKind::Counter);
        for (series, figures) in all.iter().filter(|(_, f)| f.cost > 0.0) {
            out.sample_with(name, &labels(series), figures.cost);
        }
        let name = "kong_ai_llm_provider_latency_ms";
        out.family(name, "AI latencies per ai_provider in Kong", FamilyKind::Histogram);
        for (series, figures) in all.iter().filter(|(_, f)| f.latency.count > 0) {
            figures.latency.write(out, name, &labels(series), &LATENCY_BUCKETS);
        }
        let name = "kong_ai_llm_requests_total";
        out.family(name, "AI requests total per ai_provider in Kong", FamilyKind::Counter);
        for (series, figures) in &all {
            out.sample_with(name, &labels(series), number(figures.requests));
        }
        let name = "kong_ai_llm_tokens_total";
        out.family(name, "AI tokens total per ai_provider/cache in Kong", FamilyKind::Counter);
        for (series, figures) in &all {
            let kinds = [
                ("completion_tokens", figures.completion),
                ("prompt_tokens", figures.prompt),
                ("total_tokens", figures.total),
            ];
            for (kind, count) in kinds.into_iter().filter(|(_, count)| *count > 0) {
                let labels = format!("{}token_type=\"{kind}\",{}", series.0, series.1);
                out.sample_with(name, &labels, number(count));
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn calls_are_counted_by_provider_and_model_from_the_log_values() {
        let mut x = Exchange::default();
        let mut add = |path: &str, value: Value| x.log_values.push((path.into(), value));
        add("ai.proxy.meta.provider_name", json!("openai"));
        add("ai.proxy.meta.request_model", json!("gpt\"x"));
        add("ai.proxy.usage.prompt_tokens", json!(11));
        add("ai.proxy.usage.total_tokens", json!(11));
        add("ai.proxy.usage.cost", json!(0.5));
        let figures = ModelFigures::default();
        figures.count(&x);
        figures.count(&x);
        figures.count(&Exchange::default());
        let mut out = Exposition::default();
        figures.export(&mut out);
        let text = out.into_text();
        let series = "ai_provider=\"openai\",ai_model=\"gpt\\\"x\",cache_status=\"\",vector_db=\"\",embeddings_provider=\"\",embeddings_model=\"\"";
        assert!(text.contains(&format!("kong_ai_llm_requests_total{{{series},workspace=\"default\"}} 2")), "{text}");
        assert!(text.contains(&format!(
            "kong_ai_llm_tokens_total{{{series},token_type=\"prompt_tokens\",workspace=\"default\"}} 22"
        )));
        assert!(text.contains(&format!("kong_ai_llm_cost_total{{{series},workspace=\"default\"}} 1")));
        assert!(!text.contains("completion_tokens"));
    }
}
