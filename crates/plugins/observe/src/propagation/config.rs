//! The `propagation` record that tracing plugins share, and the older settings it replaced.

use gibbon_schema::{Deprecation, Field, Schema, typedefs};
use serde_json::json;

use super::{Format, Propagation};

/// What the older `header_type` may be.
pub const HEADER_TYPES: [&str; 11] =
    ["preserve", "ignore", "b3", "b3-single", "w3c", "jaeger", "ot", "aws", "gcp", "datadog", "instana"];

/// In which order the older settings look for a trace.
const OLD_ORDER: [Format; 8] =
    [Format::B3, Format::W3c, Format::Jaeger, Format::Ot, Format::Datadog, Format::Aws, Format::Gcp, Format::Instana];

/// How trace headers are read and written, in W3C's format where nothing says otherwise.
#[derive(Schema, Debug)]
pub struct W3cPropagation {
    /// Formats that are looked for in the request; the first that is found counts.
    #[schema(elements(one_of("w3c", "b3", "jaeger", "ot", "datadog", "aws", "gcp", "instana")))]
    pub extract: Option<Vec<String>>,
    /// Headers that are removed from the request.
    #[schema(elements(custom = typedefs::check_header_name))]
    pub clear: Option<Vec<String>>,
    /// Formats that are written; `preserve` is the one that was found, else the default.
    #[schema(elements(one_of(
        "preserve",
        "w3c",
        "b3",
        "b3-single",
        "jaeger",
        "ot",
        "datadog",
        "aws",
        "gcp",
        "instana"
    )))]
    pub inject: Option<Vec<String>>,
    /// The format for requests without a trace.
    #[schema(required, one_of("w3c", "b3", "b3-single", "jaeger", "ot", "datadog", "aws", "gcp", "instana"))]
    pub default_format: String,
}

/// The same, with B3 as the usual format.
#[derive(Schema, Debug)]
pub struct B3Propagation {
    /// Formats that are looked for in the request; the first that is found counts.
    #[schema(elements(one_of("aws", "gcp", "instana", "w3c", "b3", "jaeger", "ot", "datadog")))]
    pub extract: Option<Vec<String>>,
    /// Headers that are removed from the request.
    #[schema(elements(custom = typedefs::check_header_name))]
    pub clear: Option<Vec<String>>,
    /// Formats that are written; `preserve` is the one that was found, else the default.
    #[schema(elements(one_of(
        "preserve",
        "aws",
        "gcp",
        "instana",
        "w3c",
        "b3",
        "b3-single",
        "jaeger",
        "ot",
        "datadog"
    )))]
    pub inject: Option<Vec<String>>,
    /// The format for requests without a trace.
    #[schema(required, one_of("aws", "gcp", "instana", "w3c", "b3", "b3-single", "jaeger", "ot", "datadog"))]
    pub default_format: String,
}

/// `header_type`, or a field like it that `propagation` replaced.
pub fn plain_header_type(plugin: &str, field: &str, by: &str, old_default: &'static str) -> Field {
    let message = format!("{plugin}: config.{field} is deprecated, please use config.{by} instead");
    let deprecation = Deprecation {
        message: message.into(),
        removal_in_version: Some("4.0".into()),
        old_default: Some(json!(old_default)),
        ..Deprecation::default()
    };
    Field::string().default(old_default).deprecated(deprecation)
}

/// What the older settings say.
pub struct OldNames<'a> {
    pub header_type: Option<&'a str>,
    /// Counts where it differs from what it was by default.
    pub default_header_type: Option<&'a str>,
}

impl Propagation {
    /// Where more than the default format is set, the newer settings count alone.
    pub fn new(
        (extract, clear, inject): (&Option<Vec<String>>, &Option<Vec<String>>, &Option<Vec<String>>),
        default_format: &str,
        old: &OldNames<'_>,
    ) -> Self {
        let named = |names: &Option<Vec<String>>| -> Vec<Format> {
            names.iter().flatten().filter_map(|name| Format::named(name)).collect()
        };
        let default = old.default_header_type.unwrap_or(default_format);
        let default = Format::named(default).unwrap_or(Format::W3c);
        if extract.is_some() || clear.is_some() || inject.is_some() {
            return Propagation {
                extract: named(extract),
                clear: clear.clone().unwrap_or_default(),
                inject: inject.iter().flatten().map(|name| Format::named(name)).collect(),
                default: Format::named(default_format).unwrap_or(Format::W3c),
            };
        }
        let (extract, inject) = match old.header_type {
            None => (Vec::new(), Vec::new()),
            Some("ignore") => (Vec::new(), vec![Some(default)]),
            Some("preserve") => (OLD_ORDER.to_vec(), vec![None]),
            Some(other) => (OLD_ORDER.to_vec(), vec![None, Format::named(other)]),
        };
        Propagation { extract, clear: Vec::new(), inject, default }
    }
}
