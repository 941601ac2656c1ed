//! Turns the schema of a Lua plugin into the gateway's schema type, so that whoever reads it cannot tell it apart.
//! Rules written as Lua functions become validators that ask the loader's thread.

use std::borrow::Cow;
use std::sync::Arc;

use gibbon_pdk::{Protocol, Protocols, Scopes};
use gibbon_schema::checks::{CheckError, Custom, EntityCheck};
use gibbon_schema::{
    Deprecation, ErrorTree, Field, Foreign, Kind, PatternRule, PatternSet, Record, Shorthand, Validator, checks,
    typedefs,
};
use mlua::{Function, Lua, LuaString, Table, Value};
use serde_json::{Map, Value as Json, json};

use crate::daos;
use crate::json::{self};
use crate::loader::{Loader, keep};

/// What a schema says of a plugin.
pub struct Said {
    pub config: Record,
    pub scopes: Scopes,
    pub protocols: Protocols,
}

/// Reads schemas on the loader's thread.
pub struct Reader<'a> {
    pub lua: &'a Lua,
    pub loader: Loader,
}

type Read<T> = Result<T, String>;

fn lua_error(error: mlua::Error) -> String {
    error.to_string()
}

impl Reader<'_> {
    /// The whole schema of a plugin.
    ///
    /// # Errors
    /// Which field is wrong, and how.
    pub fn plugin(&self, schema: &Table) -> Read<Said> {
        let mut said = Said { config: Record::new(), scopes: Scopes::ALL, protocols: all_http() };
        let fields: Table = schema.get("fields").map_err(|_| "missing fields".to_owned())?;
        for (name, field) in named(&fields)? {
            match name.as_str() {
                "config" => said.config = self.record(&field, "config")?,
                "protocols" => said.protocols = self.protocols(&field)?,
                "route" => said.scopes.route = !is_closed(&field),
                "service" => said.scopes.service = !is_closed(&field),
                "consumer" => said.scopes.consumer = !is_closed(&field),
                "consumer_group" => said.scopes.consumer_group = !is_closed(&field),
                _ => {}
            }
        }
        if let Some(list) = schema.get::<Option<Table>>("entity_checks").map_err(lua_error)? {
            for check in list.sequence_values::<Table>() {
                said.config.plugin_checks.push(self.check(&check.map_err(lua_error)?)?);
            }
        }
        Ok(said)
    }

    fn protocols(&self, field: &Table) -> Read<Protocols> {
        let typedef: Option<String> = field.get("typedef").map_err(lua_error)?;
        let listed = match typedef.as_deref() {
            Some("protocols") => return Ok(Protocols::of(&Protocol::ALL)),
            Some(_) => return Ok(all_http()),
            None => {
                let elements = field.get::<Option<Table>>("elements").map_err(lua_error)?;
                match elements {
                    Some(elements) => elements.get::<Option<Vec<String>>>("one_of").map_err(lua_error)?,
                    None => None,
                }
            }
        };
        let mut protocols = Protocols::default();
        for name in listed.unwrap_or_default() {
            if let Some(protocol) = Protocol::parse(&name) {
                protocols.insert(protocol);
            }
        }
        Ok(if protocols.is_empty() { all_http() } else { protocols })
    }

    /// A record: its fields, checks across them, shorthands.
    ///
    /// # Errors
    /// Which field is wrong, and how.
    pub fn record(&self, table: &Table, path: &str) -> Read<Record> {
        let mut record = Record::new();
        let fields: Table = table.get("fields").map_err(|_| format!("{path}: missing fields"))?;
        for (name, field) in named(&fields)? {
            let at = format!("{path}.{name}");
            record = record.field(name, self.field(&field, &at)?);
        }
        if let Some(list) = table.get::<Option<Table>>("entity_checks").map_err(lua_error)? {
            for check in list.sequence_values::<Table>() {
                record.checks.push(self.check(&check.map_err(lua_error)?)?);
            }
        }
        if let Some(list) = table.get::<Option<Table>>("shorthand_fields").map_err(lua_error)? {
            for (name, field) in named(&list)? {
                record.shorthands.push(self.shorthand(name, &field, path)?);
            }
        }
        if let Some(function) = table.get::<Option<Function>>("custom_validator").map_err(lua_error)? {
            record.custom = Some(self.validator(function)?);
        }
        Ok(record)
    }

    fn field(&self, table: &Table, path: &str) -> Read<Field> {
        let mut field = match table.get::<Option<String>>("typedef").map_err(lua_error)? {
            Some(name) => typedef(&name).ok_or_else(|| format!("{path}: unknown typedef '{name}'"))?,
            None => Field { kind: self.kind(table, path)?, ..<Field as Default>::default() },
        };
        self.rules(&mut field, table, path)?;
        Ok(field)
    }

    fn inner(&self, table: &Table, name: &str, path: &str) -> Read<Box<Field>> {
        let inner: Table = table.get(name).map_err(|_| format!("{path}: missing {name}"))?;
        Ok(Box::new(self.field(&inner, &format!("{path}.{name}"))?))
    }

    fn kind(&self, table: &Table, path: &str) -> Read<Kind> {
        let kind: Option<String> = table.get("type").map_err(lua_error)?;
        Ok(match kind.as_deref() {
            Some("string") => Kind::String,
            Some("number") => Kind::Number,
            Some("integer") => Kind::Integer,
            Some("boolean") => Kind::Boolean,
            Some("array") => Kind::Array(self.inner(table, "elements", path)?),
            Some("set") => Kind::Set(self.inner(table, "elements", path)?),
            Some("map") => {
                Kind::Map { keys: self.inner(table, "keys", path)?, values: self.inner(table, "values", path)? }
            }
            Some("record") => Kind::Record(Box::new(self.record(table, path)?)),
            Some("foreign") => {
                let entity: String = table.get("reference").map_err(|_| format!("{path}: missing reference"))?;
                let named: Option<String> = table.get("on_delete").map_err(lua_error)?;
                Kind::Foreign(Foreign { entity: entity.into(), on_delete: daos::on_delete(named.as_deref()) })
            }
            Some("json" | "any" | "function") => Kind::Json(None),
            None => Kind::Any,
            Some(other) => return Err(format!("{path}: unknown type '{other}'")),
        })
    }

    #[allow(clippy::too_many_lines)] // a table of rules
    fn rules(&self, field: &mut Field, table: &Table, path: &str) -> Read<()> {
        let lua = self.lua;
        let get = |name: &str| -> Read<Option<Json>> {
            match table.get::<Value>(name).map_err(lua_error)? {
                Value::Nil => Ok(None),
                value => json::from_lua(lua, &value).map(Some).map_err(|error| format!("{path}.{name}: {error}")),
            }
        };
        let flag = |name: &str| Ok::<bool, String>(get(name)?.is_some_and(|value| value == true));
        let number = |name: &str| Ok::<Option<f64>, String>(get(name)?.and_then(|value| value.as_f64()));
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // lengths
        let length = |name: &str| Ok::<Option<usize>, String>(number(name)?.map(|number| number.max(0.0) as usize));
        let text = |name: &str| -> Read<Option<Cow<'static, str>>> {
            Ok(get(name)?.and_then(|value| value.as_str().map(|text| Cow::Owned(text.to_owned()))))
        };
        if let Some(required) = get("required")? {
            field.required = required.as_bool();
        }
        if let Some(default) = get("default")? {
            field.default = Some(shaped(&field.kind, default));
        }
        macro_rules! take {
            ($name:ident, $key:literal, $get:ident) => {
                if let Some(value) = $get($key)? {
                    field.$name = Some(value);
                }
            };
        }
        take!(eq, "eq", get);
        take!(ne, "ne", get);
        take!(gt, "gt", number);
        take!(len_eq, "len_eq", length);
        take!(len_min, "len_min", length);
        take!(len_max, "len_max", length);
        take!(starts_with, "starts_with", text);
        take!(matches, "match", text);
        take!(not_match, "not_match", text);
        take!(contains, "contains", get);
        take!(err, "err", text);
        take!(description, "description", text);
        if let Some(Json::Array(values)) = get("one_of")? {
            field.one_of = Some(values);
        }
        if let Some(Json::Array(values)) = get("not_one_of")? {
            field.not_one_of = values;
        }
        if let Some(Json::Array(bounds)) = get("between")?
            && let [low, high] = bounds.as_slice()
        {
            field.between = low.as_f64().zip(high.as_f64());
        }
        for (name, rules) in [("match_all", &mut field.match_all), ("match_none", &mut field.match_none)] {
            if let Some(Json::Array(list)) = get(name)? {
                rules.extend(list.iter().map(pattern_rule));
            }
        }
        if let Some(any) = get("match_any")? {
            let patterns = any.get("patterns").and_then(Json::as_array).into_iter().flatten();
            field.match_any = Some(PatternSet {
                patterns: patterns.filter_map(|p| p.as_str().map(|p| Cow::Owned(p.to_owned()))).collect(),
                err: text_in(&any, "err").map(Cow::Owned),
            });
        }
        if let Some(Json::Array(subsets)) = get("mutually_exclusive_subsets")? {
            let names = |subset: &Json| -> Vec<String> {
                subset.as_array().into_iter().flatten().filter_map(|n| n.as_str().map(str::to_owned)).collect()
            };
            field.mutually_exclusive_subsets = subsets.iter().map(names).collect();
        }
        if flag("unique")? {
            field.unique = Some(true);
        }
        field.referenceable |= flag("referenceable")?;
        field.encrypted |= flag("encrypted")?;
        field.immutable |= flag("immutable")?;
        field.indexed |= flag("indexed")?;
        field.legacy |= flag("legacy")?;
        field.transient |= flag("transient")?;
        field.auto |= flag("auto")?;
        field.uuid |= flag("uuid")?;
        field.timestamp |= flag("timestamp")?;
        field.is_regex |= flag("is_regex")?;
        if let Some(deprecation) = get("deprecation")? {
            field.deprecation = Some(deprecated(&deprecation));
        }
        if let Some(function) = table.get::<Option<Function>>("custom_validator").map_err(lua_error)?
            && !matches!(field.kind, Kind::Record(_))
        {
            field.custom = Some(self.validator(function)?);
        }
        Ok(())
    }

    fn validator(&self, function: Function) -> Read<Validator> {
        let number = keep(self.lua, function).map_err(lua_error)?;
        let loader = self.loader.clone();
        Ok(Validator::new("a function of the plugin's schema", move |value: &Json| {
            verdict(&loader.call(number, vec![value.clone()])).map_or(Ok(()), |wrong| Err(error_tree(&wrong)))
        }))
    }

    fn condition(&self, table: &Table, path: &str) -> Read<Field> {
        let mut field = match table.get::<Option<Table>>("elements").map_err(lua_error)? {
            Some(elements) => Field::elements_condition(self.condition(&elements, path)?),
            None => Field::condition(),
        };
        self.rules(&mut field, table, path)?;
        Ok(field)
    }

    fn check(&self, table: &Table) -> Read<EntityCheck> {
        let Some(pair) = table.pairs::<String, Table>().next() else {
            return Err("an entity check is empty".to_owned());
        };
        let (name, arguments) = pair.map_err(lua_error)?;
        let names = || -> Read<Vec<Cow<'static, str>>> { strings(&arguments) };
        Ok(match name.as_str() {
            "at_least_one_of" => EntityCheck::AtLeastOneOf(names()?),
            "only_one_of" => EntityCheck::OnlyOneOf(names()?),
            "mutually_exclusive" => EntityCheck::MutuallyExclusive(names()?),
            "mutually_required" => EntityCheck::MutuallyRequired(names()?),
            "distinct" => EntityCheck::Distinct(names()?),
            "mutually_exclusive_sets" => {
                EntityCheck::MutuallyExclusiveSets(list(&arguments, "set1")?, list(&arguments, "set2")?)
            }
            "conditional" => EntityCheck::Conditional(Box::new(checks::Conditional {
                if_field: name_in(&arguments, "if_field")?,
                if_match: self.condition(&table_in(&arguments, "if_match")?, "if_match")?,
                then_field: name_in(&arguments, "then_field")?,
                then_match: self.condition(&table_in(&arguments, "then_match")?, "then_match")?,
                then_err: optional_name(&arguments, "then_err")?,
            })),
            "conditional_at_least_one_of" => {
                EntityCheck::ConditionalAtLeastOneOf(Box::new(checks::ConditionalAtLeastOneOf {
                    if_field: name_in(&arguments, "if_field")?,
                    if_match: self.condition(&table_in(&arguments, "if_match")?, "if_match")?,
                    then_at_least_one_of: list(&arguments, "then_at_least_one_of")?,
                    then_err: optional_name(&arguments, "then_err")?,
                    otherwise: None,
                }))
            }
            "custom_entity_check" => self.custom_check(&arguments)?,
            other => return Err(format!("unknown entity check '{other}'")),
        })
    }

    fn custom_check(&self, arguments: &Table) -> Read<EntityCheck> {
        let function: Function = arguments.get("fn").map_err(lua_error)?;
        let number = keep(self.lua, function).map_err(lua_error)?;
        let loader = self.loader.clone();
        let yes = |name: &str| arguments.get::<Option<bool>>(name).map(|flag| flag.unwrap_or(false)).map_err(lua_error);
        Ok(EntityCheck::Custom(Custom {
            name: "a function of the plugin's schema".into(),
            fields: list(arguments, "field_sources")?,
            run_with_missing_fields: yes("run_with_missing_fields")?,
            run_with_invalid_fields: yes("run_with_invalid_fields")?,
            check: Arc::new(move |document: &Map<String, Json>| {
                let answer = loader.call(number, vec![Json::Object(document.clone())]);
                match verdict(&answer) {
                    None => Ok(()),
                    Some(Json::String(message)) => Err(CheckError::from(message)),
                    Some(other) => Err(CheckError::from(other.to_string())),
                }
            }),
        }))
    }

    fn shorthand(&self, name: String, table: &Table, path: &str) -> Read<Shorthand> {
        let field = self.field(table, &format!("{path}.{name}"))?;
        let Some(function) = table.get::<Option<Function>>("func").map_err(lua_error)? else {
            return Err(format!("{path}.{name}: a shorthand needs func"));
        };
        let number = keep(self.lua, function).map_err(lua_error)?;
        let loader = self.loader.clone();
        Ok(Shorthand::new(name, field, move |value, _| {
            match loader.call(number, vec![value.clone()]).ok().and_then(|answers| answers.into_iter().next()) {
                Some(Json::Object(fields)) => fields,
                _ => Map::new(),
            }
        }))
    }
}

