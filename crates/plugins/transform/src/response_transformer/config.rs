//! Settings of response-transformer. Values are literal.

use gibbon_schema::Schema;

use crate::pair;

/// What is changed, in this order: remove, rename, replace, add, append.
#[derive(Schema, Debug)]
pub struct Config {
    /// What is taken away.
    pub remove: Names,
    /// What gets another name: `old:new`.
    pub rename: Renames,
    /// What gets another value if it is there: `name:value`.
    pub replace: Values,
    /// What is set if it is absent: `name:value`.
    pub add: Values,
    /// What is set beside what is there: `name:value`.
    pub append: Values,
}

/// Names in body and head.
#[derive(Schema, Debug)]
pub struct Names {
    /// Names at the top level of a JSON body.
    #[schema(required, default = [])]
    pub json: Vec<String>,
    /// Names of headers; `name:value` removes that value alone.
    #[schema(required, default = [])]
    pub headers: Vec<String>,
}

/// New names.
#[derive(Schema, Debug)]
pub struct Renames {
    /// For a JSON body.
    #[schema(required, default = [], elements(matches = "^[^:]+:.*$"))]
    pub json: Vec<String>,
    /// For headers.
    #[schema(required, default = [], elements(matches = "^[^:]+:.*$", custom = pair::check_renamed_header))]
    pub headers: Vec<String>,
}

/// Values.
#[derive(Schema, Debug)]
pub struct Values {
    /// For a JSON body.
    #[schema(required, default = [], elements(matches = "^[^:]+:.*$"))]
    pub json: Vec<String>,
    /// Types of the values of `json`, in its order; a string where none is named.
    #[schema(required, default = [], elements(one_of("boolean", "number", "string")))]
    pub json_types: Vec<String>,
    /// For headers.
    #[schema(required, default = [], elements(matches = "^[^:]+:.*$"))]
    pub headers: Vec<String>,
}
