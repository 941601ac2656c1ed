//! The record of calls and of the changes they made: who, when, what, and what came of it. Off unless settings ask.
//!
//! Records are rows of the store that end by themselves. They are written before the caller is answered. With a key, each
//! is signed: RSA with SHA-256 (PKCS #1 v1.5) over the values of its other fields, in the order of the fields' names and
//! joined by `|`, a value that is not there being empty.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gibbon_model::EntityDef;
use gibbon_plan::Change;
use gibbon_store::{Documents, Query, Row, StoreError, Tags};
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::answer::Answer;
use crate::body::Body;
use crate::call::Call;
use crate::page::{self, Window};
use crate::rbac::Identity;
use crate::{Admin, failure};

/// A rule on paths: a regular expression, handed in so that this crate need not choose an engine.
pub type PathRule = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// What is recorded, as the settings have it.
#[derive(Clone, Default)]
pub struct AuditSettings {
    pub enabled: bool,
    pub ignore_methods: Vec<String>,
    pub ignore_paths: Vec<PathRule>,
    /// Kinds of entities whose changes are left out.
    pub ignore_tables: Vec<String>,
    /// Fields of bodies and entities that are left out, at any depth.
    pub exclude: Vec<String>,
    /// Seconds for which records are kept.
    pub keep: i64,
    /// An RSA key in PKCS #8.
    pub signing_key: Option<Arc<KeyPair>>,
}

/// What is learnt of a call while it is answered.
#[derive(Default)]
pub struct Witness {
    pub identity: Option<Arc<Identity>>,
    pub workspace: Option<Uuid>,
    pub payload: Option<Body>,
}

/// Kinds whose changes say nothing of configuration: the records themselves.
const OWN: [&str; 2] = ["audit_requests", "audit_objects"];
/// Of a longer payload or entity only so much is kept.
const LONGEST: usize = 64 << 10;
/// How many records are looked at for one page that asks for particular ones.
const LOOK_AT_MOST: usize = 100_000;
const CHUNK: usize = 1000;

/// Writes records.
pub struct Audit {
    settings: AuditSettings,
    random: SystemRandom,
}

impl Audit {
    pub fn new(settings: AuditSettings) -> Audit {
        Audit { settings, random: SystemRandom::new() }
    }

    pub fn is_on(&self) -> bool {
        self.settings.enabled
    }

    /// Writes down a call that was answered. A record that cannot be written is told to the log: the change it is about
    /// was made.
    pub async fn record(
        &self,
        documents: &Documents,
        head: &http::request::Parts,
        peer: Option<IpAddr>,
        witness: &Witness,
        status: StatusCode,
        changes: &[Change],
    ) {
        if !self.is_on() || documents.conductor.is_declarative() {
            return;
        }
        let request_id = Uuid::new_v4().simple().to_string();
        let mut records: Vec<(&str, Map<String, Value>)> = Vec::new();
        if !self.ignores(&head.method, head.uri.path()) {
            records.push(("audit_requests", self.request(head, peer, witness, status)));
        }
        let told = |change: &&Change| {
            !OWN.contains(&&*change.entity)
                && !self.settings.ignore_tables.iter().any(|table| **table == *change.entity)
        };
        records.extend(
            changes.iter().filter(told).filter_map(|change| Some(("audit_objects", self.object(documents, change)?))),
        );
        for (kind, mut record) in records {
            let Some(def) = documents.registry.get(kind) else { continue };
            self.complete(def, &mut record, &request_id, witness);
            if let Err(error) = documents.insert(def, Uuid::nil(), record).await {
                tracing::error!(target: "admin", "a record of the audit is lost: {error}");
            }
        }
    }

    fn ignores(&self, method: &Method, path: &str) -> bool {
        let by_method = self.settings.ignore_methods.iter().any(|name| name.eq_ignore_ascii_case(method.as_str()));
        by_method || self.settings.ignore_paths.iter().any(|rule| rule(path))
    }

    fn request(
        &self,
        head: &http::request::Parts,
        peer: Option<IpAddr>,
        witness: &Witness,
        status: StatusCode,
    ) -> Map<String, Value> {
        let mut record = Map::new();
        record.insert("client_ip".into(), peer.map_or_else(|| "unix:".to_owned(), |ip| ip.to_string()).into());
        record.insert("path".into(), self.without_secrets(&head.uri).into());
        record.insert("method".into(), head.method.as_str().into());
        record.insert("status".into(), status.as_u16().into());
        record.insert("workspace".into(), witness.workspace.map(|id| id.to_string()).into());
        let source = head.headers.get("x-request-source").and_then(|value| value.to_str().ok());
        record.insert("request_source".into(), source.into());
        if let Some((payload, removed)) = witness.payload.as_ref().and_then(|body| self.payload(body)) {
            record.insert("payload".into(), payload.into());
            record.insert("removed_from_payload".into(), removed.into());
        }
        record
    }

