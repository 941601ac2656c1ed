//! Settings of ai-rate-limiting-advanced.

use gibbon_schema::{Schema, checks, typedefs};

use crate::config::{LlmFormat, Redis};
use crate::matching::Subject;

/// Limits by provider, or policies; who they hold for; where counts lie.
#[derive(Schema, Debug)]
#[schema(check = checks::mutually_exclusive(&["llm_providers", "policies"]))]
#[allow(
    dead_code,
    reason = "names of dictionaries and rates of reconciliation are accepted for what others do with them"
)]
pub struct Config {
    /// Limits by provider.
    pub llm_providers: Option<Vec<Provider>>,
    /// Limits by what is asked for, and by whom.
    pub policies: Option<Vec<Policy>>,
    /// Who is told apart.
    #[schema(default = "consumer")]
    pub identifier: Identifier,
    /// The header of `identifier: header`.
    #[schema(custom = typedefs::check_header_name)]
    pub header_name: Option<String>,
    /// The path of `identifier: path`.
    #[schema(typedef = typedefs::path(), optional)]
    pub path: Option<String>,
    /// Where counts lie.
    #[schema(default = "local")]
    pub strategy: Strategy,
    /// The server of `strategy: redis`.
    #[schema(required)]
    pub redis: Redis,
    /// The name that configurations share which count together.
    pub namespace: Option<String>,
    /// How windows follow each other.
    #[schema(default = "sliding")]
    pub window_type: WindowType,
    /// What is counted.
    #[schema(default = "total_tokens")]
    pub tokens_count_strategy: Count,
    /// Seconds between two reconciliations with Redis; counts are read there with each request.
    pub sync_rate: Option<f64>,
    /// Name of the table of the node's counts.
    #[schema(default = "kong_rate_limiting_counters")]
    pub dictionary_name: String,
    /// Whether refused requests leave counts alone; they use no tokens.
    #[schema(default = false)]
    pub disable_penalty: bool,
    /// Whether Redis may hold fractions.
    #[schema(default = false)]
    pub decrease_by_fractions_in_redis: bool,
    /// Whether clients are not told of limits.
    #[schema(default = false)]
    pub hide_client_headers: bool,
    /// Status of a refusal.
    #[schema(default = 429)]
    pub error_code: f64,
    /// Begin of its message.
    #[schema(default = "AI token rate limit exceeded for provider(s): ")]
    pub error_message: String,
    /// Whether the message names no providers.
    #[schema(default = false)]
    pub error_hide_providers: bool,
    /// The largest number of seconds, by chance, that is added to `Retry-After`.
    #[schema(default = 0)]
    pub retry_after_jitter_max: f64,
    /// A function of one's own that counts prompts, in Lua: not available.
    pub request_prompt_count_function: Option<String>,
    /// A function of one's own that counts costs, in Lua: not available.
    pub custom_cost_count_function: Option<String>,
    /// What clients speak; nothing depends on it.
    pub llm_format: Option<LlmFormat>,
    /// Whether an estimate is taken before the call and put right after it, so that calls that run at once cannot use
    /// more together than is left.
    #[schema(ours)]
    pub reserve: Option<bool>,
}

/// Limits of a provider.
#[derive(Schema, Debug)]
pub struct Provider {
    /// The provider.
    #[schema(one_of(
        "anthropic",
        "azure",
        "bedrock",
        "cohere",
        "customCost",
        "gemini",
        "huggingface",
        "llama2",
        "mistral",
        "openai",
        "requestPrompt"
    ))]
    pub name: String,
    /// How much, per window.
    #[schema(required)]
    pub limit: Vec<f64>,
    /// Seconds, per limit.
    #[schema(required)]
    pub window_size: Vec<f64>,
}

/// Limits of what matches.
#[derive(Schema, Debug)]
#[allow(dead_code, reason = "ids name shared policies, which are refused so far")]
pub struct Policy {
    /// A policy kept elsewhere.
    pub id: Option<String>,
    /// What must hold; nothing makes it the policy of whatever no other matches.
    pub r#match: Option<Vec<Condition>>,
    /// The limits.
    #[schema(len_min = 1)]
    pub limits: Option<Vec<Limit>>,
    /// How windows follow each other.
    #[schema(default = "sliding")]
    pub window_type: WindowType,
    /// What happens to requests above a limit: refused (as when unset), or let through with a warning.
    #[schema(ours)]
    pub on_limit: Option<OnLimit>,
}

/// A condition of a policy.
#[derive(Schema, Debug, Clone)]
pub struct Condition {
    /// What is looked at.
    pub r#type: Subject,
    /// The header's name.
    pub key: Option<String>,
    /// What it may be; anything if there are none.
    pub values: Option<Vec<String>>,
    /// Whether each value has counts of its own.
    #[schema(default = false)]
    pub partition_by: bool,
}

/// A limit of a policy.
#[derive(Schema, Debug)]
pub struct Limit {
    /// How much.
    pub limit: f64,
    /// Seconds.
    pub window_size: u64,
    /// What is counted.
    #[schema(default = "total_tokens")]
    pub tokens_count_strategy: Count,
    /// A day or a month of the calendar (UTC) in place of `window_size`.
    #[schema(ours)]
    pub period: Option<Calendar>,
}

/// A period of the calendar.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calendar {
    Day,
    Month,
}

/// Who is told apart.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identifier {
    Ip,
    Credential,
    Consumer,
    Service,
    Header,
    Path,
    #[schema(name = "consumer-group")]
    ConsumerGroup,
}

/// Where counts lie.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    Cluster,
    Redis,
    Local,
}

/// How windows follow each other.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowType {
    Fixed,
    Sliding,
}

/// What is counted.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    TotalTokens,
    PromptTokens,
    CompletionTokens,
    Cost,
}

/// What happens to requests above a limit.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnLimit {
    Reject,
    Warn,
}
