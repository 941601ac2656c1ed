//! What rules allow. Pure: rules in, yes or no out.
//!
//! Of the rules that speak of an action, the most specific decides: one for the very workspace before one for all, one
//! for the very path before one with `*`. Where two are alike, the one that forbids wins. Where none speaks, the answer
//! is no.

use uuid::Uuid;

/// Something that is done to a path or an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Create,
    Read,
    Update,
    Delete,
}

impl Action {
    pub fn name(self) -> &'static str {
        match self {
            Action::Create => "create",
            Action::Read => "read",
            Action::Update => "update",
            Action::Delete => "delete",
        }
    }
}

/// Names of actions, as a permission has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actions(pub Vec<String>);

impl Actions {
    fn include(&self, action: Action) -> bool {
        self.0.iter().any(|name| name == action.name())
    }
}

/// A permission on paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointRule {
    /// A name, or `*`.
    pub workspace: String,
    /// `*`, or a path whose parts may be `*`, each for one part.
    pub endpoint: String,
    pub actions: Actions,
    pub negative: bool,
}

/// Which entities a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    All,
    /// All in a workspace.
    In(Uuid),
    One(Uuid),
}

/// A permission on entities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityRule {
    pub scope: Scope,
    /// The only workspace in which it counts; everywhere if not given.
    pub within: Option<Uuid>,
    pub actions: Actions,
    pub negative: bool,
}

/// Everything the roles of a user allow and forbid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    pub endpoints: Vec<EndpointRule>,
    pub entities: Vec<EntityRule>,
}

impl Permissions {
    /// Whether a path of a workspace may be called.
    pub fn allow_call(&self, workspace: &str, path: &[String], action: Action) -> bool {
        let path = canonical(path);
        let speaking = self.endpoints.iter().filter(|rule| rule.actions.include(action));
        let ranked = speaking.filter_map(|rule| {
            let very_workspace = rule.workspace == workspace;
            let place = (very_workspace || rule.workspace == "*").then_some(very_workspace)?;
            let depth = depth(&rule.endpoint, &path)?;
            Some((place, depth, rule.negative))
        });
        decide(ranked)
    }

    /// Whether something may be done to an entity.
    pub fn allow_entity(&self, workspace: Uuid, id: Uuid, action: Action) -> bool {
        let speaking = self.entities.iter().filter(|rule| rule.actions.include(action));
        let here = speaking.filter(|rule| rule.within.is_none_or(|within| within == workspace));
        let ranked = here.filter_map(|rule| {
            let rank = match rule.scope {
                Scope::One(one) if one == id => 2,
                Scope::In(place) if place == workspace => 1,
                Scope::All => 0,
                _ => return None,
            };
            Some((rank, 0, rule.negative))
        });
        decide(ranked)
    }
}

/// The highest rank decides; among equals, the rule that forbids.
fn decide<R: Ord>(rules: impl Iterator<Item = (R, usize, bool)>) -> bool {
    rules.max().is_some_and(|(.., negative)| !negative)
}

/// How specific a pattern is for a path it fits: its parts that are no `*`, and one for having parts at all.
fn depth(pattern: &str, path: &[String]) -> Option<usize> {
    if pattern == "*" {
        return Some(0);
    }
    let parts =
        canonical(&pattern.split('/').filter(|part| !part.is_empty()).map(ToOwned::to_owned).collect::<Vec<_>>());
    let fits =
        parts.len() == path.len() && parts.iter().zip(path).all(|(part, segment)| part == "*" || part == segment);
    fits.then(|| 1 + parts.iter().filter(|part| *part != "*").count())
}