    /// The path with its query, without the values of arguments that are left out.
    fn without_secrets(&self, uri: &http::Uri) -> String {
        let Some(query) = uri.query() else { return uri.path().to_owned() };
        let kept = query.split('&').map(|pair| match pair.split_once('=') {
            Some((name, _)) if self.is_excluded(name) => format!("{name}="),
            _ => pair.to_owned(),
        });
        format!("{}?{}", uri.path(), kept.collect::<Vec<_>>().join("&"))
    }

    fn payload(&self, body: &Body) -> Option<(String, Option<String>)> {
        let mut value = match body {
            Body::Nothing => return None,
            // Secrets cannot be told from the rest in the text of a whole configuration.
            Body::Yaml(text) => return Some((format!("({} bytes of YAML)", text.len()), None)),
            other => Value::Object(other.fields_as_sent().ok()?),
        };
        if value.get("config").is_some_and(Value::is_string) || value.get("_format_version").is_some() {
            return Some(("(a declarative configuration)".to_owned(), None));
        }
        Some(self.stripped(&mut value))
    }

    fn object(&self, documents: &Documents, change: &Change) -> Option<Map<String, Value>> {
        let def = documents.registry.get(&change.entity)?;
        let operation = match (&change.before, &change.after) {
            (None, _) => "create",
            (_, None) => "delete",
            _ => "update",
        };
        let document = change.after.as_ref().or(change.before.as_ref())?.as_object()?.clone();
        let mut value = Value::Object(def.present(document));
        let (entity, removed) = self.stripped(&mut value);
        let mut record = Map::new();
        record.insert("dao_name".into(), change.entity.as_ref().into());
        record.insert("entity_key".into(), change.id.to_string().into());
        record.insert("operation".into(), operation.into());
        record.insert("entity".into(), entity.into());
        record.insert("removed_from_entity".into(), removed.into());
        Some(record)
    }

    /// JSON without the fields that are left out, and the names of those it had.
    fn stripped(&self, value: &mut Value) -> (String, Option<String>) {
        let mut removed = Vec::new();
        self.strip(value, &mut removed);
        let mut text = value.to_string();
        if text.len() > LONGEST {
            let end = (0..=LONGEST).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.truncate(end);
        }
        removed.sort();
        removed.dedup();
        (text, (!removed.is_empty()).then(|| removed.join(",")))
    }

    fn strip(&self, value: &mut Value, removed: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                fields.retain(|name, _| {
                    let excluded = self.is_excluded(name);
                    if excluded {
                        removed.push(name.clone());
                    }
                    !excluded
                });
                fields.values_mut().for_each(|value| self.strip(value, removed));
            }
            Value::Array(items) => items.iter_mut().for_each(|value| self.strip(value, removed)),
            _ => {}
        }
    }

    /// Names are compared by what they end in, so that `token` also means `user_token`; forms may write `config.secret`.
    fn is_excluded(&self, name: &str) -> bool {
        let last = name.rsplit('.').next().unwrap_or(name);
        let ends =
            |word: &String| last == word || last.strip_suffix(word.as_str()).is_some_and(|rest| rest.ends_with('_'));
        self.settings.exclude.iter().any(ends)
    }

    fn complete(&self, def: &EntityDef, record: &mut Map<String, Value>, request_id: &str, witness: &Witness) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        record.insert("request_id".into(), request_id.into());
        record.insert("request_timestamp".into(), now.as_secs().into());
        let who = witness.identity.as_ref();
        record.insert("rbac_user_id".into(), who.map(|identity| identity.id.to_string()).into());
        record.insert("rbac_user_name".into(), who.map(|identity| identity.name.clone()).into());
        // As the record will be shown: what is not there is null, and part of what is signed.
        for (name, _) in &def.record.fields {
            record.entry(name.to_string()).or_insert(Value::Null);
        }
        if let Some(signature) = self.signature(record) {
            record.insert("signature".into(), signature.into());
        }
        // In order of time, so that pages are.
        record.insert("id".into(), in_order_of_time(now).to_string().into());
        record.insert("ttl".into(), self.settings.keep.into());
    }

    fn signature(&self, record: &Map<String, Value>) -> Option<String> {
        let key = self.settings.signing_key.as_ref()?;
        let mut signature = vec![0; key.public_modulus_len()];
        let text = signed_text(record);
        match key.sign(&RSA_PKCS1_SHA256, &self.random, text.as_bytes(), &mut signature) {
            Ok(()) => Some(STANDARD.encode(signature)),
            Err(_) => {
                tracing::error!(target: "admin", "a record of the audit could not be signed");
                None
            }
        }
    }
}

