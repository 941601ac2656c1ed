//! Becoming another user. A node started as root binds its ports and then goes on as `nginx_user`, if there is such a user.

use std::path::Path;

use anyhow::Context as _;
use gibbon_conf::{Node, Settings};
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{Gid, Group, Uid, User, fchownat, geteuid, setgid, setgroups, setuid};

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

/// Gives the prefix to the user, so that logs can be opened again and state be written later on: the directory, the files in
/// it, and the folders every prefix has. Deeper folders are their makers' business.
pub fn give_prefix(settings: &Settings) -> anyhow::Result<()> {
    let Some(identity) = identity(&settings.node)? else { return Ok(()) };
    let prefix = &settings.prefix;
    // A prefix such as / or /etc is a mistake that must not change the owner of a system's directory.
    if prefix.components().count() > 2 {
        give(prefix, &identity)?;
        give_files(prefix, &identity)?;
    }
    for folder in crate::prefix::FOLDERS.map(|folder| prefix.join(folder)) {
        give(&folder, &identity)?;
        give_files(&folder, &identity)?;
    }
    Ok(())
}

fn give_files(folder: &Path, identity: &Identity) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)?.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_file()) {
            give(&entry.path(), identity)?;
        }
    }
    Ok(())
}

fn give(path: &Path, identity: &Identity) -> anyhow::Result<()> {
    // Links are not followed: whoever can write to the prefix could otherwise have any file of the machine given away.
    fchownat(AT_FDCWD, path, Some(identity.user), Some(identity.group), AtFlags::AT_SYMLINK_NOFOLLOW)
        .with_context(|| format!("could not give {} to nginx_user", path.display()))
}

/// Becomes the user, for all threads and for good. Ports below 1024 must be bound before.
pub fn drop_to_user(node: &Node) -> anyhow::Result<()> {
    let Some(identity) = identity(node)? else { return Ok(()) };
    setgroups(&[identity.group]).context("could not drop root's groups")?;
    setgid(identity.group).context("could not change to the group of nginx_user")?;
    setuid(identity.user).context("could not change to nginx_user")?;
    Ok(())
}
