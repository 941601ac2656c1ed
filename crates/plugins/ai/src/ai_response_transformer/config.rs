//! Settings of ai-response-transformer beside those of the model and what it is told.

use gibbon_schema::Schema;

/// How the model's answer is read.
#[derive(Schema, Debug)]
pub struct Config {
    /// Whether the answer is JSON that says status, headers and body.
    #[schema(required, default = false)]
    pub parse_llm_response_json_instructions: bool,
}