/// An identifier that sorts after those made before: version 7 of RFC 9562.
fn in_order_of_time(now: Duration) -> Uuid {
    let mut random = [0u8; 10];
    random.iter_mut().zip(Uuid::new_v4().into_bytes()).for_each(|(to, from)| *to = from);
    let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

/// What a signature is made over.
fn signed_text(record: &Map<String, Value>) -> String {
    let mut names: Vec<&String> =
        record.keys().filter(|name| !matches!(name.as_str(), "id" | "signature" | "ttl")).collect();
    names.sort();
    let values = names.into_iter().map(|name| match record.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    });
    values.collect::<Vec<_>>().join("|")
}

/// Arguments that are about the page and not about the records.
const OF_THE_PAGE: [&str; 5] = ["size", "offset", "tags", "after", "before"];

/// `/audit/requests` and `/audit/objects`: in order of time, all or those whose fields have the values asked for; `after`
/// and `before` are seconds.
pub async fn list(admin: &Admin, call: &Call, kind: &str) -> Answer {
    let Some(def) = admin.documents.registry.get(kind).map(Arc::clone) else { return Answer::not_found() };
    let window = match Window::of(&call.arguments, true) {
        Ok(window) => window,
        Err(answer) => return answer,
    };
    let wanted = match Wanted::of(call, &def.record) {
        Ok(wanted) => wanted,
        Err(answer) => return answer,
    };
    let mut query = Query {
        entity: def.name.as_ref().into(),
        workspace: None,
        parent: None,
        tags: Tags::Whatever,
        after: window.after,
        limit: CHUNK,
    };
    let enough = window.size + 1;
    let read = move |rows: &mut dyn gibbon_store::Rows| -> Result<Vec<Row>, StoreError> {
        let mut found = Vec::new();
        for _ in 0..LOOK_AT_MOST / CHUNK {
            let page = rows.page(&query)?;
            let Some(last) = page.last() else { break };
            query.after = Some(last.id);
            found.extend(page.into_iter().filter(|row| wanted.admits(&row.document)));
            if found.len() >= enough {
                break;
            }
        }
        found.truncate(enough);
        Ok(found)
    };
    let rows = match admin.documents.conductor.read(read).await {
        Ok(rows) => rows,
        Err(error) => return failure::of_store(&error),
    };
    let mut shown = Vec::with_capacity(rows.len());
    for row in rows {
        let id = row.id;
        match admin.documents.show(&def, row).await {
            Ok(value) => shown.push((id, value)),
            Err(error) => return failure::of_store(&error),
        }
    }
    let path = format!("/audit/{}", kind.trim_start_matches("audit_"));
    Answer::ok(page::page(call, &path, &window, shown, false, Uuid::nil()))
}

/// Which records are asked for.
struct Wanted {
    fields: Vec<(String, String)>,
    after: Option<i64>,
    before: Option<i64>,
}

impl Wanted {
    fn of(call: &Call, record: &gibbon_schema::Record) -> Result<Wanted, Answer> {
        let time = |name: &str| match call.arguments.get(name).map(str::parse::<i64>) {
            None => Ok(None),
            Some(Ok(seconds)) => Ok(Some(seconds)),
            Some(Err(_)) => Err(failure::invalid_options(json!({ name: "must be a number of seconds" }))),
        };
        let given = call.arguments.iter().filter(|(name, _)| !OF_THE_PAGE.contains(name));
        let known = given.filter(|(name, _)| record.get(name).is_some());
        let fields = known.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Ok(Wanted { fields, after: time("after")?, before: time("before")? })
    }

    fn admits(&self, record: &Value) -> bool {
        let at = record.get("request_timestamp").and_then(Value::as_i64).unwrap_or_default();
        let in_time = self.after.is_none_or(|after| at >= after) && self.before.is_none_or(|before| at < before);
        in_time
            && self.fields.iter().all(|(name, wanted)| match record.get(name) {
                Some(Value::String(text)) => text == wanted,
                Some(Value::Null) | None => wanted.is_empty(),
                Some(Value::Number(number)) => wanted.parse() == Ok(number.as_i64().unwrap_or_default()),
                Some(_) => false,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audit() -> Audit {
        let exclude = ["token", "secret", "password"].map(ToOwned::to_owned).to_vec();
        Audit::new(AuditSettings { exclude, ..AuditSettings::default() })
    }

    #[test]
    fn secrets_are_left_out_at_any_depth_and_named() {
        let mut value = json!({"name": "a", "user_token": "t", "config": {"secret": "s", "list": [{"password": "p"}]}});
        let (text, removed) = audit().stripped(&mut value);
        assert_eq!(text, r#"{"name":"a","config":{"list":[{}]}}"#);
        assert_eq!(removed.as_deref(), Some("password,secret,user_token"));
        assert!(!audit().is_excluded("tokens_per_minute") && audit().is_excluded("config.secret"));
    }

    #[test]
    fn a_signature_is_made_over_the_values_in_order_of_their_names() {
        let record =
            json!({"method": "GET", "client_ip": "::1", "rbac_user_id": null, "status": 200, "signature": "x"});
        let Value::Object(record) = record else { return };
        assert_eq!(signed_text(&record), "::1|GET||200");
    }
}
