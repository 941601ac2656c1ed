//! Schemas as JSON in the form Kong publishes under `/schemas`: `{"fields": [{name: {…}}], "entity_checks": […]}`.
//!
//! What is code (validators, shorthand functions) is left out; so are defaults of additive fields, because a client
//! that fills them in by itself would see a difference that is none.

use serde_json::{Map, Value, json};

use crate::{
    checks::EntityCheck,
    document::show_number,
    field::{Deprecation, Field, Kind, OnDelete, PatternRule},
    fill::Compat,
    record::Record,
};

impl Record {
    /// The published form.
    pub fn render(&self, compat: Compat) -> Value {
        let mut out = Map::new();
        out.insert("fields".into(), self.render_fields(compat));
        out.insert("entity_checks".into(), self.checks.iter().map(check).collect());
        self.render_shorthands(&mut out, compat);
        Value::Object(out)
    }

    fn render_fields(&self, compat: Compat) -> Value {
        self.fields.iter().map(|(name, field)| named(name, field.render(compat))).collect()
    }

    fn render_shorthands(&self, out: &mut Map<String, Value>, compat: Compat) {
        if !self.shorthands.is_empty() {
            let list = self.shorthands.iter().map(|s| named(&s.name, s.field.render(compat))).collect();
            out.insert("shorthand_fields".into(), list);
        }
    }
}

fn named(name: &str, value: Value) -> Value {
    let mut object = Map::with_capacity(1);
    object.insert(name.to_owned(), value);
    Value::Object(object)
}

impl Field {
    /// The published form of one field.
    pub fn render(&self, compat: Compat) -> Value {
        let mut out = Map::new();
        self.render_kind(&mut out, compat);
        self.render_rules(&mut out);
        if !matches!(self.kind, Kind::Any | Kind::Elements(_)) {
            self.render_default(&mut out, compat);
        }
        self.render_marks(&mut out);
        Value::Object(out)
    }

    fn render_kind(&self, out: &mut Map<String, Value>, compat: Compat) {
        let name = match &self.kind {
            Kind::Any => return,
            Kind::Elements(elements) => {
                out.insert("elements".into(), inner(elements, compat));
                return;
            }
            Kind::String => "string",
            Kind::Number => "number",
            Kind::Integer => "integer",
            Kind::Boolean => "boolean",
            Kind::Array(elements) => {
                out.insert("elements".into(), inner(elements, compat));
                "array"
            }
            Kind::Set(elements) => {
                out.insert("elements".into(), inner(elements, compat));
                "set"
            }
            Kind::Map { keys, values } => {
                out.insert("keys".into(), inner(keys, compat));
                out.insert("values".into(), inner(values, compat));
                "map"
            }
            Kind::Record(record) => {
                if !self.is_abstract {
                    out.insert("fields".into(), record.render_fields(compat));
                    if !record.checks.is_empty() {
                        out.insert("entity_checks".into(), record.checks.iter().map(check).collect());
                    }
                    record.render_shorthands(out, compat);
                }
                "record"
            }
            Kind::Foreign(foreign) => {
                out.insert("reference".into(), json!(foreign.entity));
                if let Some(action) = foreign.on_delete {
                    out.insert("on_delete".into(), on_delete(action).into());
                }
                "foreign"
            }
            Kind::Json(schema) => {
                if let Some(schema) = schema {
                    out.insert("json_schema".into(), schema.clone());
                }
                "json"
            }
        };
        out.insert("type".into(), name.into());
    }

    fn render_rules(&self, out: &mut Map<String, Value>) {
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                out.insert(name.into(), value);
            }
        };
        put("required", self.required.map(Value::from));
        put("eq", self.eq.clone());
        put("ne", self.ne.clone());
        put("not_one_of", (!self.not_one_of.is_empty()).then(|| json!(self.not_one_of)));
        put("one_of", self.one_of.as_ref().map(|values| json!(values)));
        put("gt", self.gt.map(number));
        put("between", self.between.map(|(low, high)| Value::from(vec![number(low), number(high)])));
        put("len_eq", self.len_eq.map(Value::from));
        put("len_min", self.effective_len_min().map(Value::from));
        put("len_max", self.len_max.map(Value::from));
        put("starts_with", self.starts_with.as_ref().map(|v| json!(v)));
        put("not_match", self.not_match.as_ref().map(|v| json!(v)));
        put("match_none", pattern_rules(&self.match_none));
        put("match", self.matches.as_ref().map(|v| json!(v)));
        put("match_all", pattern_rules(&self.match_all));
        put("match_any", self.match_any.as_ref().map(|set| with_err(json!({ "patterns": set.patterns }), &set.err)));
        put("contains", self.contains.clone());
        put(
            "mutually_exclusive_subsets",
            (!self.mutually_exclusive_subsets.is_empty()).then(|| json!(self.mutually_exclusive_subsets)),
        );
        put("err", self.err.as_ref().map(|v| json!(v)));
    }

    fn effective_len_min(&self) -> Option<usize> {
        self.len_min.or(matches!(self.kind, Kind::String).then_some(1))
    }

    fn render_default(&self, out: &mut Map<String, Value>, compat: Compat) {
        if self.is_additive() {
            return;
        }
        let newer = self.default_3_15.as_ref().filter(|_| compat == Compat::V3_15);
        if let Some(default) = newer.or(self.default.as_ref()) {
            out.insert("default".into(), default.clone());
        }
    }

    fn render_marks(&self, out: &mut Map<String, Value>) {
        let marks = [
            ("auto", self.auto),
            ("uuid", self.uuid),
            ("timestamp", self.timestamp),
            ("is_regex", self.is_regex),
            ("unique_across_ws", self.unique_across_ws),
            ("referenceable", self.referenceable),
            ("encrypted", self.encrypted),
            ("immutable", self.immutable),
            ("indexed", self.indexed),
            ("legacy", self.legacy),
            ("transient", self.transient),
            ("abstract", self.is_abstract),
        ];
        for (name, set) in marks {
            if set {
                out.insert(name.into(), true.into());
            }
        }
        if let Some(unique) = self.unique {
            out.insert("unique".into(), unique.into());
        }
        if let Some(description) = &self.description {
            out.insert("description".into(), json!(description));
        }
        if let Some(deprecation) = &self.deprecation {
            out.insert("deprecation".into(), render_deprecation(deprecation));
        }
    }
}

