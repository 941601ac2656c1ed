//! Settings of ai-proxy-advanced.

use gibbon_schema::Schema;

use crate::config::{Embeddings, Target, VectorDb};
use crate::matching::Subject;

/// Targets, and how they are chosen. What clients may do stands beside them.
#[derive(Schema, Debug)]
#[allow(dead_code, reason = "choosing by meaning is still to come; the category only describes the route type")]
pub struct Config {
    /// The models.
    #[schema(required)]
    pub targets: Vec<Target>,
    /// How one of them is chosen.
    #[schema(required)]
    pub balancer: Balancer,
    /// Who may ask for what.
    #[schema(optional)]
    pub acls: Option<Acls>,
    /// Who makes embeddings, for choosing by meaning.
    #[schema(optional)]
    pub embeddings: Option<Embeddings>,
    /// Where they are kept.
    #[schema(optional)]
    pub vectordb: Option<VectorDb>,
    /// What kind of content the route is for.
    #[schema(
        default = "text/generation",
        one_of(
            "text/generation",
            "text/embeddings",
            "audio/speech",
            "audio/transcription",
            "image/generation",
            "video/generation",
            "realtime/generation"
        )
    )]
    pub genai_category: String,
}

/// How a target is chosen, and what becomes of a try that failed.
#[derive(Schema, Debug, Clone)]
#[allow(dead_code, reason = "a ring has as many places as it needs")]
pub struct Balancer {
    /// How a target is chosen.
    #[schema(default = "round-robin")]
    pub algorithm: Algorithm,
    /// What `lowest-usage` counts.
    #[schema(default = "total-tokens")]
    pub tokens_count_strategy: Count,
    /// What `lowest-latency` measures: the whole answer, or the time per token of it.
    #[schema(default = "tpot")]
    pub latency_strategy: LatencyStrategy,
    /// The header that `consistent-hashing` reads.
    #[schema(default = "X-Kong-LLM-Request-ID")]
    pub hash_on_header: String,
    /// Places of the ring.
    #[schema(default = 10000, between(10, 65536))]
    pub slots: u32,
    /// Tries after the first.
    #[schema(default = 5, between(0, 32767))]
    pub retries: u16,
    /// Milliseconds to wait for a connection.
    #[schema(default = 60000, between(1, 2_147_483_646))]
    pub connect_timeout: u32,
    /// Milliseconds between two writes.
    #[schema(default = 60000, between(1, 2_147_483_646))]
    pub write_timeout: u32,
    /// Milliseconds between two reads.
    #[schema(default = 60000, between(1, 2_147_483_646))]
    pub read_timeout: u32,
    /// After what another target is tried. What the provider may have seen is sent again only with `non_idempotent`.
    #[schema(default = ["error", "timeout"])]
    pub failover_criteria: Vec<Criterion>,
    /// Failures after which a target is left alone; 0 never.
    #[schema(default = 0, between(0, 32767))]
    pub max_fails: u16,
    /// For how many milliseconds.
    #[schema(default = 10000, between(1, 2_147_483_646))]
    pub fail_timeout: u32,
}

/// How a target is chosen.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    #[schema(name = "round-robin")]
    RoundRobin,
    #[schema(name = "lowest-latency")]
    LowestLatency,
    #[schema(name = "lowest-usage")]
    LowestUsage,
    #[schema(name = "consistent-hashing")]
    ConsistentHashing,
    #[schema(name = "semantic")]
    Semantic,
    #[schema(name = "priority")]
    Priority,
    #[schema(name = "least-connections")]
    LeastConnections,
}

/// What usage is counted in.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    #[schema(name = "total-tokens")]
    Total,
    #[schema(name = "prompt-tokens")]
    Prompt,
    #[schema(name = "completion-tokens")]
    Completion,
    #[schema(name = "cost")]
    Cost,
    #[schema(name = "llm-accuracy")]
    Accuracy,
}

/// What latency is measured in.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum LatencyStrategy {
    Tpot,
    E2e,
}

/// After what another target is tried.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Criterion {
    Error,
    Timeout,
    InvalidHeader,
    #[schema(name = "http_500")]
    Http500,
    #[schema(name = "http_502")]
    Http502,
    #[schema(name = "http_503")]
    Http503,
    #[schema(name = "http_504")]
    Http504,
    #[schema(name = "http_403")]
    Http403,
    #[schema(name = "http_404")]
    Http404,
    #[schema(name = "http_429")]
    Http429,
    NonIdempotent,
}

impl Criterion {
    /// The criterion of a status.
    pub fn of_status(status: u16) -> Option<Self> {
        Some(match status {
            403 => Criterion::Http403,
            404 => Criterion::Http404,
            429 => Criterion::Http429,
            500 => Criterion::Http500,
            502 => Criterion::Http502,
            // Providers say that they are overloaded in a number of their own, too.
            503 | 529 => Criterion::Http503,
            504 => Criterion::Http504,
            _ => return None,
        })
    }
}

/// Who may ask for what: what is denied is denied, then what is allowed is allowed.
#[derive(Schema, Debug, Clone)]
pub struct Acls {
    /// If there are any, one of them must hold.
    #[schema(len_min = 1)]
    pub allow: Option<Vec<Rule>>,
    /// None of them may hold.
    #[schema(len_min = 1)]
    pub deny: Option<Vec<Rule>>,
}

/// Conditions that hold together.
#[derive(Schema, Debug, Clone)]
pub struct Rule {
    /// The conditions.
    #[schema(required, len_min = 1)]
    pub r#match: Vec<Condition>,
}

/// One condition.
#[derive(Schema, Debug, Clone)]
pub struct Condition {
    /// What is looked at.
    pub r#type: Subject,
    /// The header's name.
    pub key: Option<String>,
    /// What it may be.
    #[schema(required, len_min = 1)]
    pub values: Vec<String>,
}