/// What a validator found wrong; nothing if it answered with a truth.
fn verdict(answer: &Result<Vec<Json>, String>) -> Option<Json> {
    match answer {
        Err(error) => Some(Json::String(error.clone())),
        Ok(values) => match values.first() {
            Some(Json::Null | Json::Bool(false)) => Some(
                values.get(1).filter(|reason| !reason.is_null()).cloned().unwrap_or_else(|| json!("invalid value")),
            ),
            // A function that returns nothing at all found nothing wrong with it, but did not say so.
            None => Some(json!("invalid value")),
            Some(_) => None,
        },
    }
}

fn error_tree(wrong: &Json) -> ErrorTree {
    match wrong {
        Json::String(message) => ErrorTree::from(message.clone()),
        other => ErrorTree::from(other.to_string()),
    }
}

fn all_http() -> Protocols {
    Protocols::of(&[Protocol::Grpc, Protocol::Grpcs, Protocol::Http, Protocol::Https])
}

/// Lists of one-field tables: `{ { name = field }, … }`.
fn named(fields: &Table) -> Read<Vec<(String, Table)>> {
    let mut list = Vec::new();
    for entry in fields.sequence_values::<Table>() {
        let entry = entry.map_err(lua_error)?;
        for pair in entry.pairs::<String, Table>() {
            list.push(pair.map_err(lua_error)?);
        }
    }
    Ok(list)
}

