//! The attribute grammar: one item of `#[schema(…)]` becomes one method call on a `Field`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{
    Attribute, Expr, Ident, LitStr, Token,
    ext::IdentExt as _,
    parenthesized,
    parse::{Parse, ParseStream},
    punctuated::Punctuated,
};

/// `name`, `name = value` or `name(…)`.
pub struct Item {
    pub name: Ident,
    pub argument: Argument,
}

pub enum Argument {
    None,
    Value(Box<Expr>),
    List(TokenStream),
}

impl Parse for Item {
    fn parse(input: ParseStream) -> syn::Result<Self> {
        let name = Ident::parse_any(input)?;
        let argument = if input.peek(Token![=]) {
            input.parse::<Token![=]>()?;
            Argument::Value(Box::new(input.parse()?))
        } else if input.peek(syn::token::Paren) {
            let inner;
            parenthesized!(inner in input);
            Argument::List(inner.parse()?)
        } else {
            Argument::None
        };
        Ok(Item { name, argument })
    }
}

/// All items of all `#[schema(…)]` attributes.
pub fn items(attributes: &[Attribute]) -> syn::Result<Vec<Item>> {
    let mut items = Vec::new();
    for attribute in attributes.iter().filter(|a| a.path().is_ident("schema")) {
        items.extend(attribute.parse_args_with(Punctuated::<Item, Token![,]>::parse_terminated)?);
    }
    Ok(items)
}

/// The doc comment as one line.
pub fn description(attributes: &[Attribute]) -> Option<String> {
    let mut words = Vec::new();
    for attribute in attributes.iter().filter(|a| a.path().is_ident("doc")) {
        if let syn::Meta::NameValue(meta) = &attribute.meta
            && let Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) = &meta.value
        {
            words.push(text.value().trim().to_owned());
        }
    }
    let text = words.join(" ").trim().to_owned();
    (!text.is_empty()).then_some(text)
}

impl Item {
    pub fn is(&self, name: &str) -> bool {
        self.name == name
    }

    pub fn value(&self) -> syn::Result<&Expr> {
        match &self.argument {
            Argument::Value(value) => Ok(value),
            _ => Err(syn::Error::new_spanned(&self.name, format!("write `{} = …`", self.name))),
        }
    }

    pub fn text(&self) -> syn::Result<String> {
        match self.value()? {
            Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Ok(text.value()),
            other => Err(syn::Error::new_spanned(other, "expected a text in quotes")),
        }
    }

    fn list(&self) -> syn::Result<&TokenStream> {
        match &self.argument {
            Argument::List(list) => Ok(list),
            _ => Err(syn::Error::new_spanned(&self.name, format!("write `{}(…)`", self.name))),
        }
    }
}

/// `pattern, err = "…"`; the pattern may be a list.
struct Pattern {
    pattern: Expr,
    err: String,
}

impl Parse for Pattern {
    fn parse(input: ParseStream) -> syn::Result<Self> {
        let pattern = input.parse()?;
        let mut err = String::new();
        if input.peek(Token![,]) {
            input.parse::<Token![,]>()?;
            if !input.is_empty() {
                let name = Ident::parse_any(input)?;
                if name != "err" {
                    return Err(syn::Error::new_spanned(name, "only `err = \"…\"` may follow a pattern"));
                }
                input.parse::<Token![=]>()?;
                err = input.parse::<LitStr>()?.value();
            }
        }
        Ok(Pattern { pattern, err })
    }
}

fn pattern(item: &Item) -> syn::Result<Pattern> {
    match &item.argument {
        Argument::Value(value) => Ok(Pattern { pattern: (**value).clone(), err: String::new() }),
        Argument::List(list) => syn::parse2(list.clone()),
        Argument::None => Err(syn::Error::new_spanned(&item.name, "needs a pattern")),
    }
}

fn expressions(item: &Item) -> syn::Result<Vec<Expr>> {
    let parser = Punctuated::<Expr, Token![,]>::parse_terminated;
    Ok(syn::parse::Parser::parse2(parser, item.list()?.clone())?.into_iter().collect())
}

fn nested(item: &Item) -> syn::Result<TokenStream> {
    let parser = Punctuated::<Item, Token![,]>::parse_terminated;
    let items = syn::parse::Parser::parse2(parser, item.list()?.clone())?;
    let calls = items.iter().map(call).collect::<syn::Result<Vec<_>>>()?;
    Ok(quote!(|field| field #(#calls)*))
}

const MARKS: [&str; 16] = [
    "required",
    "optional",
    "auto",
    "eq_null",
    "uuid",
    "timestamp",
    "is_regex",
    "unique",
    "unique_across_ws",
    "referenceable",
    "encrypted",
    "immutable",
    "indexed",
    "legacy",
    "transient",
    "ours",
];

/// The method call an item stands for, with its leading dot.
pub fn call(item: &Item) -> syn::Result<TokenStream> {
    let name = &item.name;
    let text = name.to_string();
    if MARKS.contains(&text.as_str()) {
        return match item.argument {
            Argument::None => Ok(quote!(.#name())),
            _ => Err(syn::Error::new_spanned(name, "takes no value")),
        };
    }
    Ok(match text.as_str() {
        "default" | "default_3_15" | "eq" | "ne" | "contains" => {
            let value = item.value()?;
            quote!(.#name(::gibbon_schema::serde_json::json!(#value)))
        }
        "gt" | "len_eq" | "len_min" | "len_max" | "starts_with" | "not_match" | "since" | "err" => {
            let value = item.value()?;
            quote!(.#name(#value))
        }
        "between" => {
            let bounds = expressions(item)?;
            quote!(.between(#(#bounds),*))
        }
        "one_of" | "also_one_of" | "not_one_of" => {
            let values = expressions(item)?;
            quote!(.#name([#(::gibbon_schema::serde_json::json!(#values)),*]))
        }
        "matches" => {
            let Pattern { pattern, err } = pattern(item)?;
            if err.is_empty() { quote!(.matches(#pattern)) } else { quote!(.match_all(#pattern, #err)) }
        }
        "match_none" | "match_all" | "match_any" => {
            let Pattern { pattern, err } = pattern(item)?;
            quote!(.#name(#pattern, #err))
        }
        "custom" => {
            let check = item.value()?;
            let label = quote!(#check).to_string().replace(' ', "");
            quote!(.custom(::gibbon_schema::Validator::new(#label, #check)))
        }
        "elements" | "keys" | "values" => {
            let method = quote::format_ident!("map_{}", name);
            let change = nested(item)?;
            quote!(.#method(#change))
        }
        "foreign" => {
            let entity = item.text()?;
            quote!(.referencing(#entity))
        }
        "on_delete" => {
            let action = match item.text()?.as_str() {
                "cascade" => quote!(Cascade),
                "null" => quote!(Null),
                "restrict" => quote!(Restrict),
                _ => return Err(syn::Error::new_spanned(name, "expected \"cascade\", \"null\" or \"restrict\"")),
            };
            quote!(.on_delete(::gibbon_schema::OnDelete::#action))
        }
        "deprecated" => {
            let message = item.text()?;
            quote!(.deprecated(::gibbon_schema::Deprecation {
                message: #message.into(),
                removal_in_version: ::core::option::Option::Some("4.0".into()),
                ..::core::default::Default::default()
            }))
        }
        _ => return Err(syn::Error::new_spanned(name, format!("`{text}` is no attribute of a field"))),
    })
}
