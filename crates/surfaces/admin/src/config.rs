//! The whole configuration of a node without a datastore: shown as a file, and replaced by one.

use gibbon_declare::{DeclareError, Declared, Loader, flatten};
use gibbon_model::DEFAULT_WORKSPACE_ID;
use gibbon_schema::Sources as _;
use gibbon_store::{ChangeError, SystemSources};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::answer::Answer;
use crate::body::Body;
use crate::call::Call;
use crate::{Admin, failure};

/// After so many seconds a client may try again.
const RETRY_AFTER: &str = "60";

pub async fn config(admin: &Admin, call: &Call) -> Answer {
    if !admin.documents.conductor.is_declarative() {
        return Answer::bad("this endpoint is only available when Kong is configured to not use a database");
    }
    match call.method {
        Method::POST => post(admin, call).await,
        _ => get(admin).await,
    }
}

async fn get(admin: &Admin) -> Answer {
    let all = match admin.documents.all().await {
        Ok(all) => all,
        Err(error) => return failure::of_store(&error),
    };
    let entities = all.iter().map(|(kind, documents)| (kind.as_str(), documents.as_slice()));
    match gibbon_declare::export(&admin.documents.registry, None, entities) {
        Ok(text) => Answer::ok(json!({ "config": text })),
        Err(error) => {
            tracing::error!(target: "admin", "the configuration cannot be written: {error}");
            Answer::unexpected()
        }
    }
}

/// What a client sent: the text of a file, or one as a tree.
enum Sent {
    Text(Vec<u8>),
    Nothing,
}

fn sent(body: &Body) -> Sent {
    match body {
        Body::Yaml(text) => Sent::Text(text.clone()),
        Body::Json(Value::Object(fields)) => match fields.get("config") {
            Some(Value::String(text)) => Sent::Text(text.clone().into_bytes()),
            Some(tree) if !fields.contains_key("_format_version") => Sent::Text(tree.to_string().into_bytes()),
            _ if fields.contains_key("_format_version") => Sent::Text(json!(fields).to_string().into_bytes()),
            _ => Sent::Nothing,
        },
        Body::Form(form) => match form.get("config").and_then(|node| node.text()) {
            Some(text) => Sent::Text(text.as_bytes().to_vec()),
            None => Sent::Nothing,
        },
        _ => Sent::Nothing,
    }
}

/// An option given as argument or beside the file.
fn option(call: &Call, name: &str) -> bool {
    let yes = |text: &str| matches!(text, "1" | "true" | "on" | "yes");
    let in_body = match &call.body {
        Body::Json(value) => match value.get(name) {
            Some(Value::Bool(flag)) => *flag,
            Some(Value::Number(number)) => number.as_i64() == Some(1),
            Some(Value::String(text)) => yes(text),
            _ => false,
        },
        Body::Form(form) => form.get(name).and_then(|node| node.text()).is_some_and(yes),
        _ => false,
    };
    in_body || call.arguments.flag(name)
}

async fn post(admin: &Admin, call: &Call) -> Answer {
    let Sent::Text(text) = sent(&call.body) else { return Answer::bad("expected a declarative configuration") };
    let Ok(_loading) = admin.loading.try_acquire() else {
        return Answer::message(StatusCode::TOO_MANY_REQUESTS, "Currently loading previous configuration")
            .with_header("retry-after", RETRY_AFTER);
    };
    if option(call, "check_hash") && gibbon_declare::hash(&text) == admin.node.configuration_hash() {
        return Answer::nothing(StatusCode::NOT_MODIFIED);
    }
    let flattened = option(call, "flatten_errors");
    let (registry, compat) = (admin.documents.registry.clone(), admin.documents.compat);
    // Large files take seconds: not on a thread that answers others.
    let read = tokio::task::spawn_blocking(move || {
        let mut sources = SystemSources::new();
        let stamped = sources.now();
        let mut loader = Loader { registry: &registry, compat, sources: &mut sources };
        let loaded = gibbon_declare::load(&text, &mut loader);
        loaded.map(|declared| (declared, stamped)).map_err(|error| refusal(&error, &text, flattened, &registry))
    });
    match read.await {
        Ok(Ok((declared, stamped))) => accept(admin, declared, stamped).await,
        Ok(Err(answer)) => answer,
        Err(_) => Answer::unexpected(),
    }
}

async fn accept(admin: &Admin, declared: Declared, stamped: f64) -> Answer {
    let workspace = Uuid::parse_str(DEFAULT_WORKSPACE_ID).unwrap_or_default();
    let shown = declared.by_id(&admin.documents.registry);
    match admin.documents.declare(workspace, declared.entities, &declared.hash, stamped).await {
        Ok(()) => Answer::json(StatusCode::CREATED, shown),
        Err(error) => not_in_force(&error),
    }
}

/// The file is sound, but what it says cannot be put in force.
fn not_in_force(error: &ChangeError) -> Answer {
    if let ChangeError::Store(_) = error {
        return Answer::message(StatusCode::SERVICE_UNAVAILABLE, "Kong currently exiting");
    }
    Answer::json(
        StatusCode::BAD_REQUEST,
        json!({
            "code": 14,
            "name": "invalid declarative configuration",
            "message": format!("declarative config is invalid: {error}"),
            "fields": { "@entity": [error.to_string()] },
        }),
    )
}

/// The answer to a file that is not sound.
fn refusal(error: &DeclareError, text: &[u8], flattened: bool, registry: &gibbon_model::Registry) -> Answer {
    let DeclareError::Invalid(invalid) = error else {
        let message = error.to_string();
        return Answer::json(
            StatusCode::BAD_REQUEST,
            json!({
                "code": 14,
                "name": "invalid declarative configuration",
                "message": format!("declarative config is invalid: {{error=\"{message}\"}}"),
                "fields": { "error": message },
            }),
        );
    };
    let mut body = invalid.to_json();
    if flattened && let (Ok(document), Value::Object(fields)) = (gibbon_declare::parse(text), &mut body) {
        let flat = flatten(&invalid.faults, &document, registry);
        fields.insert("flattened_errors".into(), flat.errors.into());
        fields.insert("fields".into(), flat.rest.to_json());
    }
    Answer::json(StatusCode::BAD_REQUEST, body)
}
