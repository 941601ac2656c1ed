//! Structs become records.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DataStruct, DeriveInput, Fields, ext::IdentExt as _};

use crate::attributes::{self, Item};

pub fn expand(input: &DeriveInput, data: &DataStruct) -> syn::Result<TokenStream> {
    let ident = &input.ident;
    let Fields::Named(fields) = &data.fields else {
        return Err(syn::Error::new_spanned(ident, "only structs with named fields have a schema"));
    };
    let container = Container::read(&attributes::items(&input.attrs)?)?;
    let mut describe = Vec::new();
    let mut decode = Vec::new();
    for field in &fields.named {
        let Some(member) = &field.ident else { continue };
        if attributes::items(&field.attrs)?.iter().any(|item| item.is("flatten")) {
            let ty = &field.ty;
            describe.push(quote! { .with(<#ty as ::gibbon_schema::Schema>::record()) });
            decode.push(quote! { #member: <#ty as ::gibbon_schema::Schema>::from_value(document)? });
            continue;
        }
        let described = Described::read(member, field)?;
        let (name, ty, start, calls) = (&described.name, &field.ty, &described.start, &described.calls);
        let required = described.implied_requirement(ty);
        let doc = described.description();
        describe.push(quote! { .field(#name, (#start) #(#calls)* #required #doc) });
        let default = &described.default;
        decode.push(quote! { #member: ::gibbon_schema::decode_field::<#ty>(&fields, #name, #default)? });
    }
    let Container { checks, plugin_checks, shorthands, custom } = container;
    let (generics, type_generics, bounds) = input.generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #generics ::gibbon_schema::Schema for #ident #type_generics #bounds {
            fn record() -> ::gibbon_schema::Record {
                #[allow(unused_mut)]
                let mut record = ::gibbon_schema::Record::new() #(#describe)* #(.check(#checks))* #(.plugin_check(#plugin_checks))* #custom;
                #(record.shorthands.extend(#shorthands());)*
                record
            }

            fn from_value(
                document: &::gibbon_schema::serde_json::Value,
            ) -> ::core::result::Result<Self, ::gibbon_schema::DecodeError> {
                #[allow(unused_variables)]
                let fields = ::gibbon_schema::record_fields(document)?;
                ::core::result::Result::Ok(Self { #(#decode),* })
            }
        }

        #[automatically_derived]
        impl #generics ::gibbon_schema::SchemaType for #ident #type_generics #bounds {
            fn field() -> ::gibbon_schema::Field {
                ::gibbon_schema::Field::record(<Self as ::gibbon_schema::Schema>::record())
            }

            fn decode(
                value: &::gibbon_schema::serde_json::Value,
            ) -> ::core::result::Result<Self, ::gibbon_schema::DecodeError> {
                <Self as ::gibbon_schema::Schema>::from_value(value)
            }

            fn absent() -> ::core::option::Option<Self> {
                <Self as ::gibbon_schema::Schema>::from_value(&::gibbon_schema::serde_json::Value::Null).ok()
            }

            fn needs_value() -> bool {
                false
            }
        }
    })
}

/// What the attributes of a struct say.
#[derive(Default)]
struct Container {
    checks: Vec<TokenStream>,
    plugin_checks: Vec<TokenStream>,
    shorthands: Vec<TokenStream>,
    custom: Option<TokenStream>,
}

impl Container {
    fn read(items: &[Item]) -> syn::Result<Self> {
        let mut container = Container::default();
        for item in items {
            let value = item.value()?;
            let tokens = quote!(#value);
            match item.name.to_string().as_str() {
                "check" => container.checks.push(tokens),
                "plugin_check" => container.plugin_checks.push(tokens),
                "shorthands" => container.shorthands.push(tokens),
                "custom" => {
                    let label = tokens.to_string().replace(' ', "");
                    container.custom = Some(quote!(.custom(::gibbon_schema::Validator::new(#label, #tokens))));
                }
                other => {
                    return Err(syn::Error::new_spanned(&item.name, format!("`{other}` is no attribute of a struct")));
                }
            }
        }
        Ok(container)
    }
}

/// What the attributes of a field say.
struct Described {
    name: String,
    start: TokenStream,
    calls: Vec<TokenStream>,
    default: TokenStream,
    /// Says by itself whether a value is needed.
    explicit: bool,
    doc: Option<String>,
}

impl Described {
    fn read(member: &syn::Ident, field: &syn::Field) -> syn::Result<Self> {
        let ty = &field.ty;
        let mut described = Described {
            name: member.unraw().to_string(),
            start: quote!(<#ty as ::gibbon_schema::SchemaType>::field()),
            calls: Vec::new(),
            default: quote!(::core::option::Option::None),
            explicit: false,
            doc: attributes::description(&field.attrs),
        };
        for item in attributes::items(&field.attrs)? {
            described.explicit |= ["default", "required", "optional", "auto", "eq_null"].iter().any(|n| item.is(n));
            if item.is("name") {
                described.name = item.text()?;
                continue;
            }
            if item.is("typedef") {
                let start = item.value()?;
                described.start = quote!(#start);
                continue;
            }
            if item.is("default") {
                let value = item.value()?;
                described.default = quote!(::core::option::Option::Some(::gibbon_schema::serde_json::json!(#value)));
            }
            described.calls.push(attributes::call(&item)?);
        }
        Ok(described)
    }

    /// A value that Rust cannot do without is required by the schema too.
    fn implied_requirement(&self, ty: &syn::Type) -> TokenStream {
        if self.explicit {
            return TokenStream::new();
        }
        quote!(.required_if(<#ty as ::gibbon_schema::SchemaType>::needs_value()))
    }

    fn description(&self) -> TokenStream {
        self.doc.as_ref().map_or_else(TokenStream::new, |doc| quote!(.description(#doc)))
    }
}
