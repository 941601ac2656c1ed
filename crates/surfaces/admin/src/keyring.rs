//! The keys that secrets are encrypted with in the database: which there are, new ones, and the one in use. Where encryption
//! is off, none of this exists.

use std::sync::Arc;

use gibbon_store::{ChangeError, Keyring, KeyringChange, KeyringError, PrivateKey};
use http::StatusCode;
use serde_json::json;

use crate::answer::Answer;
use crate::call::Call;
use crate::{Admin, failure};

fn keyring(admin: &Admin) -> Result<&Arc<Keyring>, Answer> {
    admin.documents.conductor.keyring().ok_or_else(Answer::not_found)
}

async fn change(admin: &Admin, change: KeyringChange) -> Result<(), Answer> {
    admin.documents.conductor.change_keyring(&change).await.map_err(|error| match error {
        ChangeError::Store(error) => failure::of_store(&error),
        other => Answer::bad(other.to_string()),
    })
}

/// The identifier that a body names; Kong calls it `key`.
fn named(call: &Call) -> Result<String, Answer> {
    let fields = call.body.fields_as_sent()?;
    let id = ["key", "id"].iter().find_map(|name| fields.get(*name)?.as_str());
    id.filter(|id| !id.is_empty()).map(str::to_owned).ok_or_else(|| Answer::bad("key: required field missing"))
}

fn refused(error: &KeyringError) -> Answer {
    Answer::bad(error.to_string())
}

/// `/keyring`
pub fn show(admin: &Admin) -> Answer {
    match keyring(admin) {
        Ok(keyring) => {
            let (active, ids) = keyring.ids();
            Answer::ok(json!({ "active": active, "ids": ids }))
        }
        Err(answer) => answer,
    }
}

/// `/keyring/generate`
pub async fn generate(admin: &Admin) -> Answer {
    let done = async {
        let keyring = keyring(admin)?;
        let id = Keyring::new_id();
        change(admin, KeyringChange::Generate(id.clone())).await?;
        let key = keyring.key(&id);
        Ok(Answer::json(StatusCode::CREATED, json!({ "id": id, "key": key })))
    };
    done.await.unwrap_or_else(|answer: Answer| answer)
}

/// `/keyring/activate`: everything stored is encrypted with that key anew.
pub async fn activate(admin: &Admin, call: &Call) -> Answer {
    let done = async {
        let id = known(admin, call)?;
        change(admin, KeyringChange::Activate(id)).await?;
        Ok(Answer::no_content())
    };
    done.await.unwrap_or_else(|answer: Answer| answer)
}

/// `/keyring/remove`
pub async fn remove(admin: &Admin, call: &Call) -> Answer {
    let done = async {
        let id = known(admin, call)?;
        if keyring(admin)?.ids().0.as_ref() == Some(&id) {
            return Err(refused(&KeyringError::Active));
        }
        change(admin, KeyringChange::Remove(id)).await?;
        Ok(Answer::no_content())
    };
    done.await.unwrap_or_else(|answer: Answer| answer)
}

fn known(admin: &Admin, call: &Call) -> Result<String, Answer> {
    let (id, (_, ids)) = (named(call)?, keyring(admin)?.ids());
    match ids.contains(&id) {
        true => Ok(id),
        false => Err(Answer::message(StatusCode::NOT_FOUND, KeyringError::NoKey(id).to_string())),
    }
}

/// `/keyring/export`: all keys, for the holder of the node's private key.
pub fn export(admin: &Admin) -> Answer {
    let data = keyring(admin).and_then(|keyring| keyring.export().map_err(|error| refused(&error)));
    data.map_or_else(|answer| answer, |data| Answer::ok(json!({ "data": data })))
}

/// `/keyring/import`: the `data` of an export, or one key with its identifier.
pub async fn import(admin: &Admin, call: &Call) -> Answer {
    let done = async {
        let keyring = keyring(admin)?;
        let fields = call.body.fields_as_sent()?;
        let text = |name: &str| fields.get(name).and_then(|value| value.as_str()).map(str::to_owned);
        let wanted = match (text("data"), text("id"), text("key")) {
            (Some(data), ..) => KeyringChange::Import(data),
            (None, Some(id), Some(key)) => KeyringChange::Add(id, key),
            _ => return Err(Answer::bad("data: required field missing; or send id and key")),
        };
        // What a client got wrong is told apart from what the datastore did.
        keyring.check(&wanted).map_err(|error| refused(&error))?;
        change(admin, wanted).await?;
        Ok(Answer::nothing(StatusCode::CREATED))
    };
    done.await.unwrap_or_else(|answer: Answer| answer)
}

/// `/keyring/recover`: opens the stored keys with the private half of `keyring_recovery_public_key`.
pub async fn recover(admin: &Admin, call: &Call) -> Answer {
    let done = async {
        let keyring = keyring(admin)?;
        let fields = call.body.fields_as_sent()?;
        let pem = fields.get("recovery_private_key").and_then(|value| value.as_str());
        let pem = pem.ok_or_else(|| Answer::bad("recovery_private_key: required field missing"))?;
        let key = PrivateKey::of_pem(pem).map_err(|error| refused(&error))?;
        let ids = keyring.recover(&key).map_err(|error| refused(&error))?;
        change(admin, KeyringChange::Keep).await?;
        let message = format!("successfully recovered {} keys", ids.len());
        Ok(Answer::ok(json!({ "message": message, "recovered": ids, "not_recovered": [] })))
    };
    done.await.unwrap_or_else(|answer: Answer| answer)
}

/// `/keyring/vault/sync`
pub fn sync(admin: &Admin) -> Answer {
    match keyring(admin) {
        Ok(_) => Answer::bad("keyring_strategy is not vault"),
        Err(answer) => answer,
    }
}
