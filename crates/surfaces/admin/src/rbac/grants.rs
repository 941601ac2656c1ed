//! From the rows of users, groups and roles to the rules that hold for one user.

use std::collections::BTreeSet;

use gibbon_model::DEFAULT_WORKSPACE_ID;
use gibbon_store::{Row, Rows, StoreError};
use serde_json::Value;
use uuid::Uuid;

use super::permissions::{Actions, EndpointRule, EntityRule, Permissions, Scope};

/// Everything a user may do, by their own roles and by those of their groups.
pub fn of_user(rows: &mut dyn Rows, user: Uuid) -> Result<Permissions, StoreError> {
    let mut permissions = Permissions::default();
    for role in own_roles(rows, user)? {
        add_role(rows, &role, None, &mut permissions)?;
    }
    for (role, workspace) in roles_by_group(rows, user)? {
        add_role(rows, &role, Some(workspace), &mut permissions)?;
    }
    Ok(permissions)
}

/// The roles of a user, each once.
pub fn roles_of_user(rows: &mut dyn Rows, user: Uuid) -> Result<Vec<Row>, StoreError> {
    let mut roles = own_roles(rows, user)?;
    for (role, _) in roles_by_group(rows, user)? {
        if !roles.iter().any(|known| known.id == role.id) {
            roles.push(role);
        }
    }
    Ok(roles)
}

fn own_roles(rows: &mut dyn Rows, user: Uuid) -> Result<Vec<Row>, StoreError> {
    let ids: BTreeSet<Uuid> =
        rows.referrers("rbac_user_roles", "user", user)?.iter().filter_map(|link| named(link, "role")).collect();
    let mut roles = Vec::with_capacity(ids.len());
    for id in ids {
        roles.extend(rows.get("rbac_roles", id)?);
    }
    Ok(roles)
}

/// The roles of a user's groups, each with the workspace for which the group carries it.
fn roles_by_group(rows: &mut dyn Rows, user: Uuid) -> Result<Vec<(Row, Uuid)>, StoreError> {
    let mut roles = Vec::new();
    for group in rows.referrers("rbac_user_groups", "user", user)?.iter().filter_map(|link| named(link, "group")) {
        for link in rows.referrers("group_rbac_roles", "group", group)? {
            let (Some(role), Some(workspace)) = (named(&link, "rbac_role"), named(&link, "workspace")) else {
                continue;
            };
            roles.extend(rows.get("rbac_roles", role)?.map(|role| (role, workspace)));
        }
    }
    Ok(roles)
}

/// What one role allows and forbids.
pub fn of_role(rows: &mut dyn Rows, role: &Row) -> Result<Permissions, StoreError> {
    let mut permissions = Permissions::default();
    add_role(rows, role, None, &mut permissions)?;
    Ok(permissions)
}

/// A role of the default workspace may speak of every workspace, any other of its own only: who may write roles in one
/// workspace cannot give rights in another. So may a role that a group carries for the default workspace.
fn add_role(
    rows: &mut dyn Rows,
    role: &Row,
    carried_for: Option<Uuid>,
    to: &mut Permissions,
) -> Result<(), StoreError> {
    let places = [Some(role.workspace), carried_for].into_iter().flatten();
    let mut places = places.filter(|place| place.to_string() != DEFAULT_WORKSPACE_ID);
    let bound = places.next();
    if places.any(|other| Some(other) != bound) {
        return Ok(()); // of one workspace, carried for another
    }
    let own_name = match bound {
        Some(workspace) => rows.get("workspaces", workspace)?.map(|row| text(&row, "name")),
        None => None,
    };
    for row in rows.referrers("rbac_role_endpoints", "role", role.id)? {
        let mut rule = EndpointRule {
            workspace: text(&row, "workspace"),
            endpoint: text(&row, "endpoint"),
            actions: actions(&row),
            negative: is_negative(&row),
        };
        if bound.is_some() {
            match &own_name {
                Some(own) if rule.workspace == "*" || rule.workspace == *own => rule.workspace.clone_from(own),
                _ => continue,
            }
        }
        to.endpoints.push(rule);
    }
    for row in rows.referrers("rbac_role_entities", "role", role.id)? {
        let named = text(&row, "entity_id");
        let scope = match (named.as_str(), Uuid::parse_str(&named)) {
            ("*", _) => Scope::All,
            (_, Ok(id)) if text(&row, "entity_type") == "workspaces" => Scope::In(id),
            (_, Ok(id)) => Scope::One(id),
            _ => continue,
        };
        to.entities.push(EntityRule { scope, within: bound, actions: actions(&row), negative: is_negative(&row) });
    }
    Ok(())
}

fn named(link: &Row, field: &str) -> Option<Uuid> {
    Uuid::parse_str(link.document.get(field)?.get("id")?.as_str()?).ok()
}

fn text(row: &Row, field: &str) -> String {
    row.document.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn actions(row: &Row) -> Actions {
    let list = row.document.get("actions").and_then(Value::as_array).into_iter().flatten();
    Actions(list.filter_map(Value::as_str).map(ToOwned::to_owned).collect())
}

fn is_negative(row: &Row) -> bool {
    row.document.get("negative") == Some(&Value::Bool(true))
}
