//! Access control: who calls, and whether they may. Off unless settings ask for it.
//!
//! A call shows its token in a header. The user it belongs to, the user's roles and their permissions are read from the
//! store for every call, so that what is taken away is gone with the next one. What a rule means stands in
//! [`permissions`], the paths to manage them in [`paths`], the roles that are there from the start in [`defaults`].

mod defaults;
mod grants;
mod ownership;
pub mod paths;
mod permissions;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::hmac;
use gibbon_model::{is_token, token_ident};
use gibbon_store::{Documents, Query, Rows, StoreError, Tags};
use http::{HeaderMap, HeaderName, Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

pub use defaults::{FirstUser, has_users, prepare};
pub use permissions::{Action, Permissions};

use crate::answer::Answer;
use crate::failure;

/// What is demanded of callers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Enforce {
    /// Nothing.
    #[default]
    Off,
    /// Permission for the path.
    Endpoints,
    /// Permission for each entity.
    Entities,
    Both,
}

/// Access control as the settings have it.
#[derive(Clone, Debug)]
pub struct RbacSettings {
    pub enforce: Enforce,
    /// The header with the token.
    pub header: String,
}

impl Default for RbacSettings {
    fn default() -> Self {
        RbacSettings { enforce: Enforce::Off, header: "Kong-Admin-Token".into() }
    }
}

/// The user who calls, with what they may do.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    pub id: Uuid,
    pub name: String,
    pub permissions: Permissions,
    /// Whether paths, and whether entities, are looked at.
    pub by_endpoint: bool,
    pub by_entity: bool,
}

impl Identity {
    pub fn may_call(&self, workspace: &str, path: &[String], action: Action) -> bool {
        self.permissions.allow_call(workspace, path, action)
    }

    /// # Errors
    /// The answer to a caller who may not do that to that path.
    pub fn demand(&self, workspace: &str, path: &[String], method: &Method) -> Result<(), Answer> {
        let refused = |action: &&Action| !self.may_call(workspace, path, **action);
        match actions_of(method).iter().find(refused).filter(|_| self.by_endpoint) {
            Some(action) => Err(forbidden(&self.name, *action)),
            None => Ok(()),
        }
    }
}

/// How many tokens are remembered as good, so that not every call pays for the slow hash.
const REMEMBERED: usize = 1024;
/// How many users are read at once.
const CHUNK: usize = 1000;
/// Tokens longer than this are refused unread: hashing costs in proportion.
pub const LONGEST_TOKEN: usize = 1024;

/// Looks at who calls.
pub struct Guard {
    enforce: Enforce,
    header: HeaderName,
    /// Makes what is remembered useless outside this process.
    key: hmac::Key,
    /// Tags of tokens that were found good, with the user and the stored hash they were good for.
    good: Mutex<HashMap<Vec<u8>, (Uuid, String)>>,
}

impl Guard {
    /// A header name that cannot be one falls back to Kong's.
    pub fn new(settings: &RbacSettings) -> Guard {
        let mut secret = [0u8; 32];
        secret[..16].copy_from_slice(Uuid::new_v4().as_bytes());
        secret[16..].copy_from_slice(Uuid::new_v4().as_bytes());
        Guard {
            enforce: settings.enforce,
            header: settings.header.parse().unwrap_or(HeaderName::from_static("kong-admin-token")),
            key: hmac::Key::new(hmac::HMAC_SHA256, &secret),
            good: Mutex::default(),
        }
    }

    pub fn is_on(&self) -> bool {
        self.enforce != Enforce::Off
    }

    pub fn header_name(&self) -> &str {
        self.header.as_str()
    }

    /// Who calls; nobody in particular where that is not asked.
    ///
    /// # Errors
    /// The answer to those who do not show one token of an enabled user.
    pub async fn identify(&self, documents: &Documents, headers: &HeaderMap) -> Result<Option<Identity>, Answer> {
        if !self.is_on() {
            return Ok(None);
        }
        let mut shown = headers.get_all(&self.header).iter();
        let token = match (shown.next().map(|token| token.to_str()), shown.next()) {
            (Some(Ok(token)), None) if !token.is_empty() && token.len() <= LONGEST_TOKEN => token.to_owned(),
            _ => return Err(unauthorised()),
        };
        let ident = token_ident(&token);
        let candidates = documents.conductor.read(move |rows| candidates(rows, &ident)).await;
        for candidate in candidates.map_err(|e| failure::of_store(&e))? {
            if self.fits(&candidate, &token).await {
                let (id, name) = (candidate.id, candidate.name);
                let permissions = documents.conductor.read(move |rows| grants::of_user(rows, id)).await;
                let permissions = permissions.map_err(|e| failure::of_store(&e))?;
                let by_endpoint = matches!(self.enforce, Enforce::Endpoints | Enforce::Both);
                let by_entity = matches!(self.enforce, Enforce::Entities | Enforce::Both);
                return Ok(Some(Identity { id, name, permissions, by_endpoint, by_entity }));
            }
        }
        Err(unauthorised())
    }

    async fn fits(&self, candidate: &Candidate, token: &str) -> bool {
        let tag = hmac::sign(&self.key, token.as_bytes()).as_ref().to_vec();
        let known = (candidate.id, candidate.hash.clone());
        if self.good.lock().unwrap_or_else(PoisonError::into_inner).get(&tag) == Some(&known) {
            return true;
        }
        let (hash, token) = (candidate.hash.clone(), token.to_owned());
        let fits = tokio::task::spawn_blocking(move || is_token(&hash, &token)).await.unwrap_or(false);
        if fits {
            let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
            if good.len() >= REMEMBERED {
                good.clear();
            }
            good.insert(tag, known);
        }
        fits
    }
}

/// A user whose token begins its digest as the shown one does.
struct Candidate {
    id: Uuid,
    name: String,
    hash: String,
}

fn candidates(rows: &mut dyn Rows, ident: &str) -> Result<Vec<Candidate>, StoreError> {
    let mut query = Query {
        entity: "rbac_users".into(),
        workspace: None,
        parent: None,
        tags: Tags::Whatever,
        after: None,
        limit: CHUNK,
    };
    let mut found = Vec::new();
    loop {
        let page = rows.page(&query)?;
        let Some(last) = page.last() else { return Ok(found) };
        query.after = Some(last.id);
        for row in page {
            let text = |name: &str| row.document.get(name).and_then(Value::as_str).unwrap_or_default();
            if text("user_token_ident") == ident && row.document.get("enabled") == Some(&Value::Bool(true)) {
                found.push(Candidate {
                    id: row.id,
                    name: text("name").to_owned(),
                    hash: text("user_token").to_owned(),
                });
            }
        }
    }
}

pub fn unauthorised() -> Answer {
    let body = json!({ "message": "Invalid RBAC credentials", "status": 401 });
    Answer::json(StatusCode::UNAUTHORIZED, body)
}

pub fn forbidden(name: &str, action: Action) -> Answer {
    let message = format!("{name}, you do not have permissions to {} this resource", action.name());
    Answer::json(StatusCode::FORBIDDEN, json!({ "message": message, "status": 403 }))
}

/// What a verb does. A PUT may make an entity or change one, so that it takes both.
fn actions_of(method: &Method) -> &'static [Action] {
    match *method {
        Method::POST => &[Action::Create],
        Method::PATCH => &[Action::Update],
        Method::PUT => &[Action::Update, Action::Create],
        Method::DELETE => &[Action::Delete],
        _ => &[Action::Read],
    }
}