/// Elements, keys and values are required whatever their field says.
fn inner(field: &Field, compat: Compat) -> Value {
    let mut out = field.render(compat);
    if let Value::Object(object) = &mut out {
        object.insert("required".into(), true.into());
    }
    out
}

fn on_delete(action: OnDelete) -> &'static str {
    match action {
        OnDelete::Cascade => "cascade",
        OnDelete::Null => "null",
        OnDelete::Restrict => "restrict",
    }
}

fn render_deprecation(deprecation: &Deprecation) -> Value {
    let mut out = Map::new();
    out.insert("message".into(), json!(deprecation.message));
    if let Some(version) = &deprecation.removal_in_version {
        out.insert("removal_in_version".into(), json!(version));
    }
    if let Some(old) = &deprecation.old_default {
        out.insert("old_default".into(), old.clone());
    }
    if !deprecation.replaced_with.is_empty() {
        let paths: Vec<Value> = deprecation.replaced_with.iter().map(|p| json!({ "path": p })).collect();
        out.insert("replaced_with".into(), paths.into());
    }
    Value::Object(out)
}

#[allow(clippy::cast_possible_truncation)] // whole numbers within the exact range only
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 9e15 {
        return Value::from(value as i64);
    }
    show_number(value).parse::<f64>().map_or(Value::Null, Value::from)
}

fn pattern_rules(rules: &[PatternRule]) -> Option<Value> {
    (!rules.is_empty()).then(|| rules.iter().map(|r| with_err(json!({ "pattern": r.pattern }), &r.err)).collect())
}

fn with_err(mut rule: Value, err: &Option<std::borrow::Cow<'static, str>>) -> Value {
    if let (Value::Object(object), Some(err)) = (&mut rule, err) {
        object.insert("err".into(), json!(err));
    }
    rule
}

/// The published form of a check.
pub(crate) fn check(check: &EntityCheck) -> Value {
    match check {
        EntityCheck::AtLeastOneOf(fields) => json!({ "at_least_one_of": fields }),
        EntityCheck::OnlyOneOf(fields) => json!({ "only_one_of": fields }),
        EntityCheck::MutuallyExclusive(fields) => json!({ "mutually_exclusive": fields }),
        EntityCheck::MutuallyRequired(fields) => json!({ "mutually_required": fields }),
        EntityCheck::Distinct(fields) => json!({ "distinct": fields }),
        EntityCheck::MutuallyExclusiveSets(first, second) => {
            json!({ "mutually_exclusive_sets": { "set1": first, "set2": second } })
        }
        EntityCheck::Conditional(c) => {
            let mut out = Map::new();
            out.insert("if_field".into(), json!(c.if_field));
            out.insert("if_match".into(), c.if_match.render(Compat::default()));
            out.insert("then_field".into(), json!(c.then_field));
            out.insert("then_match".into(), c.then_match.render(Compat::default()));
            if let Some(err) = &c.then_err {
                out.insert("then_err".into(), json!(err));
            }
            json!({ "conditional": out })
        }
        EntityCheck::ConditionalAtLeastOneOf(c) => {
            let mut out = Map::new();
            out.insert("if_field".into(), json!(c.if_field));
            out.insert("if_match".into(), c.if_match.render(Compat::default()));
            out.insert("then_at_least_one_of".into(), json!(c.then_at_least_one_of));
            if let Some(err) = &c.then_err {
                out.insert("then_err".into(), json!(err));
            }
            if let Some(otherwise) = &c.otherwise {
                out.insert("else_match".into(), otherwise.else_match.render(Compat::default()));
                out.insert("else_then_at_least_one_of".into(), json!(otherwise.then_at_least_one_of));
                if let Some(err) = &otherwise.then_err {
                    out.insert("else_then_err".into(), json!(err));
                }
            }
            json!({ "conditional_at_least_one_of": out })
        }
        EntityCheck::Custom(c) => {
            let mut out = Map::new();
            out.insert("field_sources".into(), json!(c.fields));
            if c.run_with_missing_fields {
                out.insert("run_with_missing_fields".into(), true.into());
            }
            if c.run_with_invalid_fields {
                out.insert("run_with_invalid_fields".into(), true.into());
            }
            json!({ "custom_entity_check": out })
        }
    }
}
