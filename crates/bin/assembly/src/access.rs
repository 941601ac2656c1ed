//! Access to the Admin API as the settings have it: who may call, what is written down, the first user.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gibbon_admin::{AuditSettings, Enforce, FirstUser, PathRule, RbacSettings, SigningKey};
use gibbon_conf::{Database, EnforceRbac, Settings};
use gibbon_store::Documents;
use regex::Regex;

use crate::settings::text_of;

/// The token of the first user, as Kong takes it. Read once, at the first start on a datastore.
const PASSWORD_VARIABLES: [&str; 2] = ["GIBBON_PASSWORD", "KONG_PASSWORD"];

/// Refuses guards that would not hold: users and records are kept in a datastore.
///
/// # Errors
/// What the node cannot do, with what to do about it.
pub fn refuse_unheld(settings: &Settings) -> anyhow::Result<()> {
    if settings.datastore.database == Database::Off {
        if settings.access.enforce != EnforceRbac::Off {
            bail!("enforce_rbac: users are kept in a datastore; set database, or guard the listener otherwise");
        }
        if settings.access.audit.enabled {
            bail!("audit_log: records are kept in a datastore; set database, or read admin_access_log");
        }
    }
    Ok(())
}

/// Who may call.
pub fn rbac(settings: &Settings) -> RbacSettings {
    RbacSettings {
        enforce: match settings.access.enforce {
            EnforceRbac::Off => Enforce::Off,
            EnforceRbac::On => Enforce::Endpoints,
            EnforceRbac::Entity => Enforce::Entities,
            EnforceRbac::Both => Enforce::Both,
        },
        header: settings.access.token_header.clone(),
    }
}

/// What is written down.
///
/// # Errors
/// An expression or a key that cannot be used, named.
pub fn audit(settings: &Settings) -> anyhow::Result<AuditSettings> {
    let from = &settings.access.audit;
    let rule = |text: &String| -> anyhow::Result<PathRule> {
        let expression = Regex::new(text).with_context(|| format!("audit_log_ignore_paths: '{text}'"))?;
        Ok(Arc::new(move |path: &str| expression.is_match(path)))
    };
    Ok(AuditSettings {
        enabled: from.enabled,
        ignore_methods: from.ignore_methods.clone(),
        ignore_paths: from.ignore_paths.iter().map(rule).collect::<Result<_, _>>()?,
        ignore_tables: from.ignore_tables.clone(),
        exclude: from.exclude.clone(),
        keep: from.keep.into(),
        signing_key: match &from.signing_key {
            Some(material) if from.enabled => Some(Arc::new(signing_key(&text_of(material)?)?)),
            _ => None,
        },
    })
}

fn signing_key(pem: &str) -> anyhow::Result<SigningKey> {
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).flat_map(|line| line.chars()).collect();
    let packed: String = body.split_ascii_whitespace().collect();
    let der = STANDARD.decode(packed).ok();
    let key = der.and_then(|der| SigningKey::from_pkcs8(&der).or_else(|_| SigningKey::from_der(&der)).ok());
    // What the key is made of stays out of the message.
    key.context("audit_log_signing_key: expected an unencrypted RSA private key in PEM")
}

/// Makes the roles that are there from the start, and the first user if a password is given for them. A node that asks
/// for tokens and has nobody who could show one says so. While the datastore is locked there is nobody to look for.
///
/// # Errors
/// Those of the store.
pub async fn prepare(settings: &Settings, documents: &Documents) -> anyhow::Result<()> {
    if documents.conductor.keyring().is_some_and(|keyring| keyring.is_locked()) {
        return Ok(());
    }
    let password = PASSWORD_VARIABLES.iter().find_map(|name| std::env::var(name).ok()).filter(|word| !word.is_empty());
    gibbon_admin::prepare(documents, password.map(FirstUser)).await?;
    if settings.access.enforce != EnforceRbac::Off && !gibbon_admin::has_users(documents).await? {
        tracing::warn!(
            "enforce_rbac is on and there is no user: nobody can call the Admin API. Start once with enforce_rbac = off \
             and make one, or set KONG_PASSWORD at the first start on a datastore"
        );
    }
    Ok(())
}
