//! The limit of open files, which every connection counts against: as the settings say, else as high as the system allows.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Sets it. What the system refuses is a warning: the node serves with the limit that it has.
pub fn allow(wanted: Option<u64>) {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    let wanted = wanted.unwrap_or(hard);
    // Only root may raise the hard limit.
    let set = setrlimit(Resource::RLIMIT_NOFILE, wanted, hard.max(wanted));
    if let Err(error) = set.or_else(|_| setrlimit(Resource::RLIMIT_NOFILE, wanted.min(hard), hard)) {
        tracing::warn!("the limit of open files stays at {soft}: {error}");
    } else if let Ok((now, _)) = getrlimit(Resource::RLIMIT_NOFILE)
        && now < wanted
    {
        tracing::warn!("worker_rlimit_nofile: {wanted} open files were asked for, the system allows {now}");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_as_far_as_allowed_and_lowered_when_asked() {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        allow(Some(512));
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (512, hard));
        allow(None);
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (hard, hard));
    }
}
