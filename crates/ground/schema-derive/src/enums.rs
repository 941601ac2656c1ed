//! Enums of unit variants become texts that are one of a few.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DataEnum, DeriveInput, Fields, Ident};

use crate::attributes;

pub fn expand(input: &DeriveInput, data: &DataEnum) -> syn::Result<TokenStream> {
    let ident = &input.ident;
    let mut variants: Vec<(&Ident, String)> = Vec::new();
    for variant in &data.variants {
        if !matches!(variant.fields, Fields::Unit) {
            return Err(syn::Error::new_spanned(variant, "variants of a schema carry no data"));
        }
        let mut name = snake_case(&variant.ident.to_string());
        for item in attributes::items(&variant.attrs)? {
            if !item.is("name") {
                return Err(syn::Error::new_spanned(&item.name, "variants only take `name = \"…\"`"));
            }
            name = item.text()?;
        }
        variants.push((&variant.ident, name));
    }
    let names: Vec<&String> = variants.iter().map(|(_, name)| name).collect();
    let idents: Vec<&Ident> = variants.iter().map(|(variant, _)| *variant).collect();
    let expected = format!("expected one of: {}", names.iter().map(|n| n.as_str()).collect::<Vec<_>>().join(", "));
    Ok(quote! {
        #[automatically_derived]
        impl #ident {
            /// The text that stands for this value in configurations.
            #[allow(dead_code)]
            pub fn as_str(&self) -> &'static str {
                match self {
                    #(Self::#idents => #names),*
                }
            }
        }

        #[automatically_derived]
        impl ::gibbon_schema::SchemaType for #ident {
            fn field() -> ::gibbon_schema::Field {
                ::gibbon_schema::Field::string().one_of([#(#names),*])
            }

            fn decode(
                value: &::gibbon_schema::serde_json::Value,
            ) -> ::core::result::Result<Self, ::gibbon_schema::DecodeError> {
                match value.as_str() {
                    #(::core::option::Option::Some(#names) => ::core::result::Result::Ok(Self::#idents),)*
                    _ => ::core::result::Result::Err(::gibbon_schema::DecodeError::new(#expected)),
                }
            }
        }
    })
}

fn snake_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    for (index, c) in name.chars().enumerate() {
        if c.is_uppercase() && index > 0 {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}
