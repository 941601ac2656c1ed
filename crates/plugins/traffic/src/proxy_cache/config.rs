//! Settings of proxy-cache.

use gibbon_schema::Schema;

/// Which answers are kept, for whom and for how long.
#[derive(Schema, Debug)]
pub struct Config {
    /// Statuses of answers that are kept.
    #[schema(required, default = [200, 301, 404], len_min = 1, elements(between(100, 900)))]
    pub response_code: Vec<u16>,
    /// Methods of requests whose answers are kept.
    #[schema(required, default = ["GET", "HEAD"], elements(one_of("HEAD", "GET", "POST", "PATCH", "PUT")))]
    pub request_method: Vec<String>,
    /// Media types of answers that are kept; `*` stands for any type or subtype. Parameters must be the same.
    #[schema(required, default = ["text/plain", "application/json"])]
    pub content_type: Vec<String>,
    /// Seconds that an answer is given again.
    #[schema(default = 300, gt = 0)]
    pub cache_ttl: i64,
    /// Where answers are kept.
    #[schema(required)]
    pub strategy: Strategy,
    /// Whether Cache-Control of requests and answers is obeyed.
    #[schema(required, default = false)]
    pub cache_control: bool,
    /// Whether paths that differ in case are alike.
    #[schema(default = false, optional)]
    pub ignore_uri_case: bool,
    /// Seconds that an answer is kept, if longer than it is given again.
    pub storage_ttl: Option<i64>,
    /// Settings of the memory.
    pub memory: Memory,
    /// Query arguments that tell requests apart; all when unset.
    pub vary_query_params: Option<Vec<String>>,
    /// Headers that tell requests apart; none when unset.
    pub vary_headers: Option<Vec<String>>,
    /// Which headers tell clients of the cache.
    pub response_headers: ResponseHeaders,
}

/// Where answers are kept.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    Memory,
}

/// Settings of the memory.
#[derive(Schema, Debug)]
pub struct Memory {
    /// Its name; configurations with the same name share it.
    #[schema(required, default = "kong_db_cache")]
    pub dictionary_name: String,
}

/// Headers that tell clients of the cache. A request with a `Kong-Debug` header gets them all.
#[derive(Schema, Debug)]
pub struct ResponseHeaders {
    /// Seconds since the answer came from the upstream.
    #[schema(default = true)]
    pub age: bool,
    /// `Hit`, `Miss`, `Refresh` or `Bypass`.
    #[schema(name = "X-Cache-Status", default = true)]
    pub status: bool,
    /// The key under which the answer is kept.
    #[schema(name = "X-Cache-Key", default = true)]
    pub key: bool,
}
