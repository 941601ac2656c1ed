//! Which HTTP request calls which method: the annotations of a file, compiled.

use prost_reflect::{DynamicMessage, MethodDescriptor, Value};

use super::path::Template;
use crate::grpc::Definitions;

/// The option that annotations are written in, and the methods that a binding may name.
const OPTION: &str = "google.api.http";
const METHODS: &[&str] = &["get", "put", "post", "delete", "patch"];

/// One way to call a method.
#[derive(Debug)]
pub struct Binding {
    /// In small letters.
    verb: String,
    template: Template,
    /// Which field the body is; `*` is the whole message.
    pub body: Option<String>,
    pub method: MethodDescriptor,
}

/// All of them, in the order of the file.
#[derive(Debug, Default)]
pub struct Bindings(Vec<Binding>);

/// A binding, and what its template found in the path.
pub type Found<'a> = (&'a Binding, Vec<(&'a str, String)>);

impl Bindings {
    /// Reads the annotations. One that cannot be read is left out and logged: the others still serve.
    pub fn of(definitions: &Definitions) -> Bindings {
        let mut out = Vec::new();
        for method in definitions.methods() {
            let Some(extension) = method.parent_pool().get_extension_by_name(OPTION) else { continue };
            let options = method.options();
            if !options.has_extension(&extension) {
                continue;
            }
            if let Value::Message(rule) = options.get_extension(&extension).as_ref() {
                read(rule, method, &mut out);
                let more = rule.get_field_by_name("additional_bindings");
                for rule in more.iter().filter_map(|more| more.as_list()).flatten().filter_map(Value::as_message) {
                    read(rule, method, &mut out);
                }
            }
        }
        Bindings(out)
    }

    /// The binding of a request, or why there is none, in Kong's words.
    pub fn find(&self, verb: &str, path: &str) -> Result<Found<'_>, String> {
        let mut with_verb = self.0.iter().filter(|binding| binding.verb == verb).peekable();
        if with_verb.peek().is_none() {
            return Err(format!("Unknown method {}", quoted(verb)));
        }
        with_verb
            .find_map(|binding| binding.template.matches(path).map(|found| (binding, found)))
            .ok_or_else(|| format!("Unknown path {}", quoted(path)))
    }
}

fn read(rule: &DynamicMessage, method: &MethodDescriptor, out: &mut Vec<Binding>) {
    let text = |name: &str| {
        let value = rule.get_field_by_name(name)?;
        value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
    };
    for verb in METHODS {
        let Some(path) = text(verb) else { continue };
        match Template::parse(&path) {
            Ok(template) => {
                let binding =
                    Binding { verb: (*verb).to_owned(), template, body: text("body"), method: method.clone() };
                out.push(binding);
            }
            Err(why) => tracing::error!("grpc-gateway: {} is not bound: {why}", method.full_name()),
        }
    }
}

/// A text as Lua's `%q` writes it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
