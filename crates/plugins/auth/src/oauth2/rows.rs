//! Codes and tokens in the store, in the form of the entities `oauth2_authorization_codes` and `oauth2_tokens`.

use std::time::Duration;

use gibbon_pdk::{Fault, Host, Random, Store, StoreError};
use serde_json::{Value, json};
use uuid::Uuid;

const CODES: &str = "oauth2_authorization_codes";
const TOKENS: &str = "oauth2_tokens";
/// A code is for immediate use (RFC 6749 4.1.2 recommends ten minutes at most).
const CODE_LIFE: Duration = Duration::from_secs(300);

/// A code or a token as it was read.
#[derive(Clone, Debug)]
pub struct Row(Value);

impl Row {
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// The id of another entity.
    #[must_use]
    pub fn foreign(&self, name: &str) -> Option<Uuid> {
        Uuid::parse_str(self.0.get(name)?.get("id")?.as_str()?).ok()
    }

    /// Whether an access token is past its time; 0 is without end.
    #[must_use]
    pub fn is_expired(&self, now: i64) -> bool {
        let number = |name: &str| self.0.get(name).and_then(Value::as_f64).unwrap_or(0.0);
        let expires_in = number("expires_in");
        expires_in > 0.0 && now as f64 - number("created_at") > expires_in
    }
}

/// What a token, or a code for one, stands for.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Of the client.
    pub workspace: Uuid,
    /// `None` for tokens that are good for every service.
    pub service: Option<Uuid>,
    pub client: Uuid,
    pub authenticated_userid: Option<String>,
    pub scope: Option<String>,
}

fn reference(id: Option<Uuid>) -> Value {
    id.map_or(Value::Null, |id| json!({ "id": id.to_string() }))
}

/// 32 letters and digits, 190 bits.
#[must_use]
pub fn secret(random: &dyn Random) -> String {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut out = String::with_capacity(32);
    while out.len() < 32 {
        let mut bytes = [0; 48];
        random.fill(&mut bytes);
        // Values that would make some letters likelier than others are thrown away.
        let letters = bytes.iter().map(|b| usize::from(b & 63)).filter_map(|at| LETTERS.get(at));
        out.extend(letters.map(|letter| char::from(*letter)).take(32 - out.len()));
    }
    out
}

/// The store cannot do what is needed; nobody becomes anonymous because of it.
pub fn fault(error: &StoreError) -> Fault {
    Fault::plugin(format!("codes and tokens cannot be reached: {error}"))
}

async fn find(store: &dyn Store, place: Uuid, kind: &str, field: &str, value: &str) -> Result<Option<Row>, Fault> {
    store.get_in(place, kind, field, value).await.map(|row| row.map(Row)).map_err(|e| fault(&e))
}

/// The code, in the workspace of the client.
pub async fn code(store: &dyn Store, workspace: Uuid, code: &str) -> Result<Option<Row>, Fault> {
    find(store, workspace, CODES, "code", code).await
}

pub async fn by_access_token(store: &dyn Store, workspace: Uuid, token: &str) -> Result<Option<Row>, Fault> {
    find(store, workspace, TOKENS, "access_token", token).await
}

pub async fn by_refresh_token(store: &dyn Store, workspace: Uuid, token: &str) -> Result<Option<Row>, Fault> {
    find(store, workspace, TOKENS, "refresh_token", token).await
}

/// Keeps a new code and gives it.
pub async fn add_code(host: &Host, grant: &Grant, challenge: Option<&str>, plugin: Uuid) -> Result<String, Fault> {
    let code = secret(&*host.random);
    let row = json!({
        "id": host.random.uuid().to_string(),
        "created_at": host.clock.wall(),
        "service": reference(grant.service),
        "credential": reference(Some(grant.client)),
        "code": code,
        "authenticated_userid": grant.authenticated_userid,
        "scope": grant.scope,
        "challenge": challenge,
        "challenge_method": challenge.map(|_| super::pkce::METHOD),
        "plugin": reference(Some(plugin)),
    });
    host.store.put_in(grant.workspace, CODES, row, Some(CODE_LIFE)).await.map_err(|e| fault(&e))?;
    Ok(code)
}

/// Secrets and life time of a token to be kept.
#[derive(Clone, Debug)]
pub struct NewToken {
    pub access_token: String,
    pub refresh_token: Option<String>,
    pub expires_in: u64,
    pub ttl: Option<Duration>,
}

pub async fn add_token(host: &Host, grant: &Grant, new: &NewToken) -> Result<(), Fault> {
    let row = json!({
        "id": host.random.uuid().to_string(),
        "created_at": host.clock.wall(),
        "service": reference(grant.service),
        "credential": reference(Some(grant.client)),
        "token_type": "bearer",
        "expires_in": new.expires_in,
        "access_token": new.access_token,
        "refresh_token": new.refresh_token,
        "authenticated_userid": grant.authenticated_userid,
        "scope": grant.scope,
    });
    host.store.put_in(grant.workspace, TOKENS, row, new.ttl).await.map(drop).map_err(|e| fault(&e))
}

/// Puts a new access token into the place of a token's old one.
pub async fn renew_token(host: &Host, workspace: Uuid, old: &Row, new: &NewToken) -> Result<(), Fault> {
    let mut row = old.0.clone();
    if let Some(fields) = row.as_object_mut() {
        fields.insert("access_token".into(), json!(new.access_token));
        fields.insert("expires_in".into(), json!(new.expires_in));
        fields.insert("created_at".into(), json!(host.clock.wall()));
    }
    host.store.put_in(workspace, TOKENS, row, new.ttl).await.map(drop).map_err(|e| fault(&e))
}

/// Uses a code up: `false` if somebody else was first, perhaps on another node.
pub async fn use_code(store: &dyn Store, row: &Row) -> Result<bool, Fault> {
    store.delete(CODES, row.text("id").unwrap_or_default()).await.map_err(|e| fault(&e))
}

/// Uses a refresh token up, with its token: `false` if somebody else was first.
pub async fn use_token(store: &dyn Store, row: &Row) -> Result<bool, Fault> {
    store.delete(TOKENS, row.text("id").unwrap_or_default()).await.map_err(|e| fault(&e))
}
