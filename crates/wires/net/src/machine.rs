//! What the machine grants this process: open files and processors.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the soft limit of open files to `wanted`, or to the hard limit if that is lower or nothing is wanted.
/// Returns the limit then in force.
pub fn raise_descriptor_limit(wanted: Option<u64>) -> std::io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let target = wanted.unwrap_or(hard).min(hard);
    if target > soft {
        setrlimit(Resource::RLIMIT_NOFILE, target, hard)?;
    }
    Ok(target.max(soft))
}

/// How many workers use the processors fully: those this process may run on, within a container's quota.
pub fn worker_count() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
