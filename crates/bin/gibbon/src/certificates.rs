//! Certificates made on the spot: the self-signed defaults of the listeners, and the pair for hybrid mode.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use gibbon_conf::{KeyPairSource, Listener, Listeners, Material, Settings};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_RSA_SHA256, RsaKeySize,
};

use crate::output::Output;

/// Validity of the default certificates; nobody renews them by hand.
const DEFAULT_DAYS: u32 = 20 * 365;

/// A certificate and key on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairFiles {
    /// Certificate.
    pub cert: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

/// The default pairs of a set of listeners, RSA and ECDSA. `name` is empty for the proxy, else such as `admin-`.
pub fn default_pairs(prefix: &Path, name: &str) -> [PairFiles; 2] {
    ["", "-ecdsa"].map(|kind| {
        let file = |extension: &str| prefix.join(format!("ssl/{name}kong-default{kind}.{extension}"));
        PairFiles { cert: file("crt"), key: file("key") }
    })
}

/// Names of the default pairs that listeners need, because they speak TLS and nobody gave them a certificate.
fn needed(settings: &Settings) -> impl Iterator<Item = &'static str> {
    let listeners = &settings.listeners;
    let any = |list: &[Listener], given: &[KeyPairSource]| given.is_empty() && Listeners::any_tls(list);
    let tls = &settings.tls;
    [
        ("", any(&listeners.proxy, &tls.proxy) || any(&listeners.stream, &tls.proxy)),
        ("admin-", any(&listeners.admin, &tls.admin)),
        ("admin-gui-", any(&listeners.admin_gui, &tls.admin_gui)),
        ("status-", any(&listeners.status, &tls.status)),
    ]
    .into_iter()
    .filter_map(|(name, needed)| needed.then_some(name))
}

/// Makes the default pairs that listeners need and that are not there yet.
pub fn make_defaults(settings: &Settings, out: &Output) -> anyhow::Result<()> {
    for name in needed(settings) {
        let [rsa, ecdsa] = default_pairs(&settings.prefix, name);
        make_default(&rsa, out, || KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048))?;
        make_default(&ecdsa, out, || KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256))?;
    }
    Ok(())
}

/// Puts the default pairs where nobody gave a certificate, so that whoever speaks TLS need not know of defaults.
pub fn use_defaults(settings: &mut Settings) {
    let names: Vec<_> = needed(settings).collect();
    for name in names {
        let pairs = default_pairs(&settings.prefix, name)
            .map(|files| KeyPairSource { cert: Material::Path(files.cert), key: Material::Path(files.key) });
        let place = match name {
            "" => &mut settings.tls.proxy,
            "admin-" => &mut settings.tls.admin,
            "admin-gui-" => &mut settings.tls.admin_gui,
            _ => &mut settings.tls.status,
        };
        *place = pairs.into();
    }
}

fn make_default(
    files: &PairFiles,
    out: &Output,
    key: impl FnOnce() -> Result<KeyPair, rcgen::Error>,
) -> anyhow::Result<()> {
    if files.cert.exists() && files.key.exists() {
        out.verbose(format!("default SSL certificate found at {}", files.cert.display()));
        return Ok(());
    }
    out.verbose(format!("generating default SSL certificate at {}", files.cert.display()));
    let mut params = CertificateParams::new(["localhost".to_owned()])?;
    params.distinguished_name = named(&[(DnType::OrganizationName, "Gibbon"), (DnType::CommonName, "localhost")]);
    write_pair(files, params, DEFAULT_DAYS, &key()?)
}

/// Makes the pair both planes share: P-384, named `kong_clustering` as Kong's planes ask for.
pub fn make_cluster_pair(files: &PairFiles, days: u32) -> anyhow::Result<()> {
    let mut params = CertificateParams::new(["kong_clustering".to_owned()])?;
    params.distinguished_name = named(&[(DnType::CommonName, "kong_clustering")]);
    write_pair(files, params, days, &KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384)?)
}

fn named(parts: &[(DnType, &str)]) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    for (kind, value) in parts {
        name.push(kind.clone(), *value);
    }
    name
}

fn write_pair(files: &PairFiles, mut params: CertificateParams, days: u32, key: &KeyPair) -> anyhow::Result<()> {
    let now = SystemTime::now();
    params.not_before = now.into();
    params.not_after = (now + Duration::from_secs(u64::from(days) * 86_400)).into();
    let certificate = params.self_signed(key)?;
    write(&files.key, 0o600, &key.serialize_pem())?;
    write(&files.cert, 0o644, &certificate.pem())
}

fn write(path: &Path, mode: u32, text: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).with_context(|| format!("could not make {}", folder.display()))?;
    }
    let opened = OpenOptions::new().create(true).write(true).truncate(true).mode(mode).open(path);
    let mut file = opened.with_context(|| format!("could not write {}", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("could not write {}", path.display()))
}
