//! Settings of ai-prompt-template.

use gibbon_schema::Schema;

/// The templates.
#[derive(Schema, Debug)]
pub struct Config {
    /// The templates.
    #[schema(required)]
    pub templates: Vec<Template>,
    /// Whether requests without a template pass.
    #[schema(required, default = true)]
    pub allow_untemplated_requests: bool,
    /// Whether the request as it came goes to the log.
    #[schema(required, default = false)]
    pub log_original_request: bool,
    /// The longest request in bytes; longer ones get 413.
    #[schema(default = 1_048_576, gt = 0)]
    pub max_request_body_size: u64,
}

/// A template.
#[derive(Schema, Debug)]
pub struct Template {
    /// What requests call it by.
    pub name: String,
    /// The whole request, with `{{places}}`.
    pub template: String,
}