/// Access control itself has two spellings, `/rbac/users` and `/rbac_users`: whoever forbids one means both.
fn canonical(path: &[String]) -> Vec<String> {
    let Some((first, rest)) = path.split_first() else { return Vec::new() };
    let below = match first.as_str() {
        "group_rbac_roles" => Some("group_roles"),
        other => other.strip_prefix("rbac_"),
    };
    match below {
        Some(below) => ["rbac", below].into_iter().map(ToOwned::to_owned).chain(rest.iter().cloned()).collect(),
        None => path.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(workspace: &str, endpoint: &str, actions: &[&str], negative: bool) -> EndpointRule {
        let actions = Actions(actions.iter().map(|a| (*a).to_owned()).collect());
        EndpointRule { workspace: workspace.into(), endpoint: endpoint.into(), actions, negative }
    }

    fn may(rules: &[EndpointRule], workspace: &str, path: &str, action: Action) -> bool {
        let permissions = Permissions { endpoints: rules.to_vec(), entities: Vec::new() };
        let path: Vec<String> = path.split('/').filter(|p| !p.is_empty()).map(ToOwned::to_owned).collect();
        permissions.allow_call(workspace, &path, action)
    }

    const ALL: &[&str] = &["create", "read", "update", "delete"];

    #[test]
    fn nothing_is_allowed_that_no_rule_speaks_of() {
        assert!(!may(&[], "default", "/services", Action::Read));
        let read = [rule("default", "*", &["read"], false)];
        assert!(may(&read, "default", "/services", Action::Read));
        assert!(may(&read, "default", "/", Action::Read));
        assert!(!may(&read, "default", "/services", Action::Delete));
        assert!(!may(&read, "team", "/services", Action::Read));
    }

    #[test]
    fn a_star_in_a_path_stands_for_one_part() {
        let rules = [rule("*", "/services/*/routes", ALL, false)];
        assert!(may(&rules, "team", "/services/a/routes", Action::Create));
        assert!(!may(&rules, "team", "/services/a/b/routes", Action::Create));
        assert!(!may(&rules, "team", "/services/a", Action::Create));
    }

    #[test]
    fn the_more_specific_rule_decides_and_among_equals_the_one_that_forbids() {
        let rules = [rule("*", "*", ALL, false), rule("*", "/rbac/*", ALL, true)];
        assert!(!may(&rules, "default", "/rbac/users", Action::Read));
        assert!(may(&rules, "default", "/services", Action::Read));
        let opened = [&rules[..], &[rule("default", "/rbac/users", &["read"], false)]].concat();
        assert!(may(&opened, "default", "/rbac/users", Action::Read));
        assert!(!may(&opened, "default", "/rbac/users", Action::Create));
        let both = [rule("*", "/a", ALL, false), rule("*", "/a", ALL, true)];
        assert!(!may(&both, "default", "/a", Action::Read));
    }

    #[test]
    fn a_rule_on_access_control_holds_for_both_spellings() {
        let rules = [rule("*", "*", ALL, false), rule("*", "/rbac/*", ALL, true), rule("*", "/rbac/*/*", ALL, true)];
        for path in ["/rbac_users", "/rbac_role_endpoints", "/rbac_users/x", "/group_rbac_roles"] {
            assert!(!may(&rules, "default", path, Action::Update), "{path}");
        }
    }

    #[test]
    fn an_entity_is_spoken_of_by_itself_by_its_workspace_or_with_all_others() {
        let (home, away, id) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
        let rule =
            |scope, negative| EntityRule { scope, within: None, actions: Actions(vec!["read".into()]), negative };
        let may = |rules: &[EntityRule], workspace| {
            let permissions = Permissions { endpoints: Vec::new(), entities: rules.to_vec() };
            permissions.allow_entity(workspace, id, Action::Read)
        };
        assert!(may(&[rule(Scope::All, false)], away));
        assert!(may(&[rule(Scope::In(home), false)], home) && !may(&[rule(Scope::In(home), false)], away));
        assert!(!may(&[rule(Scope::All, false), rule(Scope::One(id), true)], home));
        let bound = EntityRule { within: Some(home), ..rule(Scope::All, false) };
        let bound = [bound];
        assert!(may(&bound, home) && !may(&bound, away));
    }
}
