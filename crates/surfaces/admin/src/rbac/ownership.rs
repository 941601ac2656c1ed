//! Where permissions are on entities, whoever makes an entity may go on to work with it: it is added to a role of their
//! own, which is made when it is first needed.

use std::sync::Arc;

use gibbon_model::EntityDef;
use gibbon_plan::Change;
use gibbon_store::{Address, Document, Documents};
use http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Identity;
use crate::Admin;
use crate::answer::Answer;
use crate::audit::Witness;
use crate::failure::{self, Deed};

impl Admin {
    /// Gives the caller of a call the entities it made.
    pub(crate) async fn own_what_was_made(&self, witness: &Witness, changes: &[Change]) {
        let Some(who) = witness.identity.as_ref().filter(|who| who.by_entity) else { return };
        let is_new = |change: &&Change| {
            change.before.is_none() && !who.permissions.allow_entity(change.workspace, change.id, super::Action::Update)
        };
        let made: Vec<&Change> = changes.iter().filter(is_new).collect();
        if made.is_empty() {
            return;
        }
        if let Err(answer) = own(&self.documents, who, &made).await {
            tracing::error!(target: "admin", "{} does not get what they made: {}", who.name, answer.status);
        }
    }
}

async fn own(documents: &Documents, who: &Arc<Identity>, made: &[&Change]) -> Result<(), Answer> {
    let user = document(documents, "rbac_users", who.id).await?;
    let role = own_role(documents, &who.name, &user).await?;
    for change in made {
        let permission = json!({
            "role": { "id": role.to_string() }, "entity_id": change.id.to_string(), "entity_type": &*change.entity,
            "actions": ["create", "delete", "read", "update"],
        });
        make(documents, "rbac_role_entities", user.workspace, permission).await?;
    }
    Ok(())
}

/// The role that is the user's alone.
async fn own_role(documents: &Documents, name: &str, user: &gibbon_store::Row) -> Result<Uuid, Answer> {
    let roles = def(documents, "rbac_roles")?;
    let address = Address::Key { field: "name".into(), value: name.into() };
    let found = documents.find(&roles, user.workspace, &address).await.map_err(|e| failure::of_store(&e))?;
    if let Some(role) = found {
        return match role.document.get("is_default") == Some(&Value::Bool(true)) {
            true => Ok(role.id),
            // Somebody's role of that name is not to grow behind their back.
            false => Err(Answer::nothing(StatusCode::CONFLICT)),
        };
    }
    let role = make(documents, "rbac_roles", user.workspace, json!({ "name": name, "is_default": true })).await?;
    let link = json!({ "user": { "id": user.id.to_string() }, "role": { "id": role.to_string() } });
    make(documents, "rbac_user_roles", user.workspace, link).await?;
    Ok(role)
}

async fn document(documents: &Documents, entity: &str, id: Uuid) -> Result<gibbon_store::Row, Answer> {
    let entity = entity.to_owned();
    let row = documents.conductor.read(move |rows| rows.get(&entity, id)).await.map_err(|e| failure::of_store(&e))?;
    row.ok_or_else(Answer::not_found)
}

async fn make(documents: &Documents, entity: &str, workspace: Uuid, fields: Value) -> Result<Uuid, Answer> {
    let def = def(documents, entity)?;
    let fields: Document = fields.as_object().cloned().unwrap_or_default();
    let made = documents.insert(&def, workspace, fields).await;
    made.map(|row| row.id).map_err(|e| failure::of_change(&e, &def, Deed::Create))
}

fn def(documents: &Documents, name: &str) -> Result<Arc<EntityDef>, Answer> {
    documents.registry.get(name).map(Arc::clone).ok_or_else(Answer::not_found)
}
