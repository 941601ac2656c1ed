//! Certificates made on the spot: the self-signed defaults of the listeners, and the pair for hybrid mode.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use gibbon_conf::{Listener, Listeners, Settings};
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

/// Makes the default pairs that listeners need and that are not there yet.
pub fn make_defaults(settings: &Settings, out: &Output) -> anyhow::Result<()> {
    let listeners = &settings.listeners;
    let proxy = [listeners.proxy.as_slice(), listeners.stream.as_slice()].concat();
    let needed = |listeners: &[Listener], given: bool| Listeners::any_tls(listeners) && !given;
    let sets = [
        ("", needed(&proxy, !settings.tls.proxy.is_empty())),
        ("admin-", needed(&listeners.admin, !settings.tls.admin.is_empty())),
        ("admin-gui-", needed(&listeners.admin_gui, !settings.tls.admin_gui.is_empty())),
        ("status-", needed(&listeners.status, !settings.tls.status.is_empty())),
    ];
    for (name, _) in sets.iter().filter(|(_, needed)| *needed) {
        let [rsa, ecdsa] = default_pairs(&settings.prefix, name);
        make_default(&rsa, out, || KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048))?;
        make_default(&ecdsa, out, || KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256))?;
    }
    Ok(())
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
