//! Settings that a node must refuse rather than run without: a part it does not play, and guards of nginx that nothing
//! here enforces. What is merely missing is told as a notice where settings are read.

use anyhow::bail;
use gibbon_conf::{Role, Settings};

/// Directives that keep people out. Going on without them would let everybody in.
const GUARDS: &[&str] = &["allow", "deny", "auth_basic", "auth_request", "limit_except", "limit_req", "limit_conn"];

/// Values that ask for no guard.
const NO_GUARD: &[&str] = &["off", "all"];

/// Refuses settings under which the node would not do what it was trusted to do.
///
/// # Errors
/// The first such setting, with what to do about it.
pub fn refuse_unbuilt(settings: &Settings) -> anyhow::Result<()> {
    if settings.node.role != Role::Traditional {
        bail!("role: only traditional nodes exist yet; leave role unset and give each node its configuration");
    }
    for directive in settings.injected.iter().filter(|directive| GUARDS.contains(&directive.name.as_str())) {
        let opens = directive.name != "deny" && NO_GUARD.contains(&directive.value.trim());
        if !opens {
            bail!(
                "nginx_{}_{} would not be enforced; remove it and guard the listener otherwise (a plugin, a firewall, \
                 another address)",
                directive.context,
                directive.name
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use std::path::Path;

    use gibbon_conf::{Input, Surroundings, load};

    use super::*;

    struct Nowhere;

    impl Surroundings for Nowhere {
        fn exists(&self, _: &Path) -> bool {
            true
        }
    }

    fn verdict(lines: &str) -> Result<(), String> {
        let input = Input { file: Some(("kong.conf".into(), lines.to_owned())), ..Input::default() };
        let loaded = load(&input, &Nowhere).unwrap_or_else(|refused| panic!("{refused}"));
        refuse_unbuilt(&loaded.settings).map_err(|error| error.to_string())
    }

    #[test]
    fn a_node_without_special_wishes_may_start() {
        verdict("").unwrap();
        verdict("nginx_admin_allow = all\nnginx_proxy_ssl_verify_client = optional_no_ca").unwrap();
    }

    #[test]
    fn guards_that_nothing_enforces_are_refused() {
        for line in [
            "nginx_admin_ssl_verify_client = on",
            "nginx_proxy_ssl_verify_client = on\nnginx_proxy_ssl_client_certificate = /ca.pem",
            "nginx_admin_deny = all",
            "nginx_admin_allow = 10.0.0.0/8; deny all",
            "nginx_admin_auth_basic = closed",
        ] {
            assert!(verdict(line).unwrap_err().contains("would not be enforced"), "{line}");
        }
    }

    #[test]
    fn a_part_that_the_node_does_not_play_is_refused() {
        let error = verdict("role = control_plane\ncluster_cert = /c.pem\ncluster_cert_key = /k.pem").unwrap_err();
        assert!(error.starts_with("role: only traditional nodes exist yet"), "{error}");
    }
}
