//! The plugin's paths of the Admin API: obtain a certificate now, renew, and look at what there is.

use std::sync::Arc;
use std::time::Duration;

use gibbon_message::Method;
use gibbon_pdk::{AdminAnswer, AdminCall, AdminPaths, OutcallRequest, SendFuture};
use serde_json::{Value, json};
use x509_parser::public_key::PublicKey;

use super::InForce;
use super::certificates::{Held, issuer_name, with_leaf};
use super::keeper::{Keeper, Outcome};
use super::storage::StorageError;

/// `/acme`, `/acme/certificates` and `/acme/certificates/HOST`.
pub struct AcmePaths(pub Arc<InForce>);

impl AdminPaths for AcmePaths {
    fn answer(&self, call: AdminCall) -> SendFuture<'_, Option<AdminAnswer>> {
        Box::pin(async move {
            let Some(keeper) = self.0.get() else {
                return Some(AdminAnswer::message(404, "Not found"));
            };
            let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
            Some(match (&call.method, path.as_slice()) {
                (Method::Post, []) => obtain(&keeper, &call.body).await,
                (Method::Patch, []) => {
                    keeper.renew_now();
                    AdminAnswer::message(202, "Renewal process started successfully")
                }
                (Method::Get | Method::Head, ["certificates"]) => {
                    let invalid_only = call.query.iter().any(|(name, _)| name == "invalid_only");
                    shown(certificates(&keeper, invalid_only).await)
                }
                (Method::Get | Method::Head, ["certificates", host]) => shown(certificate(&keeper, host).await),
                (_, [] | ["certificates"] | ["certificates", _]) => AdminAnswer::message(405, "Method not allowed"),
                _ => return None,
            })
        })
    }
}

async fn obtain(keeper: &Keeper, body: &Value) -> AdminAnswer {
    let field = |name: &str| body.get(name).filter(|value| !value.is_null());
    let Some(host) = field("host").and_then(Value::as_str).map(str::to_ascii_lowercase) else {
        return AdminAnswer::message(400, "host must be provided");
    };
    if !keeper.domains.allows(&host) {
        let message = format!("problem found running sanity check for {host}: no domain in configuration allows it");
        return AdminAnswer::message(400, &message);
    }
    let test_only =
        field("test_http_challenge_flow").is_some_and(|flag| flag == true || flag == "true" || flag == "on");
    if test_only {
        return match check_challenges(keeper, &host).await {
            Ok(()) => AdminAnswer::message(200, &format!("sanity test for host {host} passed")),
            Err(why) => AdminAnswer::message(400, &format!("problem found running sanity check for {host}: {why}")),
        };
    }
    match keeper.keep(&host).await {
        Ok(Outcome::Obtained | Outcome::Kept) => {
            AdminAnswer::message(201, &format!("certificate for host {host} is created"))
        }
        Ok(Outcome::Later) => {
            AdminAnswer::message(400, &format!("certificate for host {host} is being obtained, or failed not long ago"))
        }
        Err(error) => AdminAnswer::message(500, &format!("failed to update certificate for {host}: {error}")),
    }
}

/// Whether a challenge for the name would reach this plugin.
async fn check_challenges(keeper: &Keeper, host: &str) -> Result<(), String> {
    let url = format!("http://{host}/.well-known/acme-challenge/x");
    let mut request = OutcallRequest::new(Method::Get, url);
    request.timeout = Duration::from_secs(10);
    request.max_response_bytes = 64 << 10;
    let answer = keeper.authority.plain(request).await.map_err(|error| error.to_string())?;
    if answer.status == 404 && &answer.body[..] == b"Not found\n" {
        return Ok(());
    }
    Err(format!("unexpected response: status {}, {} bytes", answer.status, answer.body.len()))
}

fn shown(found: Result<AdminAnswer, StorageError>) -> AdminAnswer {
    found.unwrap_or_else(|error| AdminAnswer::message(500, &format!("failed to list certificates: {error}")))
}

async fn certificates(keeper: &Keeper, invalid_only: bool) -> Result<AdminAnswer, StorageError> {
    let mut data = Vec::new();
    for host in keeper.hosts().await? {
        if let Some(held) = keeper.stored(&host).await?
            && !(invalid_only && held.not_after > keeper.clock.wall())
        {
            data.extend(description(&host, &held, keeper.clock.wall()));
        }
    }
    Ok(AdminAnswer::json(200, json!({ "data": data })))
}

async fn certificate(keeper: &Keeper, host: &str) -> Result<AdminAnswer, StorageError> {
    let held = keeper.stored(host).await?;
    Ok(match held.and_then(|held| description(host, &held, keeper.clock.wall())) {
        Some(data) => AdminAnswer::json(200, json!({ "data": data })),
        None => AdminAnswer::message(404, &format!("Certificate for host {host} not found in storage")),
    })
}

fn description(host: &str, held: &Held, now: i64) -> Option<Value> {
    with_leaf(&held.pem.cert, |leaf| {
        let moment = |seconds: i64| {
            let time = jiff::Timestamp::from_second(seconds).unwrap_or_default();
            time.strftime("%Y-%m-%d %H:%M:%S").to_string()
        };
        let validity = leaf.validity();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, leaf.as_raw());
        let key = match leaf.public_key().parsed() {
            Ok(PublicKey::RSA(_)) => "rsaEncryption",
            Ok(PublicKey::EC(_)) => "id-ecPublicKey",
            _ => "unknown",
        };
        json!({
            "digest": hex(digest.as_ref()),
            "host": host,
            "issuer_cn": issuer_name(leaf),
            "not_before": moment(validity.not_before.timestamp()),
            "not_after": moment(validity.not_after.timestamp()),
            "valid": validity.not_before.timestamp() <= now && now < validity.not_after.timestamp(),
            "serial_number": hex(leaf.raw_serial()),
            "pubkey_type": key,
        })
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
