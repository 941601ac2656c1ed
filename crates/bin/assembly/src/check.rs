//! What a start would refuse, found without one: no listener is bound, no datastore opened, nothing written.

use std::sync::Arc;

use anyhow::Context as _;
use gibbon_conf::{Settings, Values};
use gibbon_tls::{Certificate, CertificateSource, ClientHello};

use crate::registry::{refuse_unknown_vaults, registry};
use crate::{access, declared, listen, parts, refuse_unbuilt, settings as from_settings, store};

/// Reads all that the settings name: templates, certificates and authorities, plugins, the declarative configuration.
///
/// # Errors
/// What cannot be read or used, by file or setting.
pub fn check(settings: &Settings, values: &Values) -> anyhow::Result<()> {
    refuse_unbuilt(settings)?;
    access::refuse_unheld(settings)?;
    refuse_unknown_vaults(settings, values)?;
    from_settings::proxy(settings, None)?;
    from_settings::trust(settings)?;
    check_tls(settings)?;
    let lua = parts::lua(settings, serde_json::Value::Null).context("plugins")?;
    if let Some(text) = declared::text(settings)? {
        let plugins = parts::loaded(settings, &lua);
        declared::parse(&text, &registry(settings, &plugins, lua.entities()), store::compat(settings))
            .with_context(|| declared::refused(settings))?;
    }
    Ok(())
}

/// Greetings are answered by nobody.
struct Nobody;

impl CertificateSource for Nobody {
    fn certificate(&self, _: &ClientHello) -> Option<Certificate> {
        None
    }
}

fn check_tls(settings: &Settings) -> anyhow::Result<()> {
    let tls = &settings.tls;
    for pairs in [&tls.proxy, &tls.admin, &tls.status].into_iter().filter(|pairs| !pairs.is_empty()) {
        listen::default_pair(pairs, &settings.prefix, "")?;
    }
    let asked = &tls.client_verification;
    for asked in [&asked.proxy, &asked.stream, &asked.admin, &asked.status].into_iter().flatten() {
        listen::client_rule(asked)?;
    }
    listen::server_tls(settings, Arc::new(Nobody), Vec::new(), None)?;
    Ok(())
}
