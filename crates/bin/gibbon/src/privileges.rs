//! Becoming another user. A node started as root binds its ports and then goes on as `nginx_user`, if there is such a user.

use anyhow::Context as _;
use gibbon_conf::{Node, Settings};
use nix::unistd::{Gid, Group, Uid, User, chown, geteuid, setgid, setgroups, setuid};

struct Identity {
    user: Uid,
    group: Gid,
}

/// Whom to become, if anybody: only root can, and the default user need not exist.
fn identity(node: &Node) -> anyhow::Result<Option<Identity>> {
    let Some((user_name, group_name)) = node.user.as_ref().filter(|_| geteuid().is_root()) else { return Ok(None) };
    let user = User::from_name(user_name).context("could not look up nginx_user")?;
    let Some(user) = user else {
        if node.user_is_default {
            return Ok(None);
        }
        anyhow::bail!("nginx_user: there is no user '{user_name}' (valid: a user, or a user and a group)");
    };
    let group = match group_name {
        None => Some(user.gid),
        Some(name) => {
            Group::from_name(name).context("could not look up the group of nginx_user")?.map(|group| group.gid)
        }
    };
    match group {
        Some(group) => Ok(Some(Identity { user: user.uid, group })),
        None if node.user_is_default => Ok(None),
        None => anyhow::bail!("nginx_user: there is no group '{}'", group_name.as_deref().unwrap_or_default()),
    }
}

/// Gives the prefix to the user, so that logs can be opened again and state be written later on.
pub fn give_prefix(settings: &Settings) -> anyhow::Result<()> {
    let Some(identity) = identity(&settings.node)? else { return Ok(()) };
    give(&settings.prefix, &identity)
}

fn give(path: &std::path::Path, identity: &Identity) -> anyhow::Result<()> {
    chown(path, Some(identity.user), Some(identity.group))
        .with_context(|| format!("could not give {} to nginx_user", path.display()))?;
    // Links are given as they are and not followed: a link out of the prefix must not give away what it points to.
    if path.is_dir() && !path.is_symlink() {
        for entry in std::fs::read_dir(path)?.flatten().filter(|entry| !entry.path().is_symlink()) {
            give(&entry.path(), identity)?;
        }
    }
    Ok(())
}

/// Becomes the user, for all threads and for good. Ports below 1024 must be bound before.
pub fn drop_to_user(node: &Node) -> anyhow::Result<()> {
    let Some(identity) = identity(node)? else { return Ok(()) };
    setgroups(&[identity.group]).context("could not drop root's groups")?;
    setgid(identity.group).context("could not change to the group of nginx_user")?;
    setuid(identity.user).context("could not change to nginx_user")?;
    Ok(())
}