fn is_closed(field: &Table) -> bool {
    matches!(field.get::<Value>("eq"), Ok(Value::LightUserData(pointer)) if pointer.0.is_null())
}

fn strings(table: &Table) -> Read<Vec<Cow<'static, str>>> {
    table.sequence_values::<String>().map(|name| name.map(Cow::Owned).map_err(lua_error)).collect()
}

fn list(table: &Table, name: &str) -> Read<Vec<Cow<'static, str>>> {
    strings(&table_in(table, name)?)
}

fn table_in(table: &Table, name: &str) -> Read<Table> {
    table.get::<Table>(name).map_err(|_| format!("an entity check lacks {name}"))
}

fn name_in(table: &Table, name: &str) -> Read<Cow<'static, str>> {
    optional_name(table, name)?.ok_or_else(|| format!("an entity check lacks {name}"))
}

fn optional_name(table: &Table, name: &str) -> Read<Option<Cow<'static, str>>> {
    let text = table.get::<Option<LuaString>>(name).map_err(lua_error)?;
    Ok(text.map(|text| Cow::Owned(String::from_utf8_lossy(&text.as_bytes()).into_owned())))
}

/// A default that Lua cannot tell apart: an empty table is an empty list where a list is meant.
fn shaped(kind: &Kind, value: Json) -> Json {
    match (kind, &value) {
        (Kind::Array(_) | Kind::Set(_), Json::Object(fields)) if fields.is_empty() => json!([]),
        (Kind::Map { .. } | Kind::Record(_), Json::Array(items)) if items.is_empty() => json!({}),
        _ => value,
    }
}

