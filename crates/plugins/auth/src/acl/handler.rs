//! The access step of `acl`.

use std::sync::Arc;

use gibbon_pdk::{CredentialKind, Exchange, Flow, Handler, Host, Reply, Scripting, Step};
use serde_json::Value;
use uuid::Uuid;

use super::config::Config;
use crate::identity::{AUTHENTICATED_GROUPS, CONSUMER_GROUPS};

const ACLS: CredentialKind = CredentialKind("acls");
const REFUSAL: &str = "You cannot consume this service";

/// Whether being in one of the groups lets a caller pass or keeps it out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Allow,
    Deny,
}

pub struct Acl {
    mode: Mode,
    /// Sorted.
    groups: Box<[Box<str>]>,
    hide_groups_header: bool,
    always_use_authenticated_groups: bool,
    include_consumer_groups: bool,
    scripting: Arc<dyn Scripting>,
}

impl Acl {
    pub fn new(config: Config, scripting: Arc<dyn Scripting>) -> Self {
        let (mode, groups) = match config.deny {
            Some(groups) if !groups.is_empty() => (Mode::Deny, groups),
            _ => (Mode::Allow, config.allow.unwrap_or_default()),
        };
        let mut groups: Box<[Box<str>]> = groups.into_iter().map(Into::into).collect();
        groups.sort_unstable();
        Acl {
            mode,
            groups,
            hide_groups_header: config.hide_groups_header,
            always_use_authenticated_groups: config.always_use_authenticated_groups,
            include_consumer_groups: config.include_consumer_groups.unwrap_or(false),
            scripting,
        }
    }

    fn decide(&self, x: &mut Exchange, host: &Host) -> Result<(), Box<Reply>> {
        let (header, groups) = self.groups_of_caller(x, host)?;
        let is_in = groups.iter().any(|group| self.groups.binary_search_by(|g| (**g).cmp(group)).is_ok());
        if is_in != (self.mode == Mode::Allow) {
            return Err(Box::new(Reply::error_with(403, REFUSAL)));
        }
        // What the client says about its groups never gets through.
        x.request.headers.remove(CONSUMER_GROUPS);
        x.request.headers.remove(AUTHENTICATED_GROUPS);
        if !self.hide_groups_header && !groups.is_empty() {
            x.request.headers.set(header, groups.join(", "));
        }
        Ok(())
    }

    /// The caller's groups, and the header in which the upstream learns them.
    fn groups_of_caller(&self, x: &Exchange, host: &Host) -> Result<(&'static str, Vec<String>), Box<Reply>> {
        let credential = x.credential.as_deref();
        let consumer = x.consumer.as_ref().map(|c| c.id).or(credential.and_then(|c| c.consumer));
        // A caller without credential is the anonymous consumer: groups vouched for go before its own.
        let prefers_authenticated = credential.is_none() || self.always_use_authenticated_groups || consumer.is_none();
        if prefers_authenticated && let Some(groups) = self.authenticated_groups(x) {
            return Ok((AUTHENTICATED_GROUPS, groups));
        }
        let groups = consumer.map(|id| self.groups_of_consumer(x, host, id)).unwrap_or_default();
        let decidable = consumer.is_some() && (self.mode == Mode::Deny || !groups.is_empty());
        match credential {
            _ if decidable => Ok((CONSUMER_GROUPS, groups)),
            Some(_) => Err(Box::new(Reply::error_with(403, REFUSAL))),
            None => Err(Box::new(Reply::error(401))),
        }
    }

    /// Groups that somebody vouches for: a Lua plugin by `kong.ctx.shared.authenticated_groups`, or a native one.
    fn authenticated_groups(&self, x: &Exchange) -> Option<Vec<String>> {
        let text = |group: Value| group.as_str().map(str::to_owned);
        match self.scripting.shared(x, "authenticated_groups") {
            Some(Value::Array(groups)) => Some(groups.into_iter().filter_map(text).collect()),
            _ => x.authenticated_groups.clone(),
        }
    }

    fn groups_of_consumer(&self, x: &Exchange, host: &Host, consumer: Uuid) -> Vec<String> {
        let rows = host.directory.credentials_of(ACLS, consumer);
        let mut groups: Vec<String> = rows.iter().filter_map(|row| row.field("group")).map(str::to_owned).collect();
        if self.include_consumer_groups {
            groups.extend(x.consumer_groups.iter().flat_map(|all| all.iter()).map(|group| group.name.to_string()));
        }
        groups.sort_unstable();
        groups.dedup();
        groups
    }
}

impl Handler for Acl {
    fn access<'a>(&'a self, x: &'a mut Exchange, host: &'a Host) -> Step<'a> {
        match self.decide(x, host) {
            Ok(()) => Step::NEXT,
            Err(reply) => Flow::Reply(reply).into(),
        }
    }
}
