//! `derive(Schema)`: turns a configuration struct into a schema and back. The manual is the documentation of
//! `gibbon-schema`; here is only how attributes become calls of `Field`'s methods.

mod attributes;
mod enums;
mod structs;

use proc_macro::TokenStream;
use syn::{Data, DeriveInput, parse_macro_input};

/// Implements `gibbon_schema::Schema` (structs) and `gibbon_schema::SchemaType` (structs and unit enums).
#[proc_macro_derive(Schema, attributes(schema))]
pub fn derive_schema(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    let result = match &input.data {
        Data::Struct(data) => structs::expand(&input, data),
        Data::Enum(data) => enums::expand(&input, data),
        Data::Union(_) => Err(syn::Error::new_spanned(&input.ident, "unions have no schema")),
    };
    result.unwrap_or_else(|error| error.to_compile_error()).into()
}