fn text_in(value: &Json, name: &str) -> Option<String> {
    value.get(name).and_then(Json::as_str).map(str::to_owned)
}

fn pattern_rule(rule: &Json) -> PatternRule {
    PatternRule {
        pattern: Cow::Owned(text_in(rule, "pattern").unwrap_or_default()),
        err: text_in(rule, "err").map(Cow::Owned),
    }
}

fn deprecated(value: &Json) -> Deprecation {
    Deprecation {
        message: text_in(value, "message").unwrap_or_default().into(),
        removal_in_version: text_in(value, "removal_in_version").map(Cow::Owned),
        old_default: value.get("old_default").cloned(),
        replaced_with: Vec::new(),
    }
}

fn typedef(name: &str) -> Option<Field> {
    Some(match name {
        "http_method" => typedefs::http_method(),
        "protocol" => typedefs::protocol(),
        "host" => typedefs::host(),
        "host_with_optional_port" => typedefs::host_with_optional_port(),
        "wildcard_host" => typedefs::wildcard_host(),
        "ip" => typedefs::ip(),
        "ip_or_cidr" => typedefs::ip_or_cidr(),
        "path" => typedefs::path(),
        "url" => typedefs::url(),
        "cookie_name" => typedefs::cookie_name(),
        "header_name" => typedefs::header_name(),
        "uuid" => typedefs::uuid(),
        "utf8_name" => typedefs::utf8_name(),
        "sni" => typedefs::sni(),
        "wildcard_sni" => typedefs::wildcard_sni(),
        "tag" => typedefs::tag(),
        "tags" => typedefs::tags(),
        "pem_certificate" => typedefs::pem_certificate(),
        "pem_key" => typedefs::pem_key(),
        "pem_public_key" => typedefs::pem_public_key(),
        "port" => typedefs::port(),
        "timeout" => typedefs::timeout(),
        "protocols" => typedefs::protocols(),
        "protocols_http" => typedefs::protocols_http(),
        "auto_timestamp" => typedefs::auto_timestamp(),
        "auto_timestamp_ms" => typedefs::auto_timestamp_ms(),
        _ => return None,
    })
}
